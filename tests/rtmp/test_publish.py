"""The session: conformance A1 to A9 and S1 to S19, timers, limits, and arbitrary bytes."""

import random
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.rtmp import amf
from realtime_core.rtmp.amf import Value
from realtime_core.rtmp.events import (
    AudioUnsupported,
    Connected,
    ConnectReceived,
    MetadataReceived,
    PublishRequested,
)
from realtime_core.rtmp.limits import DEFAULT_LIMITS, Limits
from realtime_core.rtmp.messages import MessageKind, MessageType
from realtime_core.rtmp.phases import TRANSITIONS, Phase, Signal, next_phase
from realtime_core.rtmp.reasons import CloseReason, Refusal
from tests.rtmp.talk import SERVER_HANDSHAKE_BYTES, Talk
from tests.rtmp.vectors import (
    ASC,
    CONNECT,
    CREATE,
    HANDSHAKE,
    NONCE,
    NULL,
    PUBLISH,
    START,
    Slicing,
    at_random,
    command,
    connect,
    control,
    frame,
    full,
    metadata,
    number,
    publish,
    text,
    u24,
    u32,
    whole,
)

CREATED = HANDSHAKE + CONNECT + CREATE
CREATED_REPLY = bytes.fromhex(
    "03000000 00001d 14 00000000 02 0007 5f726573756c74 00 4000000000000000 05 00 3ff0000000000000"
)


def commands_in(talk: Talk) -> list[list[Value]]:
    return [amf.decode(m.payload) for m in talk.replies if m.type_id == MessageType.COMMAND]


def codes_in(talk: Talk) -> list[Value]:
    last = [values[-1] for values in commands_in(talk)]
    return [status["code"] for status in last if isinstance(status, dict)]


def requested(talk: Talk) -> list[str]:
    return [event.name.slug for event in talk.events if isinstance(event, PublishRequested)]


# S19, S17, S18: what is answered, and in which order


def test_s19_replies_byte_for_byte(cut: Slicing) -> None:
    sent = Talk().say(START, cut).output
    assert sent[:SERVER_HANDSHAKE_BYTES] == b"\x03" + bytes(8) + NONCE + START[1:1537]
    reply, rest = sent[SERVER_HANDSHAKE_BYTES:].split(b"\x00\x00\x09" + CREATED_REPLY)
    assert reply[:49] == bytes.fromhex(
        "02000000 000004 05 00000000 002625a0"
        "02000000 000005 06 00000000 002625a0 02"
        "02000000 000004 01 00000000 00001000"
    )
    length = len(reply) + 3 - 49 - 12
    assert reply[49:61] == bytes.fromhex("03000000") + u24(length) + bytes.fromhex("14 00000000")
    assert rest[:18] == bytes.fromhex("02000000 000006 04 00000000 0000 00000001")
    status = rest[18:-16]
    # A full header, and the stream id of the publish in it: rtmp2sink waits for no less.
    assert status[:12] == b"\x05\0\0\0" + u24(len(status) - 12) + bytes.fromhex("14 01000000")
    assert rest[-16:] == bytes.fromhex("02000000 000004 03 00000000") + u32(len(START))


def test_s19_commands_are_answered_in_order(cut: Slicing) -> None:
    talk = Talk().say(START, cut)
    assert [values[:2] for values in commands_in(talk)] == [
        ["_result", 1.0], ["_result", 2.0], ["onStatus", 0.0]
    ]  # fmt: skip
    assert codes_in(talk) == ["NetConnection.Connect.Success", "NetStream.Publish.Start"]
    assert [type(event) for event in talk.events] == [ConnectReceived, Connected, PublishRequested]


def test_events_name_the_stream(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + CREATE + publish("week%6cy?key=a%20b"), cut)
    (request,) = [event for event in talk.events if isinstance(event, PublishRequested)]
    assert (request.name.slug, request.name.app) == ("weekly", "live")
    assert request.name.args == {"key": "a b"}


@pytest.mark.parametrize("stream_id", [1, 3])
def test_s17_status_comes_on_the_stream_of_the_publish(stream_id: int, cut: Slicing) -> None:
    talk = Talk().say(CREATED + publish("k", stream_id=stream_id), cut)
    status = [m for m in talk.replies if b"onStatus" in m.payload]
    assert [message.stream_id for message in status] == [stream_id]


def test_s18_acknowledges_at_once_and_before_half_the_window(cut: Slicing) -> None:
    window = 60_000
    audio = b"".join(full(4, 23 * i, frame(1000)) for i in range(100))
    talk = Talk().say(START, cut).say(control(5, u32(2 * window)) + full(4, 0, ASC), cut)
    assert talk.acknowledged == [len(START)]
    talk.say(audio, cut)
    assert window <= talk.acknowledged[1] - len(START)
    if cut is not whole:
        assert talk.acknowledged[1] - len(START) < window + 1000


def test_a_trickle_is_acknowledged_after_a_while() -> None:
    talk = Talk().say(START)
    talk.say(full(4, 0, ASC)).wait(9.9)
    assert talk.acknowledged == [len(START)]
    talk.wait(0.2)
    assert talk.acknowledged == [len(START), len(START) + 16]


def test_what_egress_sends_is_not_acknowledged_too_often() -> None:
    # FFmpeg reads one message for ten that it writes, and loses its farewell with unread ones.
    talk = Talk().say(START + full(4, 0, ASC))
    for i in range(43 * 60):
        talk.say(full(4, 23 * i, frame(372))).wait(1 / 43)
    assert len(talk.acknowledged) == 6
    talk.say(b"".join(full(4, 0, frame(60_000)) for _ in range(25)), at_random(1))
    assert len(talk.acknowledged) == 7


def test_a_small_window_is_honoured() -> None:
    talk = Talk().say(START + control(5, u32(2000)))
    for i in range(10):
        talk.say(full(4, 23 * i, frame(980)))
    assert all(b - a <= 2000 for a, b in pairwise(talk.acknowledged))
    assert len(talk.acknowledged) == 6


def test_acknowledgement_wraps_at_32_bits() -> None:
    talk = Talk().say(START)
    talk.session._received_bytes = 2**32 - 8  # hours of audio
    talk.say(full(4, 0, ASC)).wait(11)
    assert talk.acknowledged[-1] == 8


def test_s8_ping_is_answered(cut: Slicing) -> None:
    talk = Talk().say(START, cut).say(control(4, bytes.fromhex("000600000001")), cut)
    assert talk.output.endswith(bytes.fromhex("02000000 000006 04 00000000 0007 00000001"))


@pytest.mark.parametrize("event", [0, 1, 2, 3, 4, 7, 31, 32])
def test_s7_other_user_control_is_ignored(event: int, cut: Slicing) -> None:
    said = START + control(4, struct.pack(">HI", event, 1))
    talk = Talk().say(said, cut)
    assert talk.closed is None
    assert len(talk.replies) == len(Talk().say(START).replies)


@pytest.mark.parametrize("transaction", [0, 4])
def test_only_who_gave_a_transaction_id_is_answered(transaction: int, cut: Slicing) -> None:
    fmle = command("releaseStream", transaction, NULL, text("k"))
    fmle += command("FCPublish", transaction, NULL, text("k"))
    talk = Talk().say(HANDSHAKE + CONNECT + fmle, cut)
    names = [values[0] for values in commands_in(talk)[1:]]
    assert names == (["_result", "_result", "onFCPublish"] if transaction else ["onFCPublish"])


# A1 to A9: AMF


def test_a1_command_in_amf3_clothes(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + command("createStream", 2, NULL, type_id=17), cut)
    assert commands_in(talk)[-1] == ["_result", 2.0, None, 1.0]


@pytest.mark.parametrize(
    "data",
    [
        full(4, 0, b"\x00" + metadata()[12:], type_id=15),
        metadata(b"\x0a\x00\x00\x00\x01" + number(1)),
        metadata(b"\x0b" + bytes(10), b"\x06", b"\x0c\x00\x00\x00\x01a"),
    ],
    ids=["a2", "a4", "a5"],
)
def test_metadata_of_all_kinds_is_accepted(data: bytes, cut: Slicing) -> None:
    talk = Talk().say(START + data, cut)
    assert isinstance(talk.events[-1], MetadataReceived)
    assert talk.tally[MessageKind.DATA_MALFORMED] == 0


def test_a3_count_of_an_ecma_array_is_not_believed(cut: Slicing) -> None:
    data = bytes.fromhex(
        "04000000 00003c 12 01000000 02000d 40736574446174614672616d65 02000a 6f6e4d65746144617461"
        "08 00000000 000c 617564696f636f6465636964 00 4024000000000000 000009"
    )
    talk = Talk().say(START + data, cut)
    assert talk.events[-1] == MetadataReceived({"audiocodecid": 10.0})


@pytest.mark.parametrize(
    "extra",
    [
        text("videoFunction")[1:] + b"\x03" + text("a")[1:] + NULL + b"\x00\x00\x09",
        text("fourCcList")[1:] + bytes.fromhex("0a 00000001 02 0004 61763031"),
    ],
    ids=["a6", "a7"],
)
def test_connect_with_more_in_it(extra: bytes, cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + connect(extra), cut)
    assert codes_in(talk) == ["NetConnection.Connect.Success"]


TOO_DEEP = (b"\x03\x00\x01a") * 100
TOO_WIDE = b"\x03" + b"\x00\x01a\x05" * 10_000 + b"\x00\x00\x09"
MALFORMED = {"cut": b"\x00\x01", "deep": TOO_DEEP, "wide": TOO_WIDE, "long": b"\x02\xff\xffa"}


@pytest.mark.parametrize("rest", MALFORMED.values(), ids=MALFORMED)
def test_a9_malformed_command_is_refused(rest: bytes, cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + command("createStream", 2, rest), cut)
    assert commands_in(talk)[-1][:2] == ["_error", 2.0]
    assert talk.closed is None


@pytest.mark.parametrize("rest", MALFORMED.values(), ids=MALFORMED)
def test_a9_malformed_metadata_is_skipped(rest: bytes, cut: Slicing) -> None:
    talk = Talk().say(START + full(4, 0, text("onMetaData") + rest, type_id=18), cut)
    assert talk.tally[MessageKind.DATA_MALFORMED] == 1
    assert talk.closed is None


@pytest.mark.parametrize("payload", [b"", b"\x05\x05", b"\x02\x00\x01a\x05", b"\x02"])
def test_command_without_name_or_number_is_counted(payload: bytes, cut: Slicing) -> None:
    talk = Talk().say(START + full(3, 0, payload, type_id=20), cut)
    assert talk.tally[MessageKind.COMMAND_MALFORMED] == 1
    assert talk.closed is None


# S1 to S9: order and endings


def test_s1_publish_without_connect(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CREATE + PUBLISH, cut)
    assert talk.events == []
    assert codes_in(talk) == ["NetConnection.Call.Failed", "NetStream.Publish.Failed"]
    assert talk.tally[MessageKind.COMMAND_OUT_OF_ORDER] == 2


@pytest.mark.parametrize("name", ["releaseStream", "FCPublish"])
def test_preparing_without_connect(name: str, cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + command(name, 4, NULL, text("k")), cut)
    assert [values[:2] for values in commands_in(talk)] == [["_error", 4.0]]


def test_publish_without_a_stream(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + PUBLISH, cut)
    assert requested(talk) == []
    assert codes_in(talk)[-1] == "NetStream.Publish.Failed"


def test_second_connect_and_second_publish_are_errors(cut: Slicing) -> None:
    talk = Talk().say(START + CONNECT + publish("other"), cut)
    assert requested(talk) == ["k"]
    assert codes_in(talk)[-2:] == ["NetConnection.Call.Failed", "NetStream.Publish.Failed"]


def test_s2_audio_without_publish_is_dropped_and_bounded(cut: Slicing) -> None:
    audio = full(4, 0, ASC) + full(4, 0, frame(1000))
    talk = Talk().say(HANDSHAKE + CONNECT + audio, cut)
    assert talk.tags == []
    assert talk.tally[MessageKind.BEFORE_PUBLISH] == 2
    talk.say(audio * 100, cut)
    assert talk.closed is CloseReason.TOO_MUCH_BEFORE_PUBLISH


def test_publish_and_much_audio_in_one_segment(cut: Slicing) -> None:
    audio = full(4, 0, ASC) + b"".join(full(4, i, frame(1000)) for i in range(100))
    assert len(Talk().say(START + audio, cut).tags) == 101


def test_s3_publish_without_its_type(cut: Slicing) -> None:
    talk = Talk().say(CREATED + command("publish", 0, NULL, text("k"), stream_id=1), cut)
    assert codes_in(talk)[-1] == "NetStream.Publish.Start"


@pytest.mark.parametrize("rest", [(), (NULL,), (NULL, number(3))])
def test_publish_without_a_key_asks_for_an_empty_slug(
    rest: tuple[bytes, ...], cut: Slicing
) -> None:
    talk = Talk().say(CREATED + command("publish", 0, *rest, stream_id=1), cut)
    assert requested(talk) == [""]


@pytest.mark.parametrize(
    "end",
    [
        command("deleteStream", 0, NULL),
        command("deleteStream", 0, NULL, text("k")),
        command("deleteStream", 7, NULL, number(1)),
        command("FCUnpublish", 0, NULL, text("k")),
        command("closeStream", 0, NULL, stream_id=1),
    ],
    ids=["s6", "s16-rtmp2sink", "s16-ffmpeg", "unpublish", "close"],
)
def test_clean_endings(end: bytes, cut: Slicing) -> None:
    talk = Talk().say(START + full(4, 0, ASC) + end + full(4, 0, ASC), cut)
    assert talk.closed is CloseReason.UNPUBLISHED
    assert len(talk.tags) == 1
    assert codes_in(talk)[-1] == "NetStream.Unpublish.Success"


def test_tidying_up_before_a_publish_means_nothing(cut: Slicing) -> None:
    tidy = command("closeStream", 0, NULL) + command("deleteStream", 0, NULL, number(0))
    assert codes_in(Talk().say(CREATED + tidy + PUBLISH, cut))[-1] == "NetStream.Publish.Start"


def test_s9_play_is_refused(cut: Slicing) -> None:
    play = command("play", 0, NULL, text("base"), number(-2), csid=8, stream_id=1)
    talk = Talk().say(CREATED + play, cut)
    assert talk.closed is CloseReason.PLAY_REFUSED
    assert codes_in(talk)[-1] == "NetStream.Play.Failed"
    assert talk.replies[-1].stream_id == 1


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x06" + bytes(1536)])
def test_s10_s11_other_protocols(first: bytes, cut: Slicing) -> None:
    talk = Talk().say(first, cut)
    assert talk.closed is CloseReason.NOT_RTMP
    assert talk.output == b""


@pytest.mark.parametrize("unknown", ["FCSubscribe", "setStreamQualities", ""])
def test_unknown_commands_are_skipped(unknown: str, cut: Slicing) -> None:
    talk = Talk().say(START + command(unknown, 9, NULL), cut)
    assert talk.tally[MessageKind.COMMAND_UNKNOWN] == 1
    assert talk.closed is None


@pytest.mark.parametrize("type_id", [0, 7, 9, 16, 19, 21, 23, 255])
def test_other_messages_are_skipped(type_id: int, cut: Slicing) -> None:
    talk = Talk().say(START + full(9, 0, b"whatever", type_id=type_id), cut)
    assert talk.closed is None
    assert talk.tags == []


# Refusals


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.UNKNOWN_STREAM, "NetStream.Publish.Denied"),
        (Refusal.UNAUTHORIZED, "NetStream.Publish.Denied"),
        (Refusal.SHUTTING_DOWN, "NetStream.Publish.Denied"),
        (Refusal.BUSY, "NetStream.Publish.BadName"),
        (Refusal.BAD_NAME, "NetStream.Publish.BadName"),
    ],
)
def test_refusal_waits_then_says_why(refusal: Refusal, code: str, cut: Slicing) -> None:
    talk = Talk(refusal=refusal).say(START + full(4, 0, ASC) * 100, cut).wait(1.4)
    assert talk.closed is None
    assert "NetStream.Publish.Start" not in codes_in(talk)
    assert talk.wait(0.2).closed is CloseReason.REFUSED
    assert codes_in(talk)[-1] == code
    assert talk.replies[-1].stream_id == 1
    assert talk.tags == []


# Audio


def test_frames_wait_for_a_configuration(cut: Slicing) -> None:
    talk = Talk().say(START + full(4, 0, frame(9)) + full(4, 0, ASC) + full(4, 0, frame(9)), cut)
    assert [tag.is_config for tag in talk.tags] == [True, False]
    assert talk.tally[MessageKind.AUDIO_BEFORE_CONFIG] == 1


def test_unsupported_audio_is_reported_once(cut: Slicing) -> None:
    opus = full(4, 0, b"\x91Opus" + bytes(20))
    talk = Talk().say(START + opus * 3, cut)
    assert [e for e in talk.events if isinstance(e, AudioUnsupported)] == [AudioUnsupported("Opus")]
    assert talk.tally[MessageKind.AUDIO_UNSUPPORTED] == 3


# Timers


def test_handshake_has_its_time() -> None:
    talk = Talk().say(b"\x03").wait(4.9)
    assert talk.closed is None
    assert talk.wait(0.2).closed is CloseReason.HANDSHAKE_TIMEOUT


def test_slow_handshake_is_not_saved_by_its_bytes() -> None:
    talk = Talk()
    for _ in range(60):
        talk.say(b"\x03").wait(0.1)
    assert talk.closed is CloseReason.HANDSHAKE_TIMEOUT


def test_silence_after_the_handshake_ends() -> None:
    talk = Talk().say(HANDSHAKE).wait(9.9)
    assert talk.closed is None
    assert talk.wait(0.2).closed is CloseReason.PUBLISH_TIMEOUT


def test_publish_needs_audio_it_can_decode() -> None:
    talk = Talk().say(START)
    for _ in range(19):
        talk.say(full(4, 0, b"\x91Opus" + bytes(20))).wait(1)
    assert talk.closed is None
    assert talk.wait(2).closed is CloseReason.FIRST_AUDIO_TIMEOUT


def test_live_publish_lives_as_long_as_it_sends() -> None:
    talk = Talk().say(START + full(4, 0, ASC))
    for minute in range(120):
        talk.say(full(4, 14_000 * minute, frame(9))).wait(14)
    assert talk.closed is None


def test_idle_publish_ends() -> None:
    talk = Talk().say(START + full(4, 0, ASC) + full(4, 0, frame(9))).wait(14.9)
    assert talk.closed is None
    assert talk.wait(0.2).closed is CloseReason.IDLE_TIMEOUT


def test_pings_are_sent_while_publishing() -> None:
    talk = Talk().say(START + full(4, 0, ASC) + full(4, 0, frame(9)))
    for _ in range(6):
        talk.say(control(3, u32(1))).wait(10)
    pings = [m for m in talk.replies if m.type_id == 4 and m.payload[:2] == b"\x00\x06"]
    assert len(pings) == 3


def test_peer_that_does_not_read_ends() -> None:
    talk = Talk().say(START + full(4, 0, ASC) + full(4, 0, frame(9)))
    talk.session.output_blocked(talk.now)
    talk.session.output_flowing()
    talk.wait(11)
    assert talk.closed is None
    talk.session.output_blocked(talk.now)
    talk.say(full(4, 0, frame(9)))
    assert talk.wait(11).closed is CloseReason.WRITE_TIMEOUT


# Limits and misuse


def test_commands_before_publish_are_bounded(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + command("what", 0, NULL) * 40, cut)
    assert talk.closed is CloseReason.TOO_MANY_COMMANDS


def test_created_streams_are_bounded(cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + CONNECT + CREATE * 9, cut)
    assert talk.closed is CloseReason.TOO_MANY_STREAMS


@pytest.mark.parametrize("reason", [CloseReason.STOPPED, CloseReason.TAKEN_OVER])
def test_live_publisher_is_told_why_it_ends(reason: CloseReason) -> None:
    talk = Talk().say(START)
    talk.session.close(reason)
    talk.session.close(reason)
    talk.say(full(4, 0, ASC))
    assert talk.session.phase is Phase.CLOSED
    assert talk.session.due_at is None
    assert talk.session.take_output() == b""


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_close_but_the_last(phase: Phase) -> None:
    assert (Signal.CLOSE in TRANSITIONS[phase]) == (phase is not Phase.CLOSED)


def test_what_is_not_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="ACCEPT means nothing in phase OPEN"):
        next_phase(Phase.OPEN, Signal.ACCEPT)


# Arbitrary bytes


@pytest.mark.parametrize("seed", range(8))
def test_s12_garbage_after_the_handshake(seed: int, cut: Slicing) -> None:
    talk = Talk().say(HANDSHAKE + random.Random(seed).randbytes(8000), cut)
    assert talk.session.unfinished_bytes <= DEFAULT_LIMITS.unfinished_bytes


FRAGMENTS = st.sampled_from(
    [
        CONNECT,
        CREATE,
        PUBLISH,
        full(4, 0, ASC),
        full(4, 9, frame(200)),
        metadata(NULL),
        command("deleteStream", 0, NULL),
        command("play", 0, NULL),
        control(2, u32(4)),
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=60), max_size=12), st.integers(1, 500))
def test_whatever_comes_only_typed_ends_follow(parts: list[bytes], piece: int) -> None:
    said = HANDSHAKE + b"".join(parts)
    limits = Limits(media_bytes=2000, command_bytes=1000, unfinished_bytes=3000)
    in_pieces = Talk(limits).say(
        said, lambda d: (d[i : i + piece] for i in range(0, len(d), piece))
    )
    at_once = Talk(limits).say(said)
    assert in_pieces.events == at_once.events
    assert [m for m in in_pieces.replies if m.type_id != 3] == [
        m for m in at_once.replies if m.type_id != 3
    ]
    assert in_pieces.session.unfinished_bytes <= 3000

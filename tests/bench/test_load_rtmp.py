"""The bench's RTMP against the service's, without a socket, and byte by byte."""

import pytest

from bench.load.egress import Conversation, Step, Stream
from bench.load.rtmp import AUDIO, COMMAND, SET_CHUNK_SIZE, ChunkReader, ChunkWriter, amf
from bench.load.sound import AUDIO_SPECIFIC_CONFIG, FRAMES, Sound
from realtime_core.rtmp.events import PublishRequested
from realtime_core.rtmp.reasons import CloseReason, Refusal
from tests.rtmp.talk import Talk
from tests.rtmp.vectors import SLICINGS, Slicing, full, set_chunk_size


@pytest.fixture(params=SLICINGS)
def cut(request: pytest.FixtureRequest) -> Slicing:
    return SLICINGS[request.param]


def _introduced(talk: Talk, cut: Slicing) -> Conversation:
    """Let both talk until neither has anything more to say."""
    conversation = Conversation(1937, "room-7")
    said = conversation.hello()
    while said:
        talk.say(said)
        heard, talk.output = talk.output, b""
        said = b"".join(conversation.receive(piece) for piece in cut(heard))
    return conversation


def test_a_publisher_comes_as_far_as_a_publish(cut: Slicing) -> None:
    talk = Talk()
    conversation = _introduced(talk, cut)
    assert conversation.step is Step.NOTHING
    assert conversation.refused is None
    (request,) = (event for event in talk.events if isinstance(event, PublishRequested))
    assert "room-7" in repr(request)


def test_a_refusal_is_told_by_its_code(cut: Slicing) -> None:
    talk = Talk(refusal=Refusal.UNKNOWN_STREAM)
    conversation = _introduced(talk, cut)
    talk.wait(30)
    conversation.receive(talk.output)
    assert conversation.refused == "NetStream.Publish.Denied"
    assert conversation.step is Step.STARTED


def test_a_ping_is_answered() -> None:
    talk = Talk()
    conversation = _introduced(talk, SLICINGS["whole"])
    ping = bytes.fromhex("02000000 000006 04 00000000 0006 0000002a")
    assert conversation.receive(ping)[-6:] == bytes.fromhex("0007 0000002a")


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_frames_arrive_whole_and_at_their_time_beyond_the_loop(beeps: Sound) -> None:
    talk = Talk()
    _introduced(talk, SLICINGS["whole"])
    stream = Stream(beeps)
    count = 2 * FRAMES + 5
    talk.say(stream.opening + b"".join(stream.frame(number) for number in range(count)))
    config, *frames = talk.tags
    assert (config.payload, config.is_config) == (b"\xaf\x00" + AUDIO_SPECIFIC_CONFIG, True)
    assert [tag.payload[2:] for tag in frames] == [*beeps.frames, *beeps.frames, *beeps.frames[:5]]
    assert [tag.timestamp_ms for tag in frames] == [n * 64 // 3 for n in range(count)]


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_bytes_look_like_those_of_egress(beeps: Sound) -> None:
    stream = Stream(beeps)
    first, later = stream.frame(0), [stream.frame(number) for number in range(FRAMES, 3 * FRAMES)]
    assert first[:1] == b"\x45"  # type 1 on chunk stream 5
    assert first[8 + 128 : 8 + 129] == b"\xc5"  # goes on after 128 bytes
    assert later[:FRAMES] == later[FRAMES:]


def test_headers_say_only_what_is_new() -> None:
    writer = ChunkWriter(5)
    steps = [(0, 7), (0, 340), (23, 10), (46, 10), (70, 10), (94, 10)]
    written = [writer.message(AUDIO, 1, bytes(length), at_ms) for at_ms, length in steps]
    heads = [
        "05 000000 000007 08 01000000",
        "45 000000 000154 08",
        "45 000017 00000a 08",
        "c5",
        "85 000018",
        "c5",
    ]
    for message, head in zip(written, heads, strict=True):
        assert message.startswith(bytes.fromhex(head) + bytes(7))


def test_a_clean_end_is_one() -> None:
    talk = Talk()
    conversation = _introduced(talk, SLICINGS["whole"])
    talk.say(conversation.farewell())
    talk.wait(30)
    assert talk.closed is CloseReason.UNPUBLISHED


def test_a_servers_chunk_size_is_obeyed() -> None:
    reader = ChunkReader()
    long = amf("x" * 300)
    small = ChunkWriter(3).message(COMMAND, 0, long)
    assert reader.feed(small) == [(COMMAND, long)]
    large = b"\x03" + bytes(3) + len(long).to_bytes(3, "big") + bytes([COMMAND]) + bytes(4) + long
    assert reader.feed(set_chunk_size(4096) + large) == [
        (SET_CHUNK_SIZE, (4096).to_bytes(4, "big")),
        (COMMAND, long),
    ]


def test_a_servers_extended_timestamp_is_skipped() -> None:
    payload = amf("late")
    assert ChunkReader().feed(full(3, 20_000_000, payload, type_id=COMMAND)) == [(COMMAND, payload)]

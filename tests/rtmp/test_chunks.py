"""The chunk layer: conformance C1 to C15, properties, and arbitrary bytes."""

import contextlib
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_core.errors import ProtocolViolation
from realtime_core.rtmp.chunk_writer import ChunkWriter
from realtime_core.rtmp.chunks import ChunkReader
from realtime_core.rtmp.limits import DEFAULT_LIMITS, Limits
from realtime_core.rtmp.messages import Message, MessageKind, MessageType
from realtime_core.rtmp.reasons import CloseReason
from tests.rtmp.talk import Talk, messages_in
from tests.rtmp.vectors import (
    ASC,
    START,
    Slicing,
    basic,
    chunks,
    control,
    delta,
    frame,
    full,
    header,
    set_chunk_size,
    u24,
    u32,
)
from tests.rtmp.writers import Encoder, EncoderStream, Repeat

CONFIGURED = START + full(20, 0, ASC)


def frames(talk: Talk) -> list[bytes]:
    return [tag.payload for tag in talk.tags if not tag.is_config]


def test_c1_interleaved_messages_stay_whole(cut: Slicing) -> None:
    video = b"\x17\x01" + b"v" * 700
    v = [basic(3, 6) + video[at : at + 128] for at in range(0, 702, 128)]
    v[0] = header(0, 6, 0, 702, 9) + video[:128]
    a = [basic(3, 4) + frame(372)[at : at + 128] for at in range(0, 372, 128)]
    a[0] = header(0, 4, 0, 372) + frame(372)[:128]
    mixed = v[0] + a[0] + v[1] + a[1] + v[2] + a[2] + b"".join(v[3:])
    read = messages_in(mixed, cut)
    assert [(m.type_id, m.payload) for m in read] == [(8, frame(372)), (9, video)]


def test_c2_chunk_size_changes_in_mid_message(cut: Slicing) -> None:
    payload = frame(372)
    data = header(0, 4, 0, 372) + payload[:128] + set_chunk_size(4096) + basic(3, 4)
    talk = Talk().say(CONFIGURED + data + payload[128:] + full(4, 23, frame(100)), cut)
    assert frames(talk) == [frame(372), frame(100)]


@pytest.mark.parametrize("csid", [2, 63, 64, 70, 319, 320, 1000, 65_599])
def test_c3_chunk_stream_ids_of_all_sizes(csid: int, cut: Slicing) -> None:
    read = messages_in(full(csid, 0, frame(372)) + full(csid, 23, frame(372)), cut)
    assert [(m.timestamp_ms, m.payload) for m in read] == [(0, frame(372)), (23, frame(372))]


def test_c3_ids_on_the_wire() -> None:
    assert [basic(0, csid).hex() for csid in (70, 319, 320, 1000, 65_599)] == [
        "0006", "00ff", "010001", "01a803", "01ffff"
    ]  # fmt: skip


def test_c4_abort_drops_the_message_in_the_making(cut: Slicing) -> None:
    begun = full(4, 0, frame(372))[: 12 + 128 + 1 + 128]
    rest = full(4, 23, frame(372, 1)) + full(4, 46, frame(372, 2))
    talk = Talk().say(CONFIGURED + begun + control(2, u32(4)) + rest, cut)
    assert frames(talk) == [frame(372, 1), frame(372, 2)]
    assert talk.tally[MessageKind.PARTIAL_DROPPED] == 1


@pytest.mark.parametrize("csid", [9, 70_000, 2**32 - 1])
def test_c4_abort_of_an_unknown_chunk_stream_means_nothing(csid: int, cut: Slicing) -> None:
    talk = Talk().say(CONFIGURED + control(2, u32(csid)) + full(4, 0, frame(372)), cut)
    assert frames(talk) == [frame(372)]


def test_new_header_in_mid_message_replaces_it(cut: Slicing) -> None:
    begun = full(4, 0, frame(372))[: 12 + 128]
    talk = Talk().say(CONFIGURED + begun + full(4, 23, frame(372, 1)), cut)
    assert frames(talk) == [frame(372, 1)]
    assert talk.tally[MessageKind.PARTIAL_DROPPED] == 1
    assert talk.session.unfinished_bytes == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xe8" + b"x" * 50, CloseReason.BAD_CHUNK_HEADER),
        (b"\xa8" + bytes(20), CloseReason.BAD_CHUNK_HEADER),
        (set_chunk_size(0), CloseReason.BAD_CHUNK_SIZE),
        (set_chunk_size(0x80000000), CloseReason.BAD_CHUNK_SIZE),
        (control(1, b"\x00\x01"), CloseReason.BAD_CONTROL_MESSAGE),
        (control(6, u32(1)), CloseReason.BAD_CONTROL_MESSAGE),
        (control(4, b"\x00\x06\x00"), CloseReason.BAD_CONTROL_MESSAGE),
        (control(3, bytes(5000)), CloseReason.MESSAGE_TOO_LARGE),
        (full(3, 0, bytes(65_537), type_id=20), CloseReason.MESSAGE_TOO_LARGE),
    ],
    ids=["c5-type-3", "c5-type-2", "c6", "c6-top-bit", "c7", "bandwidth", "ping", "ack", "command"],
)
def test_violations_end_the_connection(data: bytes, reason: CloseReason, cut: Slicing) -> None:
    talk = Talk().say(CONFIGURED + full(4, 0, frame(9)) + data + full(4, 0, frame(9)), cut)
    assert talk.closed is reason
    assert len(frames(talk)) == 1, "what came before the fault is delivered, what follows is not"


def test_c8_huge_chunk_size_is_clamped(cut: Slicing) -> None:
    talk = Talk().say(CONFIGURED + set_chunk_size(0x7FFFFFFF) + full(4, 0, frame(100)), cut)
    assert frames(talk) == [frame(100)]


def test_c9_chunk_size_holds_from_the_next_chunk(cut: Slicing) -> None:
    one_chunk = chunks(header(0, 4, 0, 372), frame(372), 4, size=4096)
    talk = Talk().say(CONFIGURED + set_chunk_size(4096) + one_chunk, cut)
    assert frames(talk) == [frame(372)]


@pytest.mark.parametrize("nothing", [b"", b"\xaf", b"\xaf\x01", b"\xaf\x00"])
def test_c10_c11_audio_without_sound_is_counted(nothing: bytes, cut: Slicing) -> None:
    talk = Talk().say(CONFIGURED + full(4, 0, nothing) + full(4, 23, frame(372)), cut)
    assert frames(talk) == [frame(372)]
    assert talk.tally[MessageKind.AUDIO_EMPTY] == 1


def test_c12_aggregate_is_taken_apart(cut: Slicing) -> None:
    def tag(at: int, body: bytes) -> bytes:
        stamp = u24(at & 0xFFFFFF) + bytes([at >> 24])
        return b"\x08" + u24(len(body)) + stamp + bytes(3) + body + u32(len(body) + 11)

    body = tag(0x1000000, frame(372)) + tag(0x1000017, frame(372, 1))
    talk = Talk().say(CONFIGURED + full(4, 500, body, type_id=22), cut)
    assert [(t.timestamp_ms, t.payload) for t in talk.tags[1:]] == [
        (500, frame(372)), (523, frame(372, 1))
    ]  # fmt: skip


def test_c12_cut_aggregate_keeps_what_it_has(cut: Slicing) -> None:
    body = b"\x08" + u24(372) + bytes(7) + frame(372) + u32(383) + b"\x08" + u24(9) + bytes(7)
    talk = Talk().say(CONFIGURED + full(4, 0, body, type_id=22), cut)
    assert frames(talk) == [frame(372)]
    assert talk.tally[MessageKind.AGGREGATE_MALFORMED] == 1
    assert talk.closed is None


def test_c13_sixteen_megabytes_are_refused_at_the_header(cut: Slicing) -> None:
    huge = set_chunk_size(0x7FFFFFFF) + header(0, 4, 0, 0xFFFFFF)
    talk = Talk().say(CONFIGURED + huge, cut)
    assert talk.closed is CloseReason.MESSAGE_TOO_LARGE
    assert talk.session.unfinished_bytes == 0


def test_c14_many_messages_in_the_making_are_bounded(cut: Slicing) -> None:
    limits = Limits(media_bytes=10_000, unfinished_bytes=20_000)
    data = set_chunk_size(9_000)
    data += b"".join(header(0, csid, 0, 10_000) + bytes(9_000) for csid in range(64, 104))
    with pytest.raises(ProtocolViolation, match="too_much_unfinished"):
        messages_in(data, cut, limits)


def test_c14_chunk_streams_are_bounded(cut: Slicing) -> None:
    data = b"".join(full(csid, 0, b"") for csid in range(100, 133))
    with pytest.raises(ProtocolViolation, match="too_many_chunk_streams"):
        messages_in(data, cut)


def test_c15_fresh_chunk_stream_may_begin_with_type_1(cut: Slicing) -> None:
    ping = bytes.fromhex("42000000 000006 04 0006 00000001")
    assert messages_in(ping, cut) == [Message(4, 0, 0, bytes.fromhex("000600000001"))]


# Properties


def messages(longest_ms: int = 2**32 - 1, shortest_bytes: int = 0) -> st.SearchStrategy[Message]:
    times = st.one_of(st.integers(0, longest_ms), st.sampled_from([0, 23, 46, 0xFFFFFF]))
    bodies = st.integers(shortest_bytes, 400).map(lambda length: b"\xee" * length)
    return st.builds(
        Message, st.sampled_from([8, 9, 18]), times, st.sampled_from([1, 1, 2]), bodies
    )


ENCODERS = st.builds(
    lambda *settings: Encoder([EncoderStream(csid, *settings) for csid in (4, 70, 400)]),
    st.sampled_from([Repeat.FIELD, Repeat.ABSOLUTE]),
    st.booleans(),
)
TURNS = st.lists(st.integers(0, 2), max_size=60)


@given(
    encoder=ENCODERS,
    written=st.lists(st.tuples(st.integers(0, 2), messages()), max_size=20),
    turns=TURNS,
    piece=st.integers(1, 500),
)
def test_reads_what_encoders_write(
    encoder: Encoder, written: list[tuple[int, Message]], turns: list[int], piece: int
) -> None:
    data = encoder.write(written, turns)
    read = messages_in(data, lambda d: (d[at : at + piece] for at in range(0, len(d), piece)))
    assert sorted(read) == sorted(message for _, message in written)
    for index in range(3):
        remaining = iter(read)  # in order: each is found behind the one before
        assert all(message in remaining for stream, message in written if stream == index)


@given(written=st.lists(messages(0xED000000, 1), max_size=20), piece=st.integers(1, 500))
def test_reads_encoders_that_do_not_repeat_the_extension(
    written: list[Message], piece: int
) -> None:
    # Time goes forward and payloads begin with 0xee, so nothing looks like a repetition.
    written.sort(key=lambda message: message.timestamp_ms)
    data = Encoder([EncoderStream(4, Repeat.NOTHING)]).write([(0, m) for m in written], [])
    assert (
        messages_in(data, lambda d: (d[i : i + piece] for i in range(0, len(d), piece))) == written
    )


@given(payload=st.binary(max_size=1000), size=st.integers(1, 300), stream_id=st.integers(0, 9))
def test_reads_what_it_writes(payload: bytes, size: int, stream_id: int) -> None:
    writer = ChunkWriter()
    writer.chunk_bytes = size
    data = set_chunk_size(size) + writer.message(3, MessageType.DATA, stream_id, payload)
    assert messages_in(data)[1:] == [Message(MessageType.DATA, 0, stream_id, payload)]


@given(st.binary(max_size=3000), st.integers(1, 64))
@example(set_chunk_size(1) + b"\x04" + bytes(30), 7)
def test_arbitrary_bytes_raise_one_error_and_stay_bounded(data: bytes, piece: int) -> None:
    limits = Limits(media_bytes=500, command_bytes=300, unfinished_bytes=600, chunk_streams=4)
    reader = ChunkReader(limits, Counter())
    with contextlib.suppress(ProtocolViolation):  # any other exception fails the test
        for at in range(0, len(data), piece):
            reader.feed(data[at : at + piece])
            assert all(len(message.payload) <= 500 for message in reader.messages())
            assert reader.unfinished_bytes <= 600


class ChunkByChunk(ChunkReader):
    """Never takes the short cut."""

    def whole_audio(self) -> Message | None:
        return None


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What encoders write, and now and then something else in the middle of it."""
    encoder = draw(ENCODERS)
    longest_ms = draw(st.sampled_from([2000, 0x1000010]))
    written = draw(st.lists(st.tuples(st.integers(0, 2), messages(longest_ms)), max_size=12))
    data = encoder.write(written, draw(TURNS)) * draw(st.integers(1, 2))
    at = draw(st.integers(0, len(data)))
    odd = draw(st.sampled_from([b"", set_chunk_size(64), control(2, u32(4)), b"\xc4", b"\x44"]))
    return data[:at] + odd + data[at:]


@given(stream=streams(), data=st.data(), tight=st.booleans())
def test_the_short_cut_changes_nothing(stream: bytes, data: st.DataObject, tight: bool) -> None:
    limits = Limits(media_bytes=380, unfinished_bytes=700) if tight else DEFAULT_LIMITS
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    assert trace(ChunkReader, limits, stream, cuts) == trace(ChunkByChunk, limits, stream, cuts)


def trace(
    kind: type[ChunkReader], limits: Limits, stream: bytes, cuts: list[int]
) -> list[tuple[object, ...]]:
    """What a reader says and holds after each piece, and how it ends."""
    tally = Counter[MessageKind]()
    reader, seen = kind(limits, tally), list[tuple[object, ...]]()
    try:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            reader.feed(stream[start:end])
            for message in reader.messages():
                seen.append((*message, reader.consumed_bytes, reader.unfinished_bytes))
            seen.append((reader.consumed_bytes, reader.unfinished_bytes, reader.is_empty))
    except ProtocolViolation as violation:
        seen.append((str(violation),))
    return [*seen, tuple(tally.items())]


def reader_behind(data: bytes) -> ChunkReader:
    reader = ChunkReader(DEFAULT_LIMITS, Counter())
    reader.feed(data)
    assert list(reader.messages())
    return reader


PLAIN = [
    chunks(header(1, 4, 23, 372), frame(372), 4),
    chunks(header(1, 4, 23, 100), frame(100), 4),
    chunks(header(2, 4, 23), frame(372), 4),
    chunks(header(3, 4), frame(372), 4),
]


@pytest.mark.parametrize("plain", PLAIN, ids=["type-1", "one-chunk", "type-2", "type-3"])
def test_plain_audio_takes_the_short_cut(plain: bytes) -> None:
    begun = full(4, 0, ASC) + chunks(header(1, 4, 23, 372), frame(372), 4)
    reader = reader_behind(begun)
    reader.feed(plain + plain[:20])
    message = reader.whole_audio()
    assert message is not None
    assert (message.type_id, message.timestamp_ms, message.stream_id) == (8, 46, 1)
    assert message.payload in (frame(372), frame(100))
    assert reader.consumed_bytes == len(begun + plain)
    assert reader.whole_audio() is None, "the next one is not here as a whole"


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\x44",
        PLAIN[0][:-1],
        full(4, 23, frame(372)),
        full(9, 0, frame(372)),
        chunks(header(1, 4, 23, 372, 9), frame(372), 4),
        chunks(header(1, 4, 0x1000000, 372), frame(372), 4, repeat=u32(0x1000000)),
        chunks(header(3, 4), ASC, 4) + PLAIN[0],
        header(1, 4, 23, 372) + frame(372)[:128] + full(6, 0, frame(300)),
        header(1, 4, 23, 0),
        header(1, 4, 23, 0xFFFFFF) + bytes(400),
    ],
    ids=["nothing", "one-byte", "cut", "type-0", "unknown-stream", "video", "extended",
         "repeats-absolute", "interleaved", "empty", "too-large"],
)  # fmt: skip
def test_all_else_goes_the_long_way(other: bytes) -> None:
    reader = reader_behind(full(4, 7, ASC))
    reader.feed(other)
    consumed_bytes = reader.consumed_bytes
    assert reader.whole_audio() is None
    assert reader.consumed_bytes == consumed_bytes


@pytest.mark.parametrize(
    "before",
    [
        header(1, 4, 23, 372) + frame(372)[:128],
        header(1, 4, 23, 372) + frame(372)[:50],
        chunks(header(1, 4, 0x1000000, 372), frame(372), 4, repeat=u32(0x1000000)),
        full(6, 0, bytes(600), type_id=9)[:50],
        full(6, 0, bytes(600), type_id=9)[: 12 + 128 + 3 * 129],
    ],
    ids=["in-mid-message", "in-mid-chunk", "behind-extended", "in-anothers-chunk", "much-held"],
)
def test_there_is_no_short_cut_from_everywhere(before: bytes) -> None:
    reader = ChunkReader(Limits(media_bytes=600, unfinished_bytes=850), Counter())
    reader.feed(full(4, 7, ASC) + before)
    assert list(reader.messages())
    reader.feed(PLAIN[0])
    assert reader.whole_audio() is None


@given(st.lists(st.binary(max_size=40), max_size=30), st.data())
def test_slicing_never_matters(parts: list[bytes], data: st.DataObject) -> None:
    stream = set_chunk_size(5) + b"".join(full(4, 0, part) + delta(5, 7, part) for part in parts)
    stream += data.draw(st.binary(max_size=30))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    assert outcome(stream, []) == outcome(stream, cuts)


def outcome(stream: bytes, cuts: list[int]) -> tuple[list[Message], str]:
    reader, read = ChunkReader(DEFAULT_LIMITS, Counter()), list[Message]()
    try:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            reader.feed(stream[start:end])
            for message in reader.messages():
                read.append(message)
    except ProtocolViolation as violation:
        return read, violation.reason
    return read, ""

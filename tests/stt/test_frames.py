"""Frames are cut apart wherever they were split, and the usual ones read as the library would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from realtime_core.stt.frames import FrameSplitter, binary_frame, text_of

LENGTHS = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000])
OPCODES = st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT])
FRAMES = st.builds(
    lambda opcode, length, fin: Frame(opcode, b"x" * length, fin), OPCODES, LENGTHS, st.booleans()
)


def _as_the_library_reads(sent: bytes) -> Frame:
    reader = StreamReader()
    reader.feed_data(sent)
    with pytest.raises(StopIteration) as ended:
        next(Frame.parse(reader.read_exact, mask=True))
    frame = ended.value.value
    assert isinstance(frame, Frame)
    return frame


@pytest.mark.parametrize("length", [0, 2, 124, 126, 682, 65_534, 65_536, 2**18])
def test_audio_is_framed_as_the_library_reads_it(length: int) -> None:
    chunk = bytes(n % 251 for n in range(length))
    assert _as_the_library_reads(binary_frame(chunk, b"mask")) == Frame(Opcode.BINARY, chunk)


@given(frames=st.lists(FRAMES, max_size=4), piece=st.sampled_from([1, 3, 4_000, 10**6]))
def test_frames_come_out_whole_however_they_came(frames: list[Frame], piece: int) -> None:
    sent = [frame.serialize(mask=False) for frame in frames]
    stream = b"".join(sent)
    if piece < 4 and len(stream) > 2_000:
        piece *= 1_000
    splitter = FrameSplitter(10**6)
    came = [
        frame
        for at in range(0, len(stream), piece)
        for frame in splitter.split(stream[at : at + piece])
    ]
    assert came == sent


@given(frame=FRAMES)
def test_only_a_whole_text_is_read(frame: Frame) -> None:
    is_usual = frame.opcode is Opcode.TEXT and frame.fin and len(frame.data) < 2**16
    assert text_of(frame.serialize(mask=False)) == (frame.data if is_usual else None)


def test_a_masked_text_is_left_to_who_refuses_it() -> None:
    assert text_of(Frame(Opcode.TEXT, b"hello").serialize(mask=True)) is None


def test_what_announces_too_much_is_not_waited_for() -> None:
    head = Frame(Opcode.TEXT, b"x" * 70_001).serialize(mask=False)[:20]
    assert FrameSplitter(70_000).split(head) == [head]
    assert FrameSplitter(70_001).split(head) == []


def test_nothing_is_no_frame() -> None:
    assert FrameSplitter(100).split(b"") == []

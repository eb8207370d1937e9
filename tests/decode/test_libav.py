"""What PyAV has to be protected from, and we from it."""

from pathlib import Path

import pytest
from av.error import FFmpegError

from realtime_core.decode.backlog import Frame
from realtime_core.decode.libav import MOST_FRAME_BYTES, Aac
from tests.decode.aac import GARBAGE, Recording


def frame(sweep: Recording, number: int) -> Frame:
    return Frame(sweep.config, sweep.frames[number], 0, 0)


def decoded(aac: Aac, sweep: Recording, numbers: range) -> bytes:
    return b"".join(aac.decode(frame(sweep, number)) for number in numbers)


def test_the_pcm_is_as_long_as_its_frames_less_what_the_resampler_keeps(sweep: Recording) -> None:
    aac = Aac()
    pcm = decoded(aac, sweep, range(43))
    assert 0 < sweep.place(43) - len(pcm) // 2 <= 17
    assert len(pcm + aac.reset()) // 2 == pytest.approx(sweep.place(43), abs=1)
    assert aac.reset() == b""


def test_a_decoder_takes_no_threads(sweep: Recording) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    rooms = [Aac() for _ in range(10)]
    for aac in rooms:
        assert decoded(aac, sweep, range(3))
    assert threads() == before


@pytest.mark.parametrize("size", [0, MOST_FRAME_BYTES + 1])
def test_a_frame_of_no_possible_size_never_gets_to_the_library(sweep: Recording, size: int) -> None:
    aac = Aac()
    decoded(aac, sweep, range(5))
    with pytest.raises(ValueError, match=f"{size} bytes"):
        aac.decode(Frame(sweep.config, b"\xaf\x01" + bytes(size), 0, 0))
    assert decoded(aac, sweep, range(5, 10))


def test_after_a_frame_that_cannot_be_decoded_comes_one_that_can(sweep: Recording) -> None:
    aac = Aac()
    decoded(aac, sweep, range(5))
    with pytest.raises(FFmpegError):
        aac.decode(Frame(sweep.config, GARBAGE, 0, 0))
    aac.reset()
    assert decoded(aac, sweep, range(5, 10))


def test_a_configuration_without_sense_is_an_error(sweep: Recording) -> None:
    with pytest.raises((FFmpegError, ValueError)):
        Aac().decode(Frame(b"\xaf\x00\xff\xff", sweep.frames[0], 0, 0))

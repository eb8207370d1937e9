"""One process, on both event loops."""

import asyncio
import shutil
from collections.abc import Iterator

from realtime_core.decode.inlet import Inlet
from realtime_core.decode.intake import Intake
from realtime_core.decode.run import WITHIN_S, Outcome, Run
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import BYTES_PER_SECOND, seconds_of
from realtime_core.processes import child_process
from tests.eventually import eventually
from tests.virtual_time import in_virtual_time


async def test_a_process_that_dies_before_anything_was_written_to_it_has_crashed_and_no_more() -> (
    None
):
    program = shutil.which("false")
    assert program
    intake = Intake(Metrics(), get_logger("test"), queue_s=10)
    started: list[bool] = []
    pcm: list[bytes] = []
    run = Run(intake, pcm.append, stall_s=5, started=lambda: started.append(True))
    async with child_process([program], env={}, grace_s=1, output=run.output) as child:
        await eventually(child.stdin.is_closing)
        await run.work(child)
    assert run.ending().outcome is Outcome.CRASHED
    assert not started
    assert not pcm


def test_a_process_that_closes_its_input_upsets_no_loop() -> None:
    """asyncio's own asks a protocol that only writes about the end of what it reads, too."""
    inlet = Inlet(Intake(Metrics(), get_logger("test"), queue_s=10))
    assert not inlet.eof_received()


class Frames(Intake):
    """An intake that has given FFmpeg so much audio, and takes what comes out."""

    def __init__(self, given_s: float) -> None:
        super().__init__(Metrics(), get_logger("test"), queue_s=10)
        self.owed_s = given_s
        self.taken: list[bytes] = []

    @property
    def held_s(self) -> float:
        return self.owed_s

    def receive(self, pcm: bytes) -> Iterator[bytes]:
        self.owed_s -= seconds_of(len(pcm))
        self.taken.append(pcm)
        yield pcm


ONE_FRAME = bytes(round(0.02 * BYTES_PER_SECOND))
KEPT_S = 0.001


def working(intake: Intake, emitted: list[bytes]) -> Run:
    return Run(intake, emitted.append, stall_s=5, started=lambda: None)


def test_a_frame_that_was_given_alone_is_handed_on_at_once() -> None:
    async def main() -> None:
        emitted: list[bytes] = []
        working(Frames(0.02 + KEPT_S), emitted).output.data_received(ONE_FRAME)
        assert emitted == [ONE_FRAME]

    in_virtual_time(main())


def test_frames_that_were_given_together_are_handed_on_together() -> None:
    async def main() -> None:
        emitted: list[bytes] = []
        run = working(Frames(0.04 + KEPT_S), emitted)
        run.output.data_received(ONE_FRAME)
        assert emitted == []
        run.output.data_received(ONE_FRAME)
        assert emitted == [2 * ONE_FRAME]

    in_virtual_time(main())


def test_a_frame_whose_second_ffmpeg_does_not_give_waits_for_a_moment_only() -> None:
    async def main() -> None:
        emitted: list[bytes] = []
        working(Frames(0.04), emitted).output.data_received(ONE_FRAME)
        await asyncio.sleep(WITHIN_S)
        await asyncio.sleep(0)
        assert emitted == [ONE_FRAME]

    in_virtual_time(main())


def test_what_waits_when_ffmpeg_leaves_is_not_lost() -> None:
    async def main() -> None:
        emitted: list[bytes] = []
        run = working(Frames(0.04), emitted)
        run.output.data_received(ONE_FRAME)
        run.output.connection_lost(None)
        assert emitted == [ONE_FRAME]

    in_virtual_time(main())

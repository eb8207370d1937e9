"""One process, on both event loops."""

import shutil

from realtime_core.decode.inlet import Inlet
from realtime_core.decode.intake import Intake
from realtime_core.decode.run import Outcome, Run
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.processes import child_process
from tests.eventually import eventually


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

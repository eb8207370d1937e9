"""One process, on both event loops."""

import asyncio
import shutil

from realtime_core.decode.intake import Intake
from realtime_core.decode.outlet import Outlet
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
    async with child_process([program], env={}, grace_s=1) as child:
        await eventually(child.stdin.is_closing)
        child.stdout = asyncio.StreamReader()  # the end of its output is still under way
        run = Run(child, intake, Outlet(2), stall_s=5)
        working = asyncio.create_task(run.work())
        await asyncio.sleep(0.01)
        child.stdout.feed_eof()
        await working
    assert run.ending().outcome is Outcome.CRASHED

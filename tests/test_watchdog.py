"""The watchdog where nobody reads what it has to say; the rest is in ``faults/test_hung.py``."""

import signal
import subprocess
import sys

import pytest

from tests.e2e.served import ROOT

STUCK_WITH_A_FULL_STDERR = """
import asyncio, os, time
from realtime_core import watchdog

watchdog.DUMP_S = 0.3

async def main():
    async with watchdog.watched_loop(1.0):
        await asyncio.sleep(0.1)
        os.set_blocking(2, False)
        try:
            while True:
                os.write(2, bytes(4096))
        except BlockingIOError:
            os.set_blocking(2, True)
        time.sleep(60)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_full_standard_error_does_not_keep_a_hung_process_alive() -> None:
    argv = [sys.executable, "-c", STUCK_WITH_A_FULL_STDERR]
    with subprocess.Popen(
        argv, env={"PYTHONPATH": str(ROOT / "src")}, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.wait(10) == -signal.SIGALRM  # and nobody reads
        finally:
            process.kill()

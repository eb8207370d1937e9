"""Ends a process whose event loop stands still, so that the platform starts it again.

Captions cannot come from such a process and nobody else would end it: Railway looks at the
healthcheck only while it deploys. What the journal holds is safe; what the process held in
memory was lost when it hung.

The watch is kept by a thread of :mod:`faulthandler`, which is written in C and needs no
GIL: it works even while an extension module holds the GIL and does not come back. It writes
the stacks of all threads to standard error and exits with status 1 at once: no ``finally``
runs. A process that was stopped from outside (SIGSTOP, a frozen container) for as long ends
as well when it goes on: its connections are dead, and it does not know that yet.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime_core.aio import TaskSet

BEATS_PER_STALL = 5
DUMP_S = 3.0
"""What writing the stacks may take; after that the kernel ends the process (SIGALRM)."""
EXIT_HUNG = 1
"""What faulthandler exits with, too."""


@asynccontextmanager
async def watched_loop(stall_s: float) -> AsyncIterator[None]:
    """For the length of a block, end the process when the loop has not turned for ``stall_s``.

    One block at a time: the timers belong to the process. Standard error has to be a file.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _arm(stall_s)
    tasks = TaskSet("watchdog")
    _ = tasks.start(_beat(stall_s), "beat")
    try:
        yield
    finally:
        await tasks.close()
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)


async def _beat(stall_s: float) -> None:
    while True:
        armed_at = time.monotonic()
        await asyncio.sleep(stall_s / BEATS_PER_STALL)
        # After a stop from outside we may wake before the thread does, and must not save it.
        if time.monotonic() - armed_at > stall_s:
            faulthandler.cancel_dump_traceback_later()  # or both would write at once
            faulthandler.dump_traceback()
            os._exit(EXIT_HUNG)
        _arm(stall_s)


def _arm(stall_s: float) -> None:
    """Start the time anew."""
    faulthandler.dump_traceback_later(stall_s, exit=True)
    # The dump waits for ever when standard error is a full pipe; the signal does not.
    signal.setitimer(signal.ITIMER_REAL, stall_s + DUMP_S)

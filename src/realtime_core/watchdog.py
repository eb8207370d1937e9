"""Ends a process whose event loop stands still, so that the platform starts it again.

Captions cannot come from such a process and nobody else would end it: Railway looks at the
healthcheck only while it deploys. What the journal holds is safe; what the process held in
memory was lost when it hung.

The watch is kept by a thread of :mod:`faulthandler`, which is written in C and needs no
GIL: it works even while an extension module holds the GIL and does not come back. It writes
the stacks of all threads to standard error and exits with status 1 at once: no ``finally``
runs. A process that was stopped from outside (SIGSTOP, a frozen container) for as long ends
as well when it goes on: its connections are dead, and it does not know that yet. Then the
loop must not turn while its stack is read, which would be read wrong or crash: the handler
of SIGCONT is the first Python the main thread runs, and waits there for the end.
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
    deadline = _Deadline(stall_s)
    deadline.put_off()
    before = signal.signal(signal.SIGCONT, lambda *_: deadline.end_if_passed())
    tasks = TaskSet("watchdog")
    _ = tasks.start(_beat(deadline), "beat")
    try:
        yield
    finally:
        await tasks.close()
        signal.signal(signal.SIGCONT, before)
        deadline.cancel()


async def _beat(deadline: _Deadline) -> None:
    while True:
        await asyncio.sleep(deadline.stall_s / BEATS_PER_STALL)
        deadline.end_if_passed()  # we may wake before the thread does, and must not save it
        deadline.put_off()


class _Deadline:
    """When the process ends, unless it is put off."""

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self._at = 0.0

    def put_off(self) -> None:
        """Start the time anew."""
        self._at = time.monotonic() + self.stall_s
        faulthandler.dump_traceback_later(self.stall_s, exit=True)
        # The dump waits for ever when standard error is a full pipe; the signal does not.
        signal.setitimer(signal.ITIMER_REAL, self.stall_s + DUMP_S)

    def end_if_passed(self) -> None:
        """End the process if it is later than it may be, and nobody else did."""
        if time.monotonic() > self._at:
            faulthandler.cancel_dump_traceback_later()  # never returns if the thread is at it
            faulthandler.dump_traceback()
            os._exit(EXIT_HUNG)

    def cancel(self) -> None:
        """Let the process live."""
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)

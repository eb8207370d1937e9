"""Tasks and timers with an owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """Tasks that are kept while they run, whose failures are logged, and that end together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in a task until it ends or the set is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def wait(self) -> None:
        """Return when none runs any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel what still runs and wait for it. May be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("Task failed", exc_info=exc)


class Timer:
    """Calls a function once, after a while, unless restarted or stopped before."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def restart(self, delay_s: float) -> None:
        """Begin to wait, from now."""
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._callback)

    def stop(self) -> None:
        """Wait no more. May be called twice."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

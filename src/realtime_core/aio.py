"""What asyncio lacks: patience, and tasks that somebody owns."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from realtime_core.logs import get_logger

T = TypeVar("T")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = get_logger("aio")


def asked_to_stop() -> asyncio.Event:
    """Return an event that the first stop signal sets; a second one cancels this task."""
    loop, task, asked = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def stop() -> None:
        if asked.is_set():
            task.cancel()
        asked.set()

    for each in STOP_SIGNALS:
        loop.add_signal_handler(each, stop)
    return asked


def backoff(
    first_s: float = 0.5,
    factor: float = 2.0,
    most_s: float = 30.0,
    *,
    spread: Callable[[float], float] = lambda pause_s: random.uniform(pause_s / 2, pause_s),
) -> Iterator[float]:
    """Yield pauses that grow, for ever, each spread so that peers do not come back in step."""
    pause_s = first_s
    while True:
        yield spread(pause_s)
        pause_s = min(pause_s * factor, most_s)


async def persevere(
    attempt: Callable[[], Awaitable[bool]],
    *,
    may_retry: Callable[[Exception], bool],
    delays: Callable[[], Iterator[float]] = backoff,
    what: str = "attempt",
) -> None:
    """Call ``attempt`` until it is done.

    ``attempt`` returns True when there is nothing more to do, False when it worked for
    a while and was cut off (the pauses start over), and raises when it could not begin.

    Raises:
        Exception: What ``attempt`` raised, when ``may_retry`` says it is final.
    """
    pauses = delays()
    while True:
        try:
            if await attempt():
                return
            pauses = delays()
        except Exception as exc:
            if not may_retry(exc):
                raise
            log.warning("Attempt failed, will try again", what=what, error=repr(exc))
        await asyncio.sleep(next(pauses))


class TaskSet:
    """Tasks with one owner: kept while they run, their failures logged, cancelled together."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run ``work`` in a task of its own until it ends or the set is closed."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait for it. May be called twice."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("Task failed", task=task.get_name(), exc_info=exc)

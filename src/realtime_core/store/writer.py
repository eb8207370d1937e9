"""Takes finals without waiting and sees to it that each reaches the database, once.

The journal is the queue: what is accepted is in it, what the database has committed leaves
it, what is left is written at the next start. What the journal refuses is in memory
(``backlog.py``), and is tried all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from realtime_core.aio import TaskSet, backoff, persevere
from realtime_core.errors import StoreRejected, StoreUnavailable
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import FinalRow, SessionRecord
from realtime_core.store.backlog import MEMORY_ROWS, Backlog
from realtime_core.store.batcher import Batcher
from realtime_core.store.journal import Entry, Journal

log = get_logger("store")

SYNC_EVERY_S = 1.0
FAILURES = ("unavailable", "rejected")


def _pauses() -> Iterator[float]:
    return backoff(0.25, most_s=10.0)


class TranscriptStore(Protocol):
    """What the writer needs of a database, and no more."""

    async def insert(self, rows: Sequence[FinalRow]) -> None:
        """Store ``rows`` together or not at all; an older ``rev`` never replaces a newer one.

        Raises:
            StoreUnavailable: Perhaps nothing was stored; the same rows may be given again.
            StoreRejected: At least one of the rows can never be stored.
        """


class Writer:
    """Owns the way of finals from :meth:`accept` to the database.

    Entering opens the journal and begins with what an earlier run left; the database need
    not be there. Leaving writes what it can in ``stop_timeout_s``, and the rest stays in
    the journal.

    Args:
        store: None means that nothing is stored, and the journal is not opened.
        max_rows: Most rows of a batch.
        max_wait_s: Most seconds a final waits for its batch.
        pauses: How long to wait after each failure of the database.
    """

    def __init__(
        self,
        store: TranscriptStore | None,
        journal: Journal,
        metrics: Metrics,
        *,
        max_rows: int = 50,
        max_wait_s: float = 2.0,
        stop_timeout_s: float = 5.0,
        memory_rows: int = MEMORY_ROWS,
        pauses: Callable[[], Iterator[float]] = _pauses,
    ) -> None:
        self._store, self._journal, self._metrics = store, journal, metrics
        self._batcher = Batcher(max_rows=max_rows, max_wait_s=max_wait_s)
        self._backlog = Backlog(journal, metrics, memory_rows=memory_rows)
        self._stop_timeout_s, self._pauses = stop_timeout_s, pauses
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()  # one batch at a time
        self._tasks = TaskSet("store")
        self._open = False

    @property
    def pending(self) -> int:
        """How many accepted finals are not in the database yet."""
        return len(self._backlog)

    @property
    def is_unsafe(self) -> bool:
        """Whether something is in memory only, because the journal refuses it."""
        return self._backlog.is_unsafe

    async def __aenter__(self) -> Self:
        if self._store is None:
            log.warning("Finals are not stored: there is no database")
            return self
        await self._journal.open()
        self._open = True
        self._export()
        for work, name in ((self._write(), "writer"), (self._sync(), "journal")):
            _ = self._tasks.start(work, name)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._open:
            return
        try:
            await self.flush(self._stop_timeout_s)
        finally:
            await self._tasks.close()
            await self._close()

    def has_stored_all(self, epoch: str) -> bool:
        """Whether each final of a numbering that was accepted in this run is in the database."""
        return not self.pending and epoch not in self._backlog.incomplete

    def accept(self, row: FinalRow, record: SessionRecord | None = None) -> bool:
        """Take a final; never waits. What PostgreSQL refuses in text is taken out of it.

        Args:
            record: Its session's record from this final on, for the journal.

        Returns:
            Whether it is safe: in the journal (or nothing is to be stored). If not, it is
            kept in memory as long as there is room, and lost if the process dies.
        """
        if self._store is None:
            return True
        if not self._open:
            self._backlog.lose(1, "the writer is closed")
            return False
        is_safe = self._backlog.add(row, record)
        self._batcher.arrived(_now())
        self._arrived.set()
        return is_safe

    async def flush(self, timeout_s: float) -> int:
        """Write everything now, trying for so long, and return how many finals are left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await persevere(
                    self._write_all,
                    may_retry=_always,
                    delays=partial(backoff, 0.1, most_s=1.0),
                    what="flush",
                )
        return self.pending

    async def _write(self) -> None:
        await persevere(
            self._write_until_cut_off, may_retry=_always, delays=self._pauses, what="write"
        )

    async def _write_until_cut_off(self) -> bool:
        await self._until_due()
        await self._write_batch()
        while True:
            await self._until_due()
            try:
                await self._write_batch()
            except StoreUnavailable as exc:
                log.warning("Database went away, finals wait", error=str(exc), rows=self.pending)
                return False

    async def _write_all(self) -> bool:
        while self.pending:
            await self._write_batch()
        return True

    async def _until_due(self) -> None:
        while (due_at := self._batcher.due_at(self.pending)) is None or due_at > _now():
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(due_at):
                    await self._arrived.wait()
            except TimeoutError:
                return  # a timer may be early by the clock's resolution

    async def _write_batch(self) -> None:
        async with self._turn:
            await self._store_all(await self._backlog.oldest(self._batcher.max_rows))

    async def _store_all(self, batch: Sequence[Entry]) -> None:
        if not batch:
            return
        try:
            await self._insert([entry.row for entry in batch])
        except StoreRejected as exc:
            await self._store_halves(batch, exc)
        else:
            self._backlog.forget([entry.id for entry in batch])
            self._metrics.stored.inc(len(batch))

    async def _store_halves(self, batch: Sequence[Entry], exc: StoreRejected) -> None:
        if len(batch) == 1:
            self._backlog.reject(batch[0], str(exc))
            return
        middle = len(batch) // 2
        await self._store_all(batch[:middle])
        await self._store_all(batch[middle:])

    async def _insert(self, rows: Sequence[FinalRow]) -> None:
        assert self._store is not None
        begun_at = _now()
        try:
            await self._store.insert(rows)
        except (StoreUnavailable, StoreRejected) as exc:
            rejected = isinstance(exc, StoreRejected)
            self._metrics.batch_failures.labels("rejected" if rejected else "unavailable").inc()
            raise
        self._metrics.batch_rows.observe(len(rows))
        self._metrics.batch_seconds.observe(_now() - begun_at)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            if not self._turn.locked():
                self._backlog.tidy()
            await self._journal.sync()

    async def _close(self) -> None:
        self._open = False
        self._backlog.close()
        if self._journal.rows:
            log.warning("Finals stay in the journal for the next start", rows=self._journal.rows)
        await self._journal.close()

    def _export(self) -> None:
        for kind in FAILURES:
            self._metrics.batch_failures.labels(kind)
        self._metrics.journal_rows.set_function(lambda: self.pending)
        self._metrics.journal_bytes.set_function(lambda: self._journal.bytes)
        self._metrics.journal_oldest_seconds.set_function(lambda: self._journal.oldest_age)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _always(_exc: Exception) -> bool:
    # Giving up on a bug would lose finals; they wait in the journal, and the log says why.
    return True

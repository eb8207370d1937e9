"""The journal: what must survive the process, on the local disk.

It holds the finals that PostgreSQL has not committed yet, and the record of each session that
has not ended. A write goes to the page cache, tens of microseconds on the event loop, and
survives SIGKILL of the process. Reading, and bringing everything to the disk, are done in a
thread, and never hold up a write.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from realtime_core.errors import StoreUnavailable
from realtime_core.logs import get_logger
from realtime_core.model import FinalRow, SessionRecord
from realtime_core.store.journal_file import JournalFile, Statement
from realtime_core.store.records import decode_record, encode_record, renumbered
from realtime_core.store.rows import decode, encode

T = TypeVar("T")
log = get_logger("journal")

LOUD_EVERY_S = 1.0

APPEND = "INSERT INTO finals (appended_at, row) VALUES (?, ?)"
# Updated in place, so that the oldest session stays first.
SAVE = (
    "INSERT INTO sessions (slug, record) VALUES (?, ?)"
    " ON CONFLICT (slug) DO UPDATE SET record = excluded.record"
)
PUT_ASIDE = "INSERT INTO rejected SELECT appended_at, row, ? FROM finals WHERE id = ?"


class Entry(NamedTuple):
    """A pending final and the name by which it is removed."""

    id: int
    row: FinalRow


class Journal:
    """Keeps finals and sessions until they are removed. One process at a time; enter it first.

    ``append``, ``remove``, ``reject``, ``save`` and ``forget`` belong to the event loop and do
    not wait.

    Attributes:
        rows: How many finals are pending.
        bytes: How much room they take; what was refused is not counted here.
        behind: Slugs of open sessions whose last record was not kept.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.rows = self.bytes = 0
        self.behind: set[str] = set()
        self._max_bytes = max_bytes
        self._rejected_bytes = 0
        self._oldest_at = 0.0
        self._unsynced = False
        self._loud_at = float("-inf")
        self._file = JournalFile(path)
        self._thread: ThreadPoolExecutor | None = None

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest pending final was appended, over restarts; 0 if none is."""
        return max(time.time() - self._oldest_at, 0.0) if self.rows else 0.0

    async def open(self) -> None:
        """Open the file, as :meth:`JournalFile.open` does, and count what an earlier run left."""
        self._rejected_bytes = 0
        self.behind.clear()
        # One thread, so that reads, checkpoints and closing never meet.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        try:
            self.rows, self.bytes, self._oldest_at = await self._in_thread(self._file.open)
        except BaseException:
            await self.close()
            raise
        log.info("Journal opened", rows=self.rows, bytes=self.bytes)

    async def close(self) -> None:
        """Bring everything to the disk and let go of the file. May be called twice."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            closing = asyncio.get_running_loop().run_in_executor(thread, self._file.close)
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                await asyncio.wait([closing])  # it is short, and who comes next needs the file
                raise
            finally:
                thread.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def append(self, row: FinalRow, record: SessionRecord | None = None) -> bool:
        """Keep a final; False, said aloud, if the journal is full, broken or closed.

        Args:
            record: The session's record from this final on; kept together with it, or not.
        """
        data = encode(row)
        if self.bytes + self._rejected_bytes + len(data) > self._max_bytes:
            self._complain("Journal is full", max_bytes=self._max_bytes)
            if record is not None:
                self.save(record)
            return False
        now = time.time()
        if not self._keep([(APPEND, (now, data))], record):
            return False
        self._oldest_at = self._oldest_at if self.rows else now
        self.rows += 1
        self.bytes += len(data)
        return True

    def save(self, record: SessionRecord) -> None:
        """Keep a session's record in place of the one before; a failure is said aloud."""
        self._keep([], record)

    def forget(self, slug: str) -> None:
        """Let go of a session that has ended; a failure is said aloud."""
        self.behind.discard(slug)
        try:
            self._write("DELETE FROM sessions WHERE slug = ?", (slug,))
        except StoreUnavailable:
            self._file.doubt()

    async def records(self) -> list[SessionRecord]:
        """Return the sessions that have not ended, the oldest first.

        In a new numbering each, when what is here may not be the last of them: a record could
        not be kept, or the machine went down.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        records = list(_readable(await self._in_thread(self._file.records)))
        if not self._file.is_current:
            records = [renumbered(record, secrets.token_hex(8)) for record in records]
            await self._begin_anew(records)
        return records

    async def _begin_anew(self, records: Sequence[SessionRecord]) -> None:
        if records:
            log.warning("Sessions go on in a new numbering", sessions=len(records))
        # Kept before anybody sees a number, so that the next process does not fall back.
        for record in records:
            self._keep([], record)
        if not self.behind:
            await self._in_thread(self._file.vouch)

    async def pending(self, limit: int) -> list[Entry]:
        """Return the oldest finals, at most ``limit``; they stay until they are removed.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        found = await self._in_thread(lambda: self._file.oldest(limit))
        entries = []
        for id_, data in found:
            try:
                entries.append(Entry(id_, decode(data)))
            except ValueError:
                self.reject(id_, "unreadable")
        return entries

    def remove(self, ids: Sequence[int]) -> None:
        """Forget finals that are stored.

        Raises:
            StoreUnavailable: The file cannot be written, so they will be seen again.
        """
        marks = ",".join("?" * len(ids))
        gone = self._write(f"DELETE FROM finals WHERE id IN ({marks}) RETURNING length(row)", ids)
        self._count_out([size for (size,) in gone])

    def reject(self, id_: int, reason: str) -> None:
        """Put a final aside until the next start. ``reason`` holds no text of it.

        Raises:
            StoreUnavailable: The file cannot be written, so it will be seen again.
        """
        gone = self._write_all(
            [
                (PUT_ASIDE, (reason, id_)),
                ("DELETE FROM finals WHERE id = ? RETURNING length(row)", (id_,)),
            ]
        )
        sizes = [size for (size,) in gone]
        self._rejected_bytes += sum(sizes)
        self._count_out(sizes)

    async def sync(self) -> None:
        """Bring what was written to the disk, in the thread; a failure is said aloud."""
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            await self._in_thread(self._file.checkpoint)
        except StoreUnavailable:
            self._unsynced = True

    def _count_out(self, sizes: Sequence[int]) -> None:
        self.rows -= len(sizes)
        self.bytes -= sum(sizes)
        if self.rows:
            query = "SELECT appended_at FROM finals ORDER BY id LIMIT 1"
            self._oldest_at = self._write(query, ())[0][0]

    def _keep(self, statements: Sequence[Statement], record: SessionRecord | None) -> bool:
        """Run statements and keep the record with them; return whether it was done."""
        try:
            self._write_all([*statements, *_saving(record)])
        except StoreUnavailable:
            if record is not None:
                self.behind.add(record.slug)
                self._file.doubt()
            return False
        if record is not None:
            self.behind.discard(record.slug)
        return True

    def _write(self, statement: str, values: Sequence[object]) -> list[Any]:
        """Run one statement, a transaction of its own, on the event loop."""
        return self._write_all([(statement, values)])

    def _write_all(self, statements: Sequence[Statement]) -> list[Any]:
        """Run statements as one transaction, on the event loop; return the last one's rows."""
        if self._thread is None:
            raise StoreUnavailable("the journal is closed")
        self._unsynced = True
        try:
            return self._file.write(statements)
        except sqlite3.Error as exc:
            raise self._failed(exc) from exc

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreUnavailable("the journal is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: sqlite3.Error) -> StoreUnavailable:
        self._complain("Journal cannot be used", error=repr(exc))
        return StoreUnavailable(f"journal: {exc}")

    def _complain(self, event: str, **details: object) -> None:
        now = time.monotonic()
        if now >= self._loud_at + LOUD_EVERY_S:
            self._loud_at = now
            log.error(event, rows=self.rows, bytes=self.bytes, **details)


def _saving(record: SessionRecord | None) -> list[Statement]:
    return [] if record is None else [(SAVE, (record.slug, encode_record(record)))]


def _readable(found: Sequence[bytes]) -> Iterator[SessionRecord]:
    for data in found:
        try:
            yield decode_record(data)
        except ValueError as exc:
            log.error("Session cannot be restored", error=str(exc))  # noqa: TRY400

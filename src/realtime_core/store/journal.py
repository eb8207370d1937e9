"""The journal: finals that PostgreSQL has not committed yet, in a local SQLite file.

Two connections share the file. The first writes, on the event loop: an append or a removal
is a write to the page cache, tens of microseconds, and survives SIGKILL of the process. The
second reads and checkpoints, in a thread: a passive checkpoint brings everything to the disk
and never holds up the writer. Nothing else writes, so no append waits for a lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from realtime_core.errors import ConfigurationError, StoreUnavailable
from realtime_core.logs import get_logger
from realtime_core.model import FinalRow
from realtime_core.store.rows import decode, encode

T = TypeVar("T")
log = get_logger("journal")

BUSY_S = 0.02
"""Most an append waits for somebody who opened the file with another program."""
LOUD_EVERY_S = 1.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS finals (
    id INTEGER PRIMARY KEY, appended_at REAL NOT NULL, row BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rejected (
    appended_at REAL NOT NULL, row BLOB NOT NULL, reason TEXT NOT NULL);
"""
# What was refused gets another chance with each start: the table may have been mended.
READMIT = """
BEGIN;
INSERT INTO finals (appended_at, row) SELECT appended_at, row FROM rejected;
DELETE FROM rejected;
COMMIT;
"""


class Entry(NamedTuple):
    """A pending final and the name by which it is removed."""

    id: int
    row: FinalRow


class Journal:
    """Keeps finals until they are removed. One process at a time; enter it before use.

    ``append``, ``remove`` and ``reject`` belong to the event loop and do not wait.

    Attributes:
        rows: How many finals are pending.
        bytes: How much room they take; what was refused is not counted here.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.rows = self.bytes = 0
        self._path, self._max_bytes = path, max_bytes
        self._rejected_bytes = 0
        self._oldest_at = 0.0
        self._unsynced = False
        self._loud_at = float("-inf")
        self._lock: int | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest pending final was appended, over restarts; 0 if none is."""
        return max(time.time() - self._oldest_at, 0.0) if self.rows else 0.0

    async def open(self) -> None:
        """Open or create the file, and count what an earlier run left.

        A file that is damaged is set aside, loudly, and a new one begun.

        Raises:
            ConfigurationError: Another process has it open, or the folder is not usable.
        """
        # One thread, so that reads, checkpoints and closing never meet.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.close()
            raise
        log.info("Journal opened", rows=self.rows, bytes=self.bytes)

    async def close(self) -> None:
        """Bring everything to the disk and let go of the file. May be called twice."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            closing = asyncio.get_running_loop().run_in_executor(thread, self._close)
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

    def append(self, row: FinalRow) -> bool:
        """Keep a final; False, said aloud, if the journal is full, broken or closed."""
        data = encode(row)
        if self.bytes + self._rejected_bytes + len(data) > self._max_bytes:
            self._complain("Journal is full", max_bytes=self._max_bytes)
            return False
        now = time.time()
        try:
            self._write("INSERT INTO finals (appended_at, row) VALUES (?, ?)", (now, data))
        except StoreUnavailable:
            return False
        self._oldest_at = self._oldest_at if self.rows else now
        self.rows += 1
        self.bytes += len(data)
        return True

    async def pending(self, limit: int) -> list[Entry]:
        """Return the oldest finals, at most ``limit``; they stay until they are removed.

        Raises:
            StoreUnavailable: The file cannot be read.
        """
        found = await self._in_thread(lambda: self._oldest(limit))
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
        self._forget([size for (size,) in gone])

    def reject(self, id_: int, reason: str) -> None:
        """Put a final aside until the next start. ``reason`` holds no text of it.

        Raises:
            StoreUnavailable: The file cannot be written, so it will be seen again.
        """
        # A crash between the two leaves it in both; it is stored once all the same.
        self._write(
            "INSERT INTO rejected SELECT appended_at, row, ? FROM finals WHERE id = ?",
            (reason, id_),
        )
        before = self.bytes
        self.remove([id_])
        self._rejected_bytes += before - self.bytes

    async def sync(self) -> None:
        """Bring what was written to the disk, in the thread; a failure is said aloud."""
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            await self._in_thread(self._checkpoint)
        except StoreUnavailable:
            self._unsynced = True

    def _forget(self, sizes: Sequence[int]) -> None:
        self.rows -= len(sizes)
        self.bytes -= sum(sizes)
        if self.rows:
            query = "SELECT appended_at FROM finals ORDER BY id LIMIT 1"
            self._oldest_at = self._write(query, ())[0][0]

    def _write(self, statement: str, values: Sequence[object]) -> list[Any]:
        """Run one statement, a transaction of its own, on the event loop."""
        if self._writer is None:
            raise StoreUnavailable("the journal is closed")
        self._unsynced = True
        try:
            return self._writer.execute(statement, values).fetchall()
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

    # What follows runs in the thread.

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self._path.with_name(self._path.name + ".lock"))
            try:
                self._connect()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as exc:  # "malformed", "not a database"
                self._set_aside(exc)
                self._connect()
        except (OSError, sqlite3.OperationalError) as exc:
            raise ConfigurationError(
                f"the journal {self._path} cannot be opened ({exc}): "
                "DATA_DIR must be a writable folder with free space"
            ) from exc

    def _connect(self) -> None:
        self._path.touch(mode=0o600)  # it holds what people said
        self._writer = _connection(self._path)
        if self._writer.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("it fails its integrity check")
        # OFF: the writer never waits for the disk. The thread syncs, and NORMAL makes its
        # checkpoints sync the log before the file and the file before the log is reused.
        self._writer.execute("PRAGMA synchronous = OFF")
        self._writer.executescript(SCHEMA + READMIT)
        self._reader = _connection(self._path)
        self._reader.execute("PRAGMA synchronous = NORMAL")
        count = "SELECT count(*), total(length(row)), min(appended_at) FROM finals"
        rows, size, oldest_at = self._reader.execute(count).fetchone()
        self.rows, self.bytes, self._oldest_at = rows, int(size), oldest_at or 0.0

    def _set_aside(self, exc: sqlite3.Error) -> None:
        self._disconnect()
        suffix = f".damaged-{time.time_ns()}"
        for path in self._path.parent.glob(self._path.name + "*"):
            if path.name.removeprefix(self._path.name) in ("", "-wal"):
                path.rename(path.with_name(path.name + suffix))
        self._path.with_name(self._path.name + "-shm").unlink(missing_ok=True)
        log.error("Journal was damaged and set aside", error=str(exc), kept_as=suffix)

    def _oldest(self, limit: int) -> list[tuple[int, bytes]]:
        assert self._reader is not None
        query = "SELECT id, row FROM finals ORDER BY id LIMIT ?"
        return self._reader.execute(query, (limit,)).fetchall()

    def _checkpoint(self) -> None:
        assert self._reader is not None
        self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _disconnect(self) -> None:
        # The last to close checkpoints; it must be the one that syncs.
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None


def _connection(path: Path) -> sqlite3.Connection:
    """Open a connection that commits each statement and checkpoints only when told."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _lock(path: Path) -> int:
    """Lock the file for this process, until the descriptor is closed or the process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise ConfigurationError(
            f"another process uses {path.parent}: give each process a DATA_DIR of its own"
        ) from exc
    return descriptor

"""The file under the journal: SQLite in WAL mode, locked for one process.

Two connections share it. The first writes, and nothing else does, so no write waits for a
lock. The second reads and checkpoints, perhaps at the same time in a thread: a passive
checkpoint never holds up the writer.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from realtime_core.errors import ConfigurationError
from realtime_core.logs import get_logger
from realtime_core.store.marker import Marker

log = get_logger("journal")

BUSY_S = 0.02
"""Most an append waits for somebody who opened the file with another program."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS finals (
    id INTEGER PRIMARY KEY, appended_at REAL NOT NULL, row BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rejected (
    appended_at REAL NOT NULL, row BLOB NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, record BLOB NOT NULL);
"""
# What was refused gets another chance with each start: the table may have been mended.
READMIT = """
BEGIN;
INSERT INTO finals (appended_at, row) SELECT appended_at, row FROM rejected;
DELETE FROM rejected;
COMMIT;
"""


Statement = tuple[str, Sequence[object]]
"""SQL, and the values of its placeholders."""


class Contents(NamedTuple):
    """What a file held when it was opened; ``oldest_at`` is in Unix seconds."""

    rows: int
    bytes: int
    oldest_at: float


class JournalFile:
    """A file with finals and sessions. All methods block: ``write`` for microseconds, others
    for the disk.

    All but ``write`` and ``doubt`` belong to one thread. They raise ``sqlite3.Error``.

    Attributes:
        is_current: Whether the records are the last that were to be kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_current = False
        self._lock: int | None = None
        self._marker: Marker | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def open(self) -> Contents:
        """Open or create the file. One that is damaged is set aside, loudly, and a new one begun.

        Raises:
            ConfigurationError: Another process has it open, or the folder is not usable.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(self._path.with_name(self._path.name + ".lock"))
            self._marker = Marker(self._lock)
            contents = self._connect_or_begin_anew()
            if self._marker.vouches() or not self.records():
                self.vouch()
            return contents
        except (OSError, sqlite3.OperationalError) as exc:
            raise ConfigurationError(
                f"the journal {self._path} cannot be opened ({exc}): "
                "DATA_DIR must be a writable folder with free space"
            ) from exc

    def close(self) -> None:
        """Bring everything to the disk and let go of the file. May be called twice."""
        try:
            is_synced = self._reader is not None and self.checkpoint()
        except sqlite3.Error:
            is_synced = False  # what is left is in the log beside it
        self._disconnect()
        if self._marker is not None and is_synced and self.is_current:
            self._marker.set_clean()
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self._marker = None
        self.is_current = False

    def write(self, statements: Sequence[Statement]) -> list[Any]:
        """Run statements as one transaction, without waiting for the disk.

        Returns:
            The rows of the last.
        """
        assert self._writer is not None, "not open"
        if len(statements) == 1:
            return self._writer.execute(*statements[0]).fetchall()
        self._writer.execute("BEGIN")
        try:
            rows = [self._writer.execute(*each).fetchall() for each in statements]
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        return rows[-1]

    def oldest(self, limit: int) -> list[tuple[int, bytes]]:
        """Return the ids and bytes of the oldest finals."""
        assert self._reader is not None, "not open"
        query = "SELECT id, row FROM finals ORDER BY id LIMIT ?"
        return self._reader.execute(query, (limit,)).fetchall()

    def records(self) -> list[bytes]:
        """Return the records of all sessions, the oldest first."""
        assert self._reader is not None, "not open"
        query = "SELECT record FROM sessions ORDER BY id"
        return [record for (record,) in self._reader.execute(query).fetchall()]

    def vouch(self) -> None:
        """Note that the records are the last, for the next to open the file."""
        assert self._marker is not None, "not open"
        self.is_current = True
        self._marker.set_in_use()

    def doubt(self) -> None:
        """Note that a record is not the last; one system call."""
        self.is_current = False
        if self._marker is not None:
            self._marker.clear()

    def checkpoint(self) -> bool:
        """Bring everything that was written to the disk; return whether all of it is."""
        assert self._reader is not None, "not open"
        query = "PRAGMA wal_checkpoint(PASSIVE)"
        busy, written, done = self._reader.execute(query).fetchone()
        return not busy and bool(written == done)

    def _connect_or_begin_anew(self) -> Contents:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as exc:  # "malformed", "not a database"
            self._set_aside(exc)
            return self._connect()

    def _connect(self) -> Contents:
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
        return Contents(rows, int(size), oldest_at or 0.0)

    def _set_aside(self, exc: sqlite3.Error) -> None:
        self._disconnect()
        suffix = f".damaged-{time.time_ns()}"
        for path in self._path.parent.glob(self._path.name + "*"):
            if path.name.removeprefix(self._path.name) in ("", "-wal"):
                path.rename(path.with_name(path.name + suffix))
        self._path.with_name(self._path.name + "-shm").unlink(missing_ok=True)
        log.error("Journal was damaged and set aside", error=str(exc), kept_as=suffix)

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


def lock_file(path: Path) -> int:
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

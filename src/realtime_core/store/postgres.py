"""Finals in PostgreSQL: one statement a batch, safe to repeat, and bounded in time.

Everything runs in short transactions and leaves nothing in the session, so that a pooler in
transaction mode may lend us another connection each time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import asyncpg

from realtime_core.errors import StoreRejected
from realtime_core.logs import get_logger
from realtime_core.model import FinalRow
from realtime_core.store.migrate import migrate
from realtime_core.store.rows import COLUMNS, StoredRun, columns, rows_of, run_of, storable
from realtime_core.store.sqlstate import FOREIGN, Fault, fault_of, store_error

log = get_logger("store")

CLOSE_TIMEOUT_S = 5.0
IDLE_S = 60.0
"""An idle connection is given back; a firewall or pooler would cut it silently later."""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
"""Seconds, seconds, probes, milliseconds; not every system has each."""

_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"${i}::{type_}[]" for i, type_ in enumerate(COLUMNS.values(), 1))
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
INSERT = (
    f"INSERT INTO transcripts ({_NAMES}) SELECT * FROM unnest({_ARRAYS})"
    f" ON CONFLICT (session_slug, utterance_id) DO UPDATE SET {_UPDATES}, stored_at = now()"
    " WHERE excluded.rev > transcripts.rev"
)
# A slug that is used again has several runs, each with a numbering of its own.
_RUN = (
    "SELECT epoch FROM transcripts WHERE session_slug = $1 AND ($2::text IS NULL OR epoch = $2)"
    " ORDER BY started_at DESC, seq DESC, epoch DESC LIMIT 1"
)
RUN = (
    "SELECT epoch, (SELECT min(started_at) FROM transcripts"
    "  WHERE session_slug = $1 AND epoch = run.epoch AND text <> '') AS began_at"
    f" FROM ({_RUN}) AS run"
)
_OF_RUN = f" FROM transcripts WHERE session_slug = $1 AND epoch = coalesce($2::text, ({_RUN}))"
_NEWEST_NAMED = ", ".join(
    "coalesce(newest.speaker, part.speaker) AS speaker" if name == "speaker" else f"part.{name}"
    for name in COLUMNS
)
# The limit goes by `seq`, so that who asks again after the highest one misses nothing. What
# somebody was called last in the run holds for all that they said.
FINALS = (
    f"SELECT {_NEWEST_NAMED} FROM (SELECT {_NAMES}{_OF_RUN}"
    " AND ($3::bigint IS NULL OR seq > $3) ORDER BY seq LIMIT $4) AS part"
    " LEFT JOIN (SELECT DISTINCT ON (speaker_id) speaker_id, speaker"
    f"{_OF_RUN} AND text <> '' ORDER BY speaker_id, seq DESC) AS newest USING (speaker_id)"
    " ORDER BY part.started_at, part.seq"
)


class PostgresStore:
    """A pool of connections to PostgreSQL, and what we ask of it.

    Entering connects to nothing: the database may come later. The table is made, or brought
    up to date, by the first call that gets through. Every method takes at most about twice
    ``command_timeout_s`` and raises :class:`StoreUnavailable` when the database is not
    there. Neither logs nor errors show the DSN or a row.

    Args:
        statement_cache: Whether to prepare statements once per connection; not behind a
            pooler in transaction mode.

    Attributes:
        is_away: Whether the database did not do what it was last asked.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 4,
        command_timeout_s: float = 10.0,
        statement_cache: bool = False,
    ) -> None:
        self._dsn, self._pool_size = dsn, pool_size
        self._timeout_s, self._cached = command_timeout_s, 100 if statement_cache else 0
        self.is_away = False
        self._pool: Any = None
        self._migrated = False
        self._migrating = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<PostgresStore migrated={self._migrated}>"

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._pool_size,
            max_inactive_connection_lifetime=IDLE_S,
            statement_cache_size=self._cached,
            command_timeout=self._timeout_s,
            timeout=self._timeout_s,
            init=_notice_dead_peers,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await pool.close()
        except FOREIGN:  # it has been terminated, as it is when we are cancelled
            log.warning("Database connections did not close in time and were cut")

    async def insert(self, rows: Sequence[FinalRow]) -> None:
        """Store ``rows`` together or not at all; an older ``rev`` never replaces a newer one.

        Raises:
            StoreUnavailable: Perhaps nothing was stored; the same rows may be given again.
            StoreRejected: At least one of the rows can never be stored.
        """
        if not rows:
            return
        try:
            values = columns(storable(rows))
        except ValueError as exc:
            raise StoreRejected(str(exc)) from exc
        async with self._transaction() as connection:
            await connection.execute(INSERT, *values)

    async def run(self, slug: str, *, epoch: str | None = None) -> StoredRun | None:
        """Return what is known of a run, by default the last; None if nothing of it is stored."""
        async with self._transaction() as connection:
            record = await connection.fetchrow(RUN, slug, epoch)
        return run_of(record) if record is not None else None

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return the finals of a run, by default the last, in the order they were spoken.

        Args:
            after: Leaves out those up to this ``seq``.
            limit: Of more than so many, those with the lowest ``seq`` are returned.
        """
        async with self._transaction() as connection:
            records = await connection.fetch(FINALS, slug, epoch, after, limit)
        # Not on the loop: a long meeting takes most of a second.
        return await asyncio.to_thread(rows_of, records)

    async def migrate(self) -> None:
        """Make the table, or bring it up to date; other calls do so when it is due."""
        async with self._migrating:
            if not self._migrated:
                async with self._borrowed() as connection:
                    await migrate(connection)
                self._migrated = True
                log.info("Database is ready")

    async def ping(self) -> None:
        """Find out whether the database answers; it also makes the table, when that is due."""
        async with self._transaction() as connection:
            await connection.execute("SELECT 1")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        if not self._migrated:
            await self.migrate()
        async with self._borrowed() as connection:
            yield connection

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Any]:
        """Run one transaction on a connection of the pool, and turn its errors into ours."""
        try:
            async with (
                # Around the steps, each of which is bounded already: a slow peer adds up.
                asyncio.timeout(2 * self._timeout_s),
                # This is also the time-out of giving it back, which asks the server.
                self._pool.acquire(timeout=self._timeout_s) as connection,
                # Even for reading: without one, a pooler may send the parse of a statement
                # to one server and its execution to another.
                connection.transaction(),
            ):
                yield connection
            self.is_away = False
        except FOREIGN as exc:
            error = store_error(exc)
            self.is_away = not isinstance(error, StoreRejected)
            if fault_of(exc) is Fault.SETUP:
                self._migrated = False  # perhaps it is another database now, and empty
                log.error("Database refuses us: check DATABASE_URL", error=str(error))  # noqa: TRY400
            # The cause may quote the row, or the DSN.
            raise error from None


async def _notice_dead_peers(connection: Any) -> None:
    """Have the kernel find out when the peer is gone without a word; asyncpg does not."""
    peer = connection._transport.get_extra_info("socket")
    if peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

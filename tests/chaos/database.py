"""A real PostgreSQL, behind the fault proxy, that can be stopped and started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import asyncpg

from realtime_core.store.embedded import EmbeddedPostgres
from tests.chaos.judge import Final
from tests.faults.proxy import Proxy

FINALS = """
    SELECT session_slug, utterance_id, rev, seq, text,
           extract(epoch FROM started_at)::float8, extract(epoch FROM ended_at)::float8,
           finalized_by, epoch
    FROM transcripts
"""


class Database:
    """The server, and the proxy that the service reaches it by."""

    def __init__(self, server: EmbeddedPostgres, dsn: str, proxy: Proxy) -> None:
        self._server, self._dsn, self.proxy = server, dsn, proxy

    @property
    def dsn(self) -> str:
        """What the service is given: the way through the proxy."""
        user = urlsplit(self._dsn).username or "postgres"
        return f"postgresql://{user}@127.0.0.1:{self.proxy.port}/postgres"

    async def stop(self) -> None:
        """Stop it; what is under way is rolled back."""
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self._server.start)

    async def finals(self) -> list[Final]:
        """Return the table."""
        connection = await asyncpg.connect(self._dsn)
        try:
            return [Final(*record) for record in await connection.fetch(FINALS)]
        finally:
            await connection.close()


@asynccontextmanager
async def running_database() -> AsyncIterator[Database]:
    """Run one with no data for the length of a block."""
    # Not below a folder of ours: as root it runs as another user.
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        try:
            dsn = await asyncio.to_thread(server.start)
            (socket_folder,) = parse_qs(urlsplit(dsn).query)["host"]
            async with Proxy.to_unix(f"{socket_folder}/.s.PGSQL.5432") as proxy:
                yield Database(server, dsn, proxy)
        finally:
            await asyncio.to_thread(server.stop)

"""The PostgreSQL that our service writes to: outside of what is measured, as in life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import asyncpg

from bench.errors import Unavailable
from realtime_core.errors import ConfigurationError
from realtime_core.store.embedded import EmbeddedPostgres


class Database:
    """A running server; each point gets an empty database of its own.

    Attributes:
        pid: The root of its processes.
    """

    def __init__(self, dsn: str, pid: int) -> None:
        self._dsn, self.pid, self._made = dsn, pid, 0

    async def empty(self) -> str:
        """Make a database, and return its DSN."""
        self._made += 1
        name = f"point_{self._made}"
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()
        return urlsplit(self._dsn)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def running_database() -> AsyncIterator[Database]:
    """Run one for the length of a block.

    Raises:
        Unavailable: It is not installed.
    """
    # Not below a folder of ours: as root it runs as another user.
    with TemporaryDirectory(prefix="bench-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "data"
        server = EmbeddedPostgres(folder)
        try:
            dsn = await asyncio.to_thread(server.start)
            yield Database(dsn, int((folder / "postmaster.pid").read_text().split()[0]))
        except ConfigurationError as exc:
            raise Unavailable(str(exc)) from exc
        finally:
            await asyncio.to_thread(server.stop)

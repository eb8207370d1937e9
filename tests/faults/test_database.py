"""No accepted final is lost, none is stored twice, whatever happens to the database."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime_core.metrics import Metrics
from realtime_core.store.embedded import EmbeddedPostgres
from realtime_core.store.postgres import PostgresStore
from tests.e2e.river import gathered, running_river, write_tones
from tests.eventually import eventually
from tests.faults.meetings import Audience, meeting, stored, until_readyz, until_stored
from tests.faults.proxy import Proxy
from tests.postgres import OwnPostgres, proxy_of, sql, through

OUTAGE_S = float(os.environ.get("OUTAGE_S", "3"))
"""The issue's minute: ``OUTAGE_S=60 pytest -s tests/faults/test_database.py -k stopped``."""
SLUGS = ("weekly", "daily", "board")

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(60 + OUTAGE_S),
]


class Phase:
    """What viewers and the event loop go through from now on."""

    def __init__(self, audience: Audience, metrics: Metrics) -> None:
        self._audience, self._metrics = audience, metrics
        self._seen, self._lag_s = audience.seen.total(), self._lag()
        self._count, self._total_s = self._handled()
        audience.forget_times()

    def figures(self) -> dict[str, float]:
        """Return milliseconds, and how many finals were seen."""
        count, total_s = self._handled()
        return {
            "finals": self._audience.seen.total() - self._seen,
            "handling_ms": 1000 * (total_s - self._total_s) / (count - self._count),
            "delay_ms": 1000 * max(self._audience.delays_s),
            "pause_ms": 1000 * max(self._audience.pauses_s),
            "lag_ms": 1000 * (self._lag() - self._lag_s),
        }

    def assert_nothing_was_noticed(self) -> None:
        figures = self.figures()
        print(figures)  # noqa: T201 - for who runs it by hand
        assert figures["handling_ms"] < 20, "from Gladia's message to bytes handed to viewers"
        assert figures["delay_ms"] < 500, "from there to the viewer's reading, at most"
        assert figures["pause_ms"] < 2500, "somebody says something every 600 ms"
        assert figures["lag_ms"] < 1000, "all lags of the event loop together"

    def _handled(self) -> tuple[int, float]:
        latency = self._metrics.ingest_broadcast_latency
        return latency.count, latency.total_s

    def _lag(self) -> float:
        return sample(self._metrics, "event_loop_lag_seconds_sum")


def sample(metrics: Metrics, name: str) -> float:
    value = metrics.registry.get_sample_value(name)
    assert value is not None, name
    return value


async def test_viewers_notice_nothing_of_a_stopped_postgresql_and_then_every_row_is_there_once(
    own_postgres: OwnPostgres, ffmpeg: str, tmp_path: Path
) -> None:
    audience = Audience()
    async with running_river(own_postgres.dsn, ffmpeg, tmp_path / "data") as whole:
        url, http, metrics = whole.service.url, whole.http, whole.service.metrics
        async with meeting(url, http, ffmpeg, tmp_path, audience, SLUGS):
            await audience.hear(1, *SLUGS)
            await until_readyz(url, http, "ready")
            await asyncio.to_thread(own_postgres.stop)
            phase = Phase(audience, metrics)
            await until_readyz(url, http, "degraded", "database")
            await asyncio.sleep(OUTAGE_S)
            phase.assert_nothing_was_noticed()
            assert sample(metrics, "journal_rows") >= phase.figures()["finals"] - len(SLUGS)
            await asyncio.to_thread(own_postgres.start)
            await until_readyz(url, http, "ready")
            await until_stored(own_postgres.dsn, dict(audience.finals))
    assert await stored(own_postgres.dsn) == audience.finals
    assert sample(metrics, "transcripts_lost_total") == 0


async def test_a_database_that_loses_answers_crawls_and_restarts_stores_each_final_once(
    own_postgres: OwnPostgres, ffmpeg: str, tmp_path: Path
) -> None:
    audience = Audience()
    async with proxy_of(own_postgres.dsn) as proxy:
        dsn = through(own_postgres.dsn, proxy.port)
        async with running_river(dsn, ffmpeg, tmp_path / "data", batch_max_wait_s=0.05) as whole:
            url, http, metrics = whole.service.url, whole.http, whole.service.metrics
            async with meeting(url, http, ffmpeg, tmp_path, audience, SLUGS):
                await audience.hear(1, *SLUGS)
                phase = Phase(audience, metrics)
                await lose_answers(proxy, 3)
                with proxy.slow(4_000):  # half a second for a batch
                    await audience.hear(2, *SLUGS)
                await asyncio.to_thread(own_postgres.stop)
                await audience.hear(1, *SLUGS)
                await asyncio.to_thread(own_postgres.start)
                phase.assert_nothing_was_noticed()
                failures = metrics.batch_failures.labels("unavailable").value
    assert failures > 3, "otherwise nothing was wrong"
    assert await stored(own_postgres.dsn) == audience.finals
    assert sample(metrics, "transcripts_lost_total") == 0


async def lose_answers(proxy: Proxy, times: int) -> None:
    """Cut connections in the middle of a COMMIT: it is done, and nobody hears of it."""
    for _ in range(times):
        async with asyncio.timeout(10):
            with proxy.answer_lost(b"COMMIT") as lost:
                await lost.wait()


async def test_an_embedded_postgresql_that_is_killed_is_back_soon_and_then_every_row_is_there_once(
    ffmpeg: str, tmp_path: Path
) -> None:
    audience, data = Audience(), tmp_path / "data"
    async with running_river("", ffmpeg, data, database_url=None, batch_max_wait_s=0.05) as whole:
        url, http, metrics = whole.service.url, whole.http, whole.service.metrics
        async with meeting(url, http, ffmpeg, tmp_path, audience, SLUGS[:1]):
            await audience.hear(1, *SLUGS[:1])
            await until_readyz(url, http, "ready")
            pid_file = await asyncio.to_thread((data / "postgres" / "postmaster.pid").read_text)
            os.kill(int(pid_file.split()[0]), signal.SIGKILL)
            await until_readyz(url, http, "degraded", "database")
            await until_readyz(url, http, "ready")
    assert sample(metrics, "transcripts_lost_total") == 0
    async with EmbeddedPostgres(data / "postgres") as dsn:
        assert await stored(dsn) == audience.finals


async def test_a_row_that_the_table_refuses_is_kept_aside_loudly_and_keeps_nobody_back(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    async with PostgresStore(postgres_dsn) as store:
        await store.migrate()
    await sql(postgres_dsn, "ALTER TABLE transcripts ADD CONSTRAINT c CHECK (text !~ 'f0550')")
    recording, data = write_tones(tmp_path / "talk.wav", 440, 550, 660, each_s=0.4), tmp_path / "d"
    with capture_logs() as logs:
        async with running_river(postgres_dsn, ffmpeg, data, batch_max_wait_s=60) as whole:
            url = await whole.start("weekly")
            async with whole.viewer("weekly") as viewer:
                await gathered(whole.publish(recording, url), viewer.to_the_end())
            assert sample(whole.service.metrics, "transcripts_rejected_total") == 1
            assert sample(whole.service.metrics, "transcripts_lost_total") == 0
    assert len(viewer.finals) == 3
    assert sorted(spoken(await stored(postgres_dsn))) == ["f0440", "f0660"]
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["Final rejected by the database, kept aside in the journal"]
    # Once the table is mended, the next start stores it.
    await sql(postgres_dsn, "ALTER TABLE transcripts DROP CONSTRAINT c")
    async with running_river(postgres_dsn, ffmpeg, data) as whole:
        await eventually(lambda: sample(whole.service.metrics, "transcripts_stored_total") == 1)
    assert sorted(spoken(await stored(postgres_dsn))) == ["f0440", "f0550", "f0660"]


def spoken(finals: dict[tuple[str, str], tuple[int, str]]) -> list[str]:
    return [text.split()[1] for _, text in finals.values()]

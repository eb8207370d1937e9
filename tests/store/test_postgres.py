import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from realtime_core.errors import StoreRejected, StoreUnavailable
from realtime_core.metrics import Metrics
from realtime_core.model import SpeakerShare
from realtime_core.store.journal import Journal
from realtime_core.store.migrate import DONE, migrations
from realtime_core.store.postgres import PostgresStore
from realtime_core.store.writer import Writer
from tests.eventually import eventually
from tests.faults.proxy import Proxy
from tests.postgres import OwnPostgres, proxy_of, socket_of, sql, through
from tests.store.finals import final, utterances
from tests.store.pooler import TransactionPooler

pytestmark = pytest.mark.postgres

IMPATIENT = 0.3
STORED = "SELECT utterance_id, rev FROM transcripts ORDER BY seq"

Call = Callable[[PostgresStore], Awaitable[object]]
CALLS: Sequence[Call] = (
    lambda store: store.insert([final(1)]),
    lambda store: store.finals("weekly", limit=1),
    lambda store: store.run("weekly"),
    lambda store: store.migrate(),
    lambda store: store.ping(),
)


def refused_dsn() -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"postgresql://u:s3cret@127.0.0.1:{unused.getsockname()[1]}/db"


async def test_the_table_is_as_documented(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn) as store:
        await store.migrate()
    columns = await sql(
        postgres_dsn,
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_name = 'transcripts' ORDER BY ordinal_position",
    )
    assert [name for name, _, nullable in columns if nullable == "YES"] == [
        "speaker_confidence",
        "language",
        "confidence",
        "words",
        "speakers",
    ]
    assert {name: type_ for name, type_, _ in columns}["stored_at"].startswith("timestamp")
    indexes = await sql(
        postgres_dsn, "SELECT indexdef FROM pg_indexes WHERE tablename = 'transcripts'"
    )
    assert {definition.partition("btree ")[2] for (definition,) in indexes} == {
        "(session_slug, utterance_id)",
        "(session_slug, started_at)",
        "(session_slug, epoch, started_at)",
    }


async def test_migrations_run_once_whoever_comes_first(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn) as one, PostgresStore(postgres_dsn) as other:
        await asyncio.gather(
            one.migrate(), other.migrate(), one.run("weekly"), other.insert([final(1)])
        )
    async with PostgresStore(postgres_dsn) as later:
        assert utterances(*await later.finals("weekly", limit=9)) == ["u1"]
    done = await sql(postgres_dsn, f"SELECT number, name FROM {DONE}")
    known = await asyncio.to_thread(migrations)
    assert done == [(each.number, each.name) for each in known]


async def test_a_table_of_an_older_version_keeps_its_rows_when_it_is_brought_up_to_date(
    postgres_dsn: str,
) -> None:
    first, *_ = await asyncio.to_thread(migrations)
    for statement in filter(str.strip, first.sql.split(";")):
        await sql(postgres_dsn, statement)
    await sql(postgres_dsn, f"CREATE TABLE {DONE} (number int PRIMARY KEY, name text NOT NULL)")
    await sql(postgres_dsn, f"INSERT INTO {DONE} VALUES (1, 'as it was called then')")
    await sql(
        postgres_dsn,
        "INSERT INTO transcripts VALUES ('weekly', 'e1', 'u1', 1, 1, 'Hello', 'Alice', 'alice:1',"
        " NULL, NULL, NULL, NULL, 'stt', to_timestamp(1), to_timestamp(2), to_timestamp(3))",
    )
    async with PostgresStore(postgres_dsn) as store:
        await store.insert([final(2, speakers=(SpeakerShare("bob:1", "Bob", 0.5),))])
        found = await store.finals("weekly", limit=9)
    assert [(row.utterance_id, row.speakers) for row in found] == [
        ("u1", ()),
        ("u2", (SpeakerShare("bob:1", "Bob", 0.5),)),
    ]


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [each.number for each in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_database_that_was_emptied_gets_its_table_again(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn) as store:
        await store.insert([final(1)])
        await sql(postgres_dsn, f"DROP TABLE transcripts, {DONE}")
        with capture_logs() as logs, pytest.raises(StoreUnavailable, match="42P01"):
            await store.insert([final(2)])
        assert ("error", "Database refuses us: check DATABASE_URL") in [
            (line["log_level"], line["event"]) for line in logs
        ]
        await store.insert([final(2)])
    assert await sql(postgres_dsn, STORED) == [("u2", 1)]


@pytest.mark.parametrize("call", CALLS)
async def test_entering_needs_no_database_and_calls_say_that_it_is_away(call: Call) -> None:
    async with PostgresStore(refused_dsn()) as store:
        with pytest.raises(StoreUnavailable):
            await call(store)


async def test_it_says_whether_the_database_did_what_it_was_last_asked(postgres_dsn: str) -> None:
    async with proxy_of(postgres_dsn) as proxy:
        said = []
        async with PostgresStore(through(postgres_dsn, proxy.port)) as store:
            said.append(store.is_away)  # nothing was asked yet
            with proxy.cut(), pytest.raises(StoreUnavailable):
                await store.insert([final(1)])
            said.append(store.is_away)
            with pytest.raises(StoreRejected):
                await store.insert([final(1, rev=2**31)])
            said.append(store.is_away)  # it refused a row, but it answered
            with proxy.cut(), pytest.raises(StoreUnavailable):
                await store.run("weekly")
            said.append(store.is_away)
            await store.ping()
            said.append(store.is_away)
    assert said == [False, True, False, True, False]


@pytest.mark.parametrize("call", CALLS)
async def test_a_database_that_does_not_answer_costs_bounded_time(
    postgres_dsn: str, call: Call
) -> None:
    async with proxy_of(postgres_dsn) as proxy:
        store = PostgresStore(through(postgres_dsn, proxy.port), command_timeout_s=IMPATIENT)
        async with store:
            with proxy.stalled(), pytest.raises(StoreUnavailable):
                async with asyncio.timeout(10 * IMPATIENT):
                    await call(store)
            await call(store)


@pytest.mark.slow
async def test_an_open_connection_that_falls_silent_costs_bounded_time_and_is_replaced(
    postgres_dsn: str,
) -> None:
    async with proxy_of(postgres_dsn) as proxy:
        store = PostgresStore(through(postgres_dsn, proxy.port), command_timeout_s=IMPATIENT)
        async with store:
            await store.run("weekly")
            with proxy.stalled(), pytest.raises(StoreUnavailable):
                async with asyncio.timeout(10 * IMPATIENT):
                    await store.insert([final(1)])
            proxy.reset()
            await store.insert([final(2)])
        assert ("u2", 1) in await sql(postgres_dsn, STORED)


@pytest.mark.slow
async def test_a_database_that_is_slow_at_each_step_costs_bounded_time_too(
    postgres_dsn: str,
) -> None:
    async with proxy_of(postgres_dsn) as proxy:
        store = PostgresStore(through(postgres_dsn, proxy.port), command_timeout_s=IMPATIENT)
        async with store:
            await store.run("weekly")
            with proxy.delayed(0.3 * IMPATIENT), pytest.raises(StoreUnavailable, match="Timeout"):
                async with asyncio.timeout(10 * IMPATIENT):
                    await store.insert([final(1)])
            await store.insert([final(2)])
        assert ("u2", 1) in await sql(postgres_dsn, STORED)


@pytest.mark.slow
async def test_many_steps_each_in_time_are_bounded_together(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn, command_timeout_s=IMPATIENT) as store:
        with pytest.raises(StoreUnavailable, match="Timeout"):
            await sleep_in(store, 0.5 * IMPATIENT, times=9)


@pytest.mark.slow
async def test_leaving_is_bounded_when_the_database_falls_silent(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_core.store.postgres.CLOSE_TIMEOUT_S", IMPATIENT)
    async with proxy_of(postgres_dsn) as proxy:
        async with PostgresStore(through(postgres_dsn, proxy.port)) as store:
            calls = [asyncio.create_task(store.run("weekly")) for _ in range(3)]
            await asyncio.gather(*calls)
            hung = asyncio.create_task(sleep_in(store, 9.0))
            await asyncio.sleep(0.05)
        with pytest.raises(StoreUnavailable):
            await hung


async def ask_for_ever(store: PostgresStore) -> None:
    while True:
        await store.run("weekly")


async def sleep_in(store: PostgresStore, seconds: float, times: int = 1) -> None:
    async with store._borrowed() as connection:
        for _ in range(times):
            await connection.execute(f"SELECT pg_sleep({seconds})")


async def test_more_callers_than_connections_take_turns(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn, pool_size=2) as store:
        await asyncio.gather(*(store.insert([final(number)]) for number in range(20)))
        assert len(await store.finals("weekly", limit=99)) == 20


@pytest.mark.parametrize("moment", [b"INSERT INTO transcripts", b"COMMIT"])
async def test_a_connection_cut_before_the_answer_neither_loses_nor_doubles(
    postgres_dsn: str, moment: bytes
) -> None:
    rows = [final(number) for number in range(10)]
    async with proxy_of(postgres_dsn) as proxy:
        async with PostgresStore(through(postgres_dsn, proxy.port)) as store:
            await store.migrate()
            with proxy.answer_lost(moment) as lost, pytest.raises(StoreUnavailable):
                await store.insert(rows)
            assert lost.is_set()
            committed = await sql(postgres_dsn, STORED)
            assert len(committed) == (10 if moment == b"COMMIT" else 0)
            await store.insert(rows)
        assert await sql(postgres_dsn, STORED) == [(f"u{number}", 1) for number in range(10)]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3cret@127.0.0.1:{unused}/db",
        "postgresql://u:s3cret@host:s3cret/db",
        "postgresql://u:s3cret@[::1/db",
        "postgresql://u:s3cret@127.0.0.1:1/db?sslmode=s3cret",
    ],
)
async def test_nothing_shows_the_password(dsn: str, unused_tcp_port: int) -> None:
    with capture_logs() as logs:
        async with PostgresStore(dsn.replace("{unused}", str(unused_tcp_port))) as store:
            with pytest.raises(StoreUnavailable) as caught:
                await store.run("weekly")
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {store!r} {logs}"


async def test_connections_notice_that_their_peer_is_gone(postgres_dsn: str) -> None:
    async with (
        proxy_of(postgres_dsn) as proxy,
        PostgresStore(through(postgres_dsn, proxy.port)) as store,
        store._borrowed() as connection,
    ):
        peer: Any = connection._transport.get_extra_info("socket")
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


@pytest.mark.slow
async def test_it_works_behind_a_pooler_in_transaction_mode(
    own_postgres: OwnPostgres,
) -> None:
    dsn = own_postgres.dsn
    async with TransactionPooler(socket_of(dsn)) as pooler:
        async with PostgresStore(through(dsn, pooler.port), pool_size=2) as store:
            await asyncio.gather(*(store.insert([final(number)]) for number in range(10)))
            await store.insert([final(3, rev=2)])
            assert len(await store.finals("weekly", limit=99)) == 10
            assert await store.run("weekly") == ("e1", final(0).started_at)
        assert pooler.changes > 10
        # The pooler is not kinder than real ones: what is left in a session is gone.
        cached = PostgresStore(through(dsn, pooler.port), statement_cache=True)
        async with cached:
            await cached.migrate()
            with pytest.raises(StoreUnavailable, match="26000"):
                await asyncio.wait_for(ask_for_ever(cached), timeout=10)
    assert await sql(dsn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_postgresql_stopped_and_started_in_mid_flight_loses_and_doubles_nothing(
    own_postgres: OwnPostgres, tmp_path: Path
) -> None:
    metrics = Metrics()
    journal = Journal(tmp_path / "journal.db", max_bytes=10_000_000)
    accepted: dict[str, int] = {}

    async def speak(writer: Writer) -> None:
        for number in range(10_000):
            row = final(number % 400, rev=1 + number // 400)
            assert writer.accept(row)
            accepted[row.utterance_id] = row.rev
            await asyncio.sleep(0.001)

    async with PostgresStore(own_postgres.dsn, command_timeout_s=2) as store:
        writer = Writer(store, journal, metrics, max_rows=7, max_wait_s=0.05)
        async with writer:
            speaking = asyncio.create_task(speak(writer))
            await until_stored(metrics, more=50)
            await asyncio.to_thread(own_postgres.stop)
            await eventually(lambda: count(metrics, "store_batch_failures_total"))
            await asyncio.to_thread(own_postgres.start)
            await until_stored(metrics, more=50)
            speaking.cancel()
            await asyncio.wait([speaking])
            assert await writer.flush(10) == 0
    assert dict(await sql(own_postgres.dsn, STORED)) == accepted
    assert count(metrics, "transcripts_lost_total") == 0


def count(metrics: Metrics, name: str) -> float:
    samples = [each for family in metrics.registry.collect() for each in family.samples]
    return sum(each.value for each in samples if each.name == name)


async def until_stored(metrics: Metrics, *, more: int) -> None:
    enough = count(metrics, "transcripts_stored_total") + more
    await eventually(lambda: count(metrics, "transcripts_stored_total") >= enough)


async def test_finals_keep_coming_through_a_proxy_that_breaks_all_the_time(
    postgres_dsn: str, tmp_path: Path
) -> None:
    metrics = Metrics()
    journal = Journal(tmp_path / "journal.db", max_bytes=10_000_000)
    async with proxy_of(postgres_dsn) as proxy:
        dsn = through(postgres_dsn, proxy.port)
        async with PostgresStore(dsn, command_timeout_s=IMPATIENT) as store:
            writer = Writer(store, journal, metrics, max_rows=5, max_wait_s=0.01)
            async with writer:
                breaking = asyncio.create_task(break_often(proxy))
                for number in range(300):
                    assert writer.accept(final(number))
                    await asyncio.sleep(0.001)
                await breaking
                assert await writer.flush(10) == 0
    assert await sql(postgres_dsn, STORED) == [(f"u{number}", 1) for number in range(300)]


async def break_often(proxy: Proxy) -> None:
    for _ in range(5):
        await asyncio.sleep(0.02)
        proxy.reset()
        await asyncio.sleep(0.02)
        with proxy.answer_lost(b"COMMIT"):
            await asyncio.sleep(0.02)
        with proxy.cut():
            await asyncio.sleep(0.02)

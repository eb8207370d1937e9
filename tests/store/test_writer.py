import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from realtime_core.metrics import Metrics
from realtime_core.model import FinalRow
from realtime_core.store.journal import Journal
from realtime_core.store.memory import MemoryStore
from realtime_core.store.rows import encode
from realtime_core.store.writer import Writer
from tests.store.disk import full_disk, no_larger_file
from tests.store.finals import final
from tests.store.flaky import POISON, FlakyStore, Outcome
from tests.virtual_time import in_virtual_time

# Timers closer than a microsecond: virtual time runs both, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:delta is less than resolution")

ROOM = 1_000_000
ROW_BYTES = len(encode(final(10)))
MINUTE_S = 60.0


class Bench:
    """A writer, what it writes to, and what it counts."""

    def __init__(self, store: MemoryStore | None, path: Path, **options: float) -> None:
        self.metrics = Metrics()
        self.journal = Journal(path, max_bytes=int(options.pop("room", ROOM)))
        self.writer = Writer(store, self.journal, self.metrics, **options)  # type: ignore[arg-type]

    def count(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def is_unsafe(self) -> bool:
        return self.writer.is_unsafe

    def accept(self, *rows: FinalRow) -> list[bool]:
        return [self.writer.accept(row) for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def writing(store: MemoryStore | None, path: Path, **options: float) -> AsyncIterator[Bench]:
    bench = Bench(store, path, **options)
    async with bench.writer:
        yield bench


def finals(count: int) -> list[FinalRow]:
    return [final(number) for number in range(10, 10 + count)]


def stored(store: MemoryStore) -> list[FinalRow]:
    return sorted(store.rows.values(), key=lambda row: row.seq)


def test_a_full_batch_is_written_at_once_and_a_small_one_when_it_has_waited(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path) as bench:
            assert all(bench.accept(*finals(49)))
            await asyncio.sleep(1.9)
            assert store.batches == []
            await asyncio.sleep(0.2)
            assert store.batches == [49]
            bench.accept(*finals(120))
            await asyncio.sleep(0.01)
            assert store.batches == [49, 50, 50]
            await asyncio.sleep(2.0)
            assert store.batches == [49, 50, 50, 20]
            assert bench.writer.pending == 0
            assert bench.count("transcripts_stored_total") == 169

    in_virtual_time(main())


def test_an_outage_is_waited_out_and_every_final_is_stored_once(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path) as bench:
            bench.accept(final(1))
            await asyncio.sleep(3)
            with store.away():
                for row in finals(200):
                    bench.accept(row)
                    await asyncio.sleep(0.3)
                assert bench.writer.pending == bench.count("journal_rows") == 200
                assert bench.count("journal_bytes") > 200 * 100
                failures = bench.count("store_batch_failures_total", kind="unavailable")
                assert 8 <= failures <= 20, "the pauses grow, and not for ever"
            await asyncio.sleep(11)
            assert stored(store) == [final(1), *finals(200)]
            assert bench.count("transcripts_lost_total") == bench.writer.pending == 0

    in_virtual_time(main())


def test_a_commit_whose_answer_is_lost_is_repeated_and_stores_nothing_twice(path: Path) -> None:
    store = FlakyStore(Outcome.ANSWER_LOST, Outcome.ANSWER_LOST)

    async def main() -> None:
        async with writing(store, path) as bench:
            bench.accept(*finals(5))
            await asyncio.sleep(MINUTE_S)
            assert store.batches == [5, 5, 5]
            assert bench.writer.has_stored_all("e1")
            assert bench.count("transcripts_stored_total") == 5

    in_virtual_time(main())


def test_a_poison_row_is_set_aside_and_keeps_nobody_back(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path) as bench:
            with capture_logs() as logs:
                bench.accept(*finals(30), final(40, text=POISON), *finals(20)[:5])
                await asyncio.sleep(3)
            assert stored(store) == finals(30)
            assert bench.writer.pending == 0
            assert not bench.writer.has_stored_all("e1")
            assert bench.writer.has_stored_all("e2"), "its next run, for example"
            assert bench.count("transcripts_rejected_total") == 1
            (error,) = [line for line in logs if line["log_level"] == "error"]
            assert error["session"] == "weekly"
            tries = len(store.batches)
            await asyncio.sleep(MINUTE_S)
            assert len(store.batches) == tries, "it is not tried again"

    in_virtual_time(main())
    async_bench = Bench(store, path)

    async def after_restart() -> None:
        async with async_bench.writer:
            await asyncio.sleep(MINUTE_S)
            assert async_bench.count("transcripts_rejected_total") == 1, "once per start"

    in_virtual_time(after_restart())


def test_what_the_journal_has_no_room_for_is_stored_from_memory(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path, room=3 * ROW_BYTES) as bench:
            with store.away():
                assert bench.accept(*finals(5)) == [True, True, True, False, False]
                await asyncio.sleep(5)
            assert bench.writer.pending == bench.count("journal_rows") == 5
            await asyncio.sleep(MINUTE_S)
            assert stored(store) == finals(5)
            assert bench.count("transcripts_lost_total") == bench.writer.pending == 0

    in_virtual_time(main())


def test_what_the_journal_could_not_take_moves_there_as_soon_as_it_can(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path, stop_timeout_s=0) as bench:
            with store.away():
                bench.accept(*finals(5))
                with no_larger_file(path.with_name("journal.db-wal")):
                    assert bench.accept(final(99)) == [False]
                assert (bench.journal.rows, bench.writer.pending) == (5, 6)
                await asyncio.sleep(MINUTE_S)
                assert (bench.journal.rows, bench.writer.pending) == (6, 6)

    in_virtual_time(main())


def test_a_full_disk_keeps_no_final_from_the_database(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path) as bench:
            with store.away():
                bench.accept(*finals(120), final(5, text=POISON))
                await asyncio.sleep(1)
            with full_disk():
                bench.accept(final(200))
                await asyncio.sleep(MINUTE_S)
                assert stored(store) == [*finals(120), final(200)]
                assert bench.writer.pending == 0
                assert bench.is_unsafe()
                calls = len(store.batches)
                await asyncio.sleep(MINUTE_S)
                assert len(store.batches) == calls, "nobody is bothered again"
            await asyncio.sleep(2)
            assert bench.journal.rows == 0
            assert not bench.is_unsafe()
            assert bench.count("transcripts_stored_total") == 121
            assert bench.count("transcripts_rejected_total") == 1

    in_virtual_time(main())


def test_stopping_moves_to_the_journal_what_it_could_not_take_before(path: Path) -> None:
    store = FlakyStore()
    bench = Bench(store, path, stop_timeout_s=5)

    async def main() -> None:
        async with bench.writer:
            with no_larger_file(path.with_name("journal.db-wal")):
                assert bench.accept(*finals(50)) == [False] * 50
                await asyncio.sleep(0)  # the batch is on its way, and stays there

    with store.hanging():
        in_virtual_time(main())
    assert (bench.journal.rows, bench.count("transcripts_lost_total")) == (50, 0)


def test_memory_is_bounded_too_and_what_goes_is_counted(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path, room=ROW_BYTES, memory_rows=2) as bench:
            with store.away(), capture_logs() as logs:
                bench.accept(*finals(5))
            assert bench.count("transcripts_lost_total") == 2
            assert "Finals lost" in [line["event"] for line in logs]
            await bench.writer.flush(5)
            assert [row.seq for row in stored(store)] == [10, 13, 14]

    in_virtual_time(main())


def test_a_poison_row_in_memory_is_lost_and_counted_as_such(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path, room=1) as bench:
            bench.accept(final(1), final(2, text=POISON), final(3))
            assert await bench.writer.flush(5) == 0
            assert stored(store) == [final(1), final(3)]
            assert bench.count("transcripts_lost_total") == 1
            assert not bench.writer.has_stored_all("e1")

    in_virtual_time(main())


def test_stopping_without_a_database_is_bounded_and_the_next_start_writes_the_rest(
    path: Path,
) -> None:
    store = FlakyStore()

    async def stop_without_database() -> float:
        async with writing(store, path, stop_timeout_s=5) as bench:
            bench.accept(*finals(120))
            stopping_at = asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - stopping_at

    async def start_again() -> None:
        async with writing(store, path) as bench:
            assert bench.writer.pending == 120
            await asyncio.sleep(0.01)
            assert bench.writer.pending == 0

    with store.hanging():
        assert in_virtual_time(stop_without_database()) == pytest.approx(5)
    store.batches.clear()
    in_virtual_time(start_again())
    assert store.batches == [50, 50, 20]
    assert stored(store) == finals(120)


def test_stopping_with_finals_in_memory_only_counts_them_as_lost(path: Path) -> None:
    store = FlakyStore()
    bench = Bench(store, path, room=ROW_BYTES)

    async def main() -> None:
        with store.away():
            async with bench.writer:
                bench.accept(*finals(3))
        assert bench.accept(final(99)) == [False], "too late"

    in_virtual_time(main())
    assert bench.count("transcripts_lost_total") == 3


def test_a_flush_does_not_wait_for_the_next_attempt(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path) as bench:
            with store.away():
                bench.accept(*finals(3))
                await asyncio.sleep(10 * MINUTE_S)
            begun_at = asyncio.get_running_loop().time()
            assert await bench.writer.flush(5) == 0
            assert asyncio.get_running_loop().time() == begun_at

    in_virtual_time(main())


def test_a_flush_that_does_not_get_through_says_how_much_is_left(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        async with writing(store, path, stop_timeout_s=0) as bench:
            bench.accept(*finals(3))
            with store.away():
                assert await bench.writer.flush(1) == 3

    in_virtual_time(main())


def test_an_exception_nobody_foresaw_does_not_end_the_writing(path: Path) -> None:
    store = FlakyStore(Outcome.BUG, Outcome.STORED, Outcome.BUG)

    async def main() -> None:
        async with writing(store, path) as bench:
            for row in finals(3):
                bench.accept(row)
                await asyncio.sleep(MINUTE_S)
            assert stored(store) == finals(3)

    in_virtual_time(main())


def test_without_a_database_nothing_is_kept_and_that_is_said(path: Path) -> None:
    async def main() -> None:
        async with writing(None, path) as bench:
            assert bench.accept(final(1)) == [True]
            assert await bench.writer.flush(1) == bench.writer.pending == 0

    with capture_logs() as logs:
        in_virtual_time(main())
    assert [line["log_level"] for line in logs] == ["warning"]
    assert not path.exists()


def test_finals_are_on_the_disk_a_second_after_they_were_accepted(path: Path) -> None:
    store = FlakyStore()

    async def main() -> None:
        with store.away():
            async with writing(store, path, stop_timeout_s=0) as bench:
                before = content_of(path)
                bench.accept(*finals(3))
                assert content_of(path) == before
                await asyncio.sleep(1.1)
                assert content_of(path) != before

    in_virtual_time(main())


def content_of(path: Path) -> bytes:
    return path.read_bytes()


async def test_leaving_can_be_cancelled_and_lets_go_of_the_journal(path: Path) -> None:
    store = FlakyStore()
    entered = asyncio.Event()

    async def use() -> None:
        async with writing(store, path) as bench:
            bench.accept(final(1))
            entered.set()

    with store.hanging():
        using = asyncio.create_task(use())
        await entered.wait()
        await asyncio.sleep(0)
        using.cancel()
        with suppress(asyncio.CancelledError):
            await using
    async with writing(store, path) as bench:
        assert await bench.writer.flush(5) == 0
    assert stored(store) == [final(1)]


Step = Callable[[Bench], Awaitable[object]]


def accepting(row: FinalRow) -> Step:
    async def step(bench: Bench) -> None:
        bench.writer.accept(row)

    return step


def accepting_without_disk(row: FinalRow, seconds: float) -> Step:
    async def step(bench: Bench) -> None:
        with full_disk():
            bench.writer.accept(row)
            await asyncio.sleep(seconds)

    return step


def waiting(seconds: float) -> Step:
    async def step(bench: Bench) -> None:
        await asyncio.sleep(seconds)

    return step


def flushing(seconds: float) -> Step:
    async def step(bench: Bench) -> None:
        await bench.writer.flush(seconds)

    return step


rows = st.builds(
    lambda number, rev, poison: final(number, rev=rev, text=POISON if poison else f"rev {rev}"),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(0, 9).map(lambda n: n == 0),
)
lives = st.lists(
    st.lists(
        rows.map(lambda row: (row, accepting(row)))
        | st.tuples(rows, st.floats(0, 5)).map(lambda r: (r[0], accepting_without_disk(*r)))
        | st.floats(0, 5).map(lambda s: (None, waiting(s)))
        | st.floats(0, 2).map(lambda s: (None, flushing(s))),
        max_size=25,
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    lives=lives,
    outcomes=st.lists(st.sampled_from(Outcome), max_size=12),
    max_rows=st.integers(1, 6),
    room=st.integers(1, 12),
)
def test_whatever_happens_the_database_holds_each_accepted_final_once_with_its_latest_revision(
    lives: Sequence[Sequence[tuple[FinalRow | None, Step]]],
    outcomes: list[Outcome],
    max_rows: int,
    room: int,
) -> None:
    store = FlakyStore(*outcomes)
    lost = rejected = 0.0

    async def live(bench: Bench, steps: Sequence[Step]) -> None:
        async with bench.writer:
            for step in steps:
                await step(bench)

    with tempfile.TemporaryDirectory() as folder:
        for life in [*lives, [(None, waiting(10 * MINUTE_S))]]:
            bench = Bench(store, Path(folder) / "j", room=room * ROW_BYTES, max_rows=max_rows)
            in_virtual_time(live(bench, [step for _, step in life]))
            lost += bench.count("transcripts_lost_total")
            rejected += bench.count("transcripts_rejected_total")
    accepted = [row for life in lives for row, _ in life if row is not None]
    healthy = [row for row in accepted if row.text != POISON]
    latest = {row.utterance_id: row for row in sorted(healthy, key=lambda row: row.rev)}
    missing = [row for row in latest.values() if row not in store.rows.values()]
    assert len(missing) <= lost
    assert all(row in healthy for row in store.rows.values())
    assert (rejected > 0) <= (len(accepted) > len(healthy))

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from realtime_core.metrics import Metrics
from realtime_core.model import SessionRecord
from realtime_core.store.backlog import TIDY_ROWS, Backlog
from realtime_core.store.journal import Entry, Journal
from tests.store.disk import full_disk
from tests.store.finals import final, utterances

RECORD = SessionRecord("weekly", "e1")


class Bench:
    """A backlog, its journal and what it counts."""

    def __init__(self, path: Path) -> None:
        self.metrics = Metrics()
        self.journal = Journal(path, max_bytes=10_000_000)
        self.backlog = Backlog(self.journal, self.metrics)

    def add(self, *numbers: int) -> list[bool]:
        return [self.backlog.add(final(number)) for number in numbers]

    def is_unsafe(self) -> bool:
        return self.backlog.is_unsafe

    async def offered(self, limit: int = 10) -> list[str]:
        return utterances(*(entry.row for entry in await self.backlog.oldest(limit)))

    async def entries(self, limit: int) -> list[Entry]:
        return await self.backlog.oldest(limit)

    def count(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Bench]:
    bench = Bench(path)
    async with bench.journal:
        yield bench


async def test_what_is_stored_is_not_offered_again_while_the_journal_cannot_let_go_of_it(
    path: Path,
) -> None:
    async with opened(path) as bench:
        bench.add(1, 2, 3, 4, 5)
        with full_disk():
            bench.backlog.forget([entry.id for entry in await bench.entries(2)])
            assert bench.is_unsafe()
            assert (len(bench.backlog), bench.journal.rows) == (3, 5)
            assert await bench.offered(2) == ["u3", "u4"]
        bench.backlog.tidy()
        assert not bench.is_unsafe()
        assert (len(bench.backlog), bench.journal.rows) == (3, 3)


async def test_a_refused_final_is_out_of_the_way_even_while_it_cannot_be_put_aside(
    path: Path,
) -> None:
    async with opened(path) as bench:
        bench.add(1, 2)
        with full_disk():
            bench.backlog.reject((await bench.entries(1))[0], "poison")
            assert await bench.offered() == ["u2"]
        bench.backlog.tidy()
        assert await bench.offered() == ["u2"]
        assert bench.count("transcripts_lost_total") == 0
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT reason FROM rejected").fetchall() == [("poison",)]


async def test_what_was_dealt_with_on_a_full_disk_comes_again_after_a_kill_and_is_not_lost(
    path: Path,
) -> None:
    async with opened(path) as bench:
        bench.add(1, 2)
        with full_disk():
            first, second = await bench.entries(2)
            bench.backlog.forget([first.id])
            bench.backlog.reject(second, "poison")
        # No close(), as when the process is killed.
    async with opened(path) as bench:
        assert await bench.offered() == ["u1", "u2"]


async def test_it_is_unsafe_until_the_journal_has_taken_all(path: Path) -> None:
    async with opened(path) as bench:
        with full_disk():
            assert bench.add(1) == [False]
            assert bench.is_unsafe()
            # What would not survive a crash goes first.
            assert [entry.id for entry in await bench.entries(5)] == [-1]
        assert bench.add(2) == [True]
        assert bench.is_unsafe(), "the first is in memory"
        assert await bench.offered() == ["u2", "u1"]
        assert not bench.is_unsafe()


async def test_it_is_safe_once_all_is_stored_though_the_journal_is_asked_for_nothing_more(
    path: Path,
) -> None:
    async with opened(path) as bench:
        with full_disk():
            bench.add(1)
            bench.backlog.forget([entry.id for entry in await bench.entries(1)])
            assert not bench.is_unsafe()


@pytest.mark.parametrize("is_over", [True, False])
async def test_it_is_unsafe_while_the_record_of_a_session_is_not_the_last(
    path: Path, is_over: bool
) -> None:
    async with opened(path) as bench:
        with full_disk():
            bench.journal.save(RECORD)
            assert bench.is_unsafe()
        if is_over:
            bench.journal.forget(RECORD.slug)
        else:
            bench.journal.append(final(1), RECORD)
        assert not bench.is_unsafe()


async def test_making_up_for_a_full_disk_takes_turns_with_everything_else(path: Path) -> None:
    async with opened(path) as bench:
        with full_disk():
            bench.add(*range(TIDY_ROWS + 5))
        bench.backlog.tidy()
        assert (bench.journal.rows, len(bench.backlog)) == (TIDY_ROWS, TIDY_ROWS + 5)
        bench.backlog.close()
        assert bench.journal.rows == TIDY_ROWS + 5
        assert bench.count("transcripts_lost_total") == 0

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime_core.errors import ConfigurationError, StoreUnavailable
from realtime_core.store.journal import Journal
from realtime_core.store.rows import encode
from tests.store.disk import no_larger_file
from tests.store.finals import final, utterances

ROOM = 1_000_000
ROW_BYTES = len(encode(final(1)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.db"


async def pending(journal: Journal, limit: int = 99) -> list[str]:
    return utterances(*(entry.row for entry in await journal.pending(limit)))


async def test_finals_stay_in_order_until_they_are_removed(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        assert all(journal.append(final(number)) for number in (1, 2, 3))
        first, second = await journal.pending(2)
        assert (first.row, second.row) == (final(1), final(2))
        assert await pending(journal) == ["u1", "u2", "u3"]
        journal.remove([first.id])
        assert await pending(journal) == ["u2", "u3"]


async def test_what_is_left_is_there_after_a_restart_and_still_counted(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        for number in (1, 2, 3):
            journal.append(final(number))
        journal.remove([(await journal.pending(1))[0].id])
    async with Journal(path, max_bytes=ROOM) as journal:
        assert (journal.rows, journal.bytes) == (2, 2 * ROW_BYTES)
        assert await pending(journal) == ["u2", "u3"]


async def test_age_is_that_of_the_oldest_final_over_restarts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("realtime_core.store.journal.time.time", lambda: now)
    async with Journal(path, max_bytes=ROOM) as journal:
        assert journal.oldest_age == 0
        journal.append(final(1))
        now = 1_010.0
        journal.append(final(2))
        assert journal.oldest_age == 10
    async with Journal(path, max_bytes=ROOM) as journal:
        now = 1_015.0
        assert journal.oldest_age == 15
        journal.remove([(await journal.pending(1))[0].id])
        assert journal.oldest_age == 5
        journal.remove([(await journal.pending(1))[0].id])
        assert (journal.oldest_age, journal.rows, journal.bytes) == (0, 0, 0)


async def test_a_full_journal_says_so_and_takes_more_once_there_is_room(path: Path) -> None:
    async with Journal(path, max_bytes=2 * ROW_BYTES) as journal:
        assert journal.append(final(1))
        assert journal.append(final(2))
        with capture_logs() as logs:
            assert not any([journal.append(final(3)), journal.append(final(4))])
        assert [(line["log_level"], line["event"]) for line in logs] == [
            ("error", "Journal is full")  # once a second is enough
        ]
        journal.remove([(await journal.pending(1))[0].id])
        assert journal.append(final(5))
        assert await pending(journal) == ["u2", "u5"]


async def test_a_rejected_final_is_out_of_the_way_and_gets_another_chance_at_the_next_start(
    path: Path,
) -> None:
    async with Journal(path, max_bytes=2 * ROW_BYTES) as journal:
        journal.append(final(1))
        journal.append(final(2))
        journal.reject((await journal.pending(1))[0].id, "22P02")
        assert await pending(journal) == ["u2"]
        assert (journal.rows, journal.bytes) == (1, ROW_BYTES)
        assert not journal.append(final(3)), "what is set aside takes room"
    async with Journal(path, max_bytes=ROOM) as journal:
        assert sorted(await pending(journal)) == ["u1", "u2"]


async def test_a_final_is_put_aside_as_a_whole_or_not_at_all(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        journal.append(final(1))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            forbid = "BEFORE DELETE ON finals BEGIN SELECT RAISE(ABORT, 'no'); END"
            other.execute(f"CREATE TRIGGER keep {forbid}")
            with pytest.raises(StoreUnavailable):
                journal.reject(1, "22P02")
            assert other.execute("SELECT count(*) FROM rejected").fetchone() == (0,)
        assert (journal.rows, journal.bytes) == (1, ROW_BYTES)


async def test_an_unreadable_final_is_set_aside(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        journal.append(final(1))
        journal.append(final(2))
    with closing(sqlite3.connect(path)) as file:
        file.execute("UPDATE finals SET row = 'rubbish' WHERE id = 1")
        file.commit()
    async with Journal(path, max_bytes=ROOM) as journal:
        assert await pending(journal) == ["u2"]
        assert journal.rows == 1


async def test_two_cannot_have_it_open(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        with pytest.raises(ConfigurationError, match="DATA_DIR of its own"):
            await Journal(path, max_bytes=ROOM).open()
        assert journal.append(final(1))
    async with Journal(path, max_bytes=ROOM) as journal:
        assert journal.rows == 1


async def test_a_folder_that_cannot_be_used_is_the_operators_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="DATA_DIR must be a writable folder"):
        await Journal(tmp_path / "file" / "journal.db", max_bytes=ROOM).open()
    (tmp_path / "journal.db").mkdir()
    with pytest.raises(ConfigurationError, match="DATA_DIR must be a writable folder"):
        await Journal(tmp_path / "journal.db", max_bytes=ROOM).open()


@pytest.mark.parametrize("damage", ["garbage", "middle", "cut"])
async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path, damage: str) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        for number in range(50):
            journal.append(final(number))
    damaged = damage_file(path, damage)
    with capture_logs() as logs:
        async with Journal(path, max_bytes=ROOM) as journal:
            assert journal.append(final(1))
            assert journal.rows == 1
    assert "Journal was damaged and set aside" in [line["event"] for line in logs]
    assert kept_of(path) == [damaged]


def damage_file(path: Path, damage: str) -> bytes:
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {
        "garbage": b"not a database, but long enough to be looked at" * 100,
        "middle": content[:middle] + b"\xff" * 8192 + content[middle + 8192 :],
        "cut": content[:middle],
    }[damage]
    path.write_bytes(damaged)
    return damaged


def kept_of(path: Path) -> list[bytes]:
    return [kept.read_bytes() for kept in path.parent.glob(path.name + ".damaged-*")]


async def test_a_disk_without_room_refuses_finals_and_damages_nothing(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        for number in range(50):
            assert journal.append(final(number))
        with (
            no_larger_file(path.with_name("journal.db-wal")),
            capture_logs() as logs,
        ):
            assert not journal.append(final(50))
        assert logs[0]["event"] == "Journal cannot be used"
        assert journal.append(final(51))
        assert len(await pending(journal)) == journal.rows == 51


async def test_a_file_that_somebody_else_locks_costs_finals_a_moment_only(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            assert not journal.append(final(1))
            intruder.execute("ROLLBACK")
        assert journal.append(final(2))
        assert await pending(journal) == ["u2"]


async def test_sync_brings_everything_from_the_log_to_the_file(path: Path, tmp_path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        for number in (1, 2, 3):
            journal.append(final(number))
        await journal.sync()
        shutil.copy(path, tmp_path / "copy.db")  # without its log
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM finals").fetchone() == (3,)


async def test_the_log_is_used_again_and_does_not_grow(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        sizes = []
        for number in range(30):
            for _ in range(10):
                journal.append(final(number))
            journal.remove([entry.id for entry in await journal.pending(10)])
            await journal.sync()
            sizes.append(path.with_name("journal.db-wal").stat().st_size)
    assert max(sizes) <= 3 * sizes[0]


async def test_only_its_owner_can_read_it(path: Path) -> None:
    async with Journal(path, max_bytes=ROOM) as journal:
        journal.append(final(1))
        modes = {each.name: each.stat().st_mode & 0o077 for each in path.parent.iterdir()}
    assert len(modes) == 4
    assert not any(modes.values())


async def test_a_closed_journal_takes_and_gives_nothing(path: Path) -> None:
    journal = Journal(path, max_bytes=ROOM)
    assert not journal.append(final(1))
    async with journal:
        pass
    await journal.close()
    assert not journal.append(final(1))
    with pytest.raises(StoreUnavailable, match="closed"):
        await journal.pending(1)


async def test_opening_can_be_cancelled_and_leaves_nothing_locked(path: Path) -> None:
    opening = asyncio.create_task(Journal(path, max_bytes=ROOM).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with Journal(path, max_bytes=ROOM) as journal:
        assert journal.append(final(1))


async def test_closing_can_be_cancelled_and_closes_all_the_same(path: Path) -> None:
    before = open_files()
    journal = Journal(path, max_bytes=ROOM)
    await journal.open()
    closing_it = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    closing_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing_it
    async with Journal(path, max_bytes=ROOM):
        pass
    assert open_files() <= before


def open_files() -> int:
    return sum(1 for each in Path("/proc/self/fd").iterdir() if "journal" in os.path.realpath(each))

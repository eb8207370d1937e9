"""Sessions in the journal."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime_core.model import SessionOptions, SessionRecord, Transcript
from realtime_core.store import marker
from realtime_core.store.journal import Journal
from realtime_core.store.records import decode_record, encode_record
from tests.store.disk import full_disk
from tests.store.finals import final

ROOM = 1_000_000
DRAFT = Transcript(
    "weekly", "u1", "héllo", False, "Alice", "a:1", 0.5, 41, 3, 1.25, 2.5, 7.0, language="en"
)
RECORD = SessionRecord(
    "weekly",
    "e1",
    SessionOptions(("en", "de"), ("Kubernetes",)),
    created_at=1_790_000_000.5,
    was_published=True,
    zero_at=1_790_000_001.25,
    seq=41,
    finals=12,
    heard_to_s=99.5,
    drafts=(DRAFT,),
)


def test_a_record_comes_back_as_it_was() -> None:
    assert decode_record(encode_record(RECORD)) == RECORD


def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    data = encode_record(RECORD).replace(b'"seq":41,"finals"', b'"mood":"fine","seq":41,"finals"')
    assert decode_record(data) == RECORD


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"slug":1,"epoch":"e"}', b"\xff"])
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        decode_record(data)


async def test_the_last_record_of_each_session_is_found_again_oldest_session_first(
    tmp_path: Path,
) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
        journal.save(replace(RECORD, slug="daily"))
        journal.save(replace(RECORD, seq=42))
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        found = await journal.records()
    assert [(record.slug, record.seq) for record in found] == [("weekly", 42), ("daily", 41)]


async def test_a_final_and_the_record_after_it_are_kept_together(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        assert journal.append(final(1), RECORD)
        assert await journal.records() == [RECORD]
        assert [entry.row for entry in await journal.pending(10)] == [final(1)]


async def test_a_final_that_cannot_be_kept_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
        with sqlite3.connect(tmp_path / "j", isolation_level=None) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        other.close()
        assert not journal.append(final(1), replace(RECORD, finals=13))
        assert [record.finals for record in await journal.records()] == [12]
        assert (await journal.pending(10), journal.rows) == ([], 0)


async def test_a_full_journal_refuses_the_final_and_keeps_the_record(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j", max_bytes=1) as journal:
        assert not journal.append(final(1), RECORD)
        assert await journal.records() == [RECORD]


async def test_a_session_that_ended_is_forgotten(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
        journal.forget("weekly")
        journal.forget("weekly")
        assert await journal.records() == []


async def test_a_record_that_cannot_be_read_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(replace(RECORD, slug="odd"))
        journal.save(RECORD)
        with sqlite3.connect(tmp_path / "j", isolation_level=None) as other:
            other.execute("UPDATE sessions SET record = '{}' WHERE slug = 'odd'")
        other.close()
        assert await journal.records() == [RECORD]
    assert "Session cannot be restored" in capsys.readouterr().out


async def test_a_closed_journal_neither_keeps_nor_raises(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", max_bytes=ROOM)
    journal.save(RECORD)
    journal.forget("weekly")
    async with journal:
        assert await journal.records() == []


@asynccontextmanager
async def killed(path: Path) -> AsyncIterator[Journal]:
    """Open a journal and let go of it without closing it, as when the process dies."""
    journal = Journal(path, max_bytes=ROOM)
    await journal.open()
    yield journal
    descriptor, journal._file._lock, journal._file._marker = journal._file._lock, None, None
    assert descriptor is not None
    os.close(descriptor)
    journal._file.is_current = False
    await journal.close()


async def found_in(path: Path) -> list[SessionRecord]:
    async with Journal(path, max_bytes=ROOM) as journal:
        return await journal.records()


def other_boot(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    path.write_text("another boot\n")
    monkeypatch.setattr(marker, "BOOT_ID", path)


async def test_after_a_kill_a_session_goes_on_in_its_numbering(tmp_path: Path) -> None:
    async with killed(tmp_path / "j") as journal:
        journal.save(RECORD)
    assert await found_in(tmp_path / "j") == [RECORD]


async def test_after_a_proper_end_it_does_so_even_on_another_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
    other_boot(monkeypatch, tmp_path / "boot")
    assert await found_in(tmp_path / "j") == [RECORD]


async def test_when_the_machine_went_down_it_goes_on_in_a_new_numbering_and_owes_its_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with killed(tmp_path / "j") as journal:
        journal.save(RECORD)
    other_boot(monkeypatch, tmp_path / "boot")
    with capture_logs() as logs:
        (record,) = await found_in(tmp_path / "j")
    assert record.epoch != RECORD.epoch
    assert record == replace(RECORD, epoch=record.epoch, seq=0)
    assert "Sessions go on in a new numbering" in [line["event"] for line in logs]
    assert await found_in(tmp_path / "j") == [record], "once is enough"


async def test_a_new_numbering_is_kept_before_anybody_can_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with killed(tmp_path / "j") as journal:
        journal.save(RECORD)
    other_boot(monkeypatch, tmp_path / "boot")
    async with killed(tmp_path / "j") as journal:
        pass  # it dies before it asks for the sessions
    async with killed(tmp_path / "j") as journal:
        (record,) = await journal.records()
    assert record.epoch != RECORD.epoch
    assert await found_in(tmp_path / "j") == [record]


@pytest.mark.parametrize("closes", [True, False])
async def test_when_a_record_could_not_be_kept_it_goes_on_in_a_new_numbering(
    tmp_path: Path, closes: bool
) -> None:
    opened = Journal(tmp_path / "j", max_bytes=ROOM) if closes else killed(tmp_path / "j")
    async with opened as journal:
        journal.save(RECORD)
        with full_disk():
            journal.save(replace(RECORD, seq=42))
    (record,) = await found_in(tmp_path / "j")
    assert (record.epoch != RECORD.epoch, record.seq) == (True, 0)


async def test_a_full_disk_at_the_start_does_not_keep_sessions_from_going_on(
    tmp_path: Path,
) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
    (tmp_path / "j.lock").write_text("another boot")
    async with killed(tmp_path / "j") as journal:
        with full_disk():
            ((first,), behind) = await journal.records(), set(journal.behind)
    assert (first.seq, behind) == (0, {"weekly"})
    (second,) = await found_in(tmp_path / "j")
    assert len({RECORD.epoch, first.epoch, second.epoch}) == 3, "nobody knows what was seen"


async def test_a_session_that_cannot_be_forgotten_is_not_gone_on_with_as_it_was(
    tmp_path: Path,
) -> None:
    async with Journal(tmp_path / "j", max_bytes=ROOM) as journal:
        journal.save(RECORD)
        with full_disk():
            journal.forget("weekly")
    (record,) = await found_in(tmp_path / "j")
    assert record.epoch != RECORD.epoch

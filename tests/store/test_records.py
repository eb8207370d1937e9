"""Sessions in the journal."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from realtime_core.model import SessionOptions, SessionRecord, Transcript
from realtime_core.store.journal import Journal
from realtime_core.store.records import decode_record, encode_record
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
        assert not journal.append(final(1), replace(RECORD, seq=42))
        assert await journal.records() == [RECORD]
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

"""What every transcript store promises, the one in memory and the real one alike."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from realtime_core.errors import StoreRejected
from realtime_core.model import FinalizedBy, FinalRow, SpeakerShare, Word
from realtime_core.store.memory import MemoryStore
from realtime_core.store.postgres import PostgresStore
from realtime_core.store.rows import StoredRun
from realtime_core.store.writer import TranscriptStore
from tests.store.finals import A_FINAL, STARTED_AT, final, utterances

_stores: tuple[type[TranscriptStore], ...] = (MemoryStore, PostgresStore)  # mypy checks them

Store = MemoryStore | PostgresStore

BOTH = (SpeakerShare("alice:1", "Alice", 0.75), SpeakerShare("bob:1", "Bob", 0.5))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def dsn(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[Store]:
    if dsn is None:
        yield MemoryStore()
        return
    async with PostgresStore(dsn) as postgres:
        yield postgres


async def test_what_is_stored_comes_back_as_it_was(store: Store) -> None:
    bare = final(2, words=(), language=None, confidence=None, speaker_confidence=None)
    await store.insert([A_FINAL, replace(bare, finalized_by=FinalizedBy.TIMEOUT)])
    assert list(await store.finals("weekly", limit=9)) == [
        A_FINAL,
        replace(bare, finalized_by=FinalizedBy.TIMEOUT),
    ]


async def test_all_who_spoke_come_back(store: Store) -> None:
    both = final(1, speakers=BOTH)
    await store.insert([both])
    assert list(await store.finals("weekly", limit=9)) == [both]


async def test_what_somebody_was_called_last_in_a_run_holds_for_all_that_they_said(
    store: Store,
) -> None:
    rows = [
        final(1, speaker="Guest"),
        final(2, speaker="Bob", speaker_id="bob:1", speakers=tuple(reversed(BOTH))),
        final(3, speaker="Alice Smith"),
        final(4, speaker="", text=""),  # taken back
        final(5, epoch="e2", utterance_id="later", speaker="Alice of another run"),
    ]
    await store.insert(rows)
    found = await store.finals("weekly", epoch="e1", limit=2)
    assert [row.speaker for row in found] == ["Alice Smith", "Bob"]
    assert [each.speaker for each in found[1].speakers] == ["Bob", "Alice Smith"]


async def test_storing_again_changes_nothing(store: Store) -> None:
    await store.insert([A_FINAL])
    await store.insert([replace(A_FINAL, text="same revision, other text"), final(2)])
    assert [row.text for row in await store.finals("weekly", limit=9)] == ["Hello everyone"] * 2


async def test_a_newer_revision_replaces_and_an_older_one_never_does(store: Store) -> None:
    for rev in (2, 3, 1):
        await store.insert([final(1, rev=rev, text=f"revision {rev}")])
    assert [(row.rev, row.text) for row in await store.finals("weekly", limit=9)] == [
        (3, "revision 3")
    ]


async def test_several_revisions_in_one_batch_leave_the_latest(store: Store) -> None:
    await store.insert([final(1, rev=1), final(1, rev=3, text="latest"), final(1, rev=2)])
    assert [row.text for row in await store.finals("weekly", limit=9)] == ["latest"]


async def test_one_utterance_id_in_two_sessions_is_two_finals(store: Store) -> None:
    await store.insert([final(1), final(1, session_slug="daily")])
    assert len(await store.finals("weekly", limit=9)) == 1
    assert len(await store.finals("daily", limit=9)) == 1


async def test_what_no_text_can_hold_is_taken_out(store: Store) -> None:
    word = Word("a\x00b\ud800", 0.0, 1.0, speaker_id="x\x00")
    share = SpeakerShare("x\x00", "b\ud800", 1.0)
    dirty = final(
        1, text="a\x00b", speaker="\ud83d", language="e\x00n", words=(word,), speakers=(share,)
    )
    await store.insert([dirty])
    (row,) = await store.finals("weekly", limit=9)
    assert (row.text, row.speaker, row.language) == ("ab", "?", "en")
    assert row.words == (Word("ab?", 0.0, 1.0, speaker_id="x"),)
    assert row.speakers == (SpeakerShare("x", "b?", 1.0),)


async def test_any_other_text_survives(store: Store) -> None:
    text = "Привет \\u0000 \U0001f600 \u2028 '; DROP TABLE transcripts; --"
    await store.insert([final(1, text=text, words=(Word(text, 0.0, 1.0),))])
    (row,) = await store.finals("weekly", limit=9)
    assert (row.text, row.words[0].text) == (text, text)


async def test_finals_come_in_the_order_they_were_spoken(store: Store) -> None:
    spoken_first = final(5, started_at=STARTED_AT - 10)  # and numbered last, when it was revised
    await store.insert([final(2), final(1), spoken_first])
    assert utterances(*await store.finals("weekly", limit=9)) == ["u5", "u1", "u2"]
    assert utterances(*await store.finals("weekly", after=1, limit=9)) == ["u5", "u2"]


async def test_who_goes_on_after_the_highest_number_misses_nothing(store: Store) -> None:
    await store.insert([final(1), final(2), final(3, started_at=STARTED_AT - 10), final(4)])
    assert utterances(*await store.finals("weekly", limit=2)) == ["u1", "u2"]
    assert utterances(*await store.finals("weekly", after=2, limit=2)) == ["u3", "u4"]
    assert utterances(*await store.finals("weekly", after=4, limit=2)) == []


async def test_a_slug_that_is_used_again_does_not_mix_its_runs(store: Store) -> None:
    await store.insert([in_run("e2", 1, day=7), in_run("e2", 2, day=7), in_run("e2", 9, day=7)])
    await store.insert([in_run("e1", 1, day=0), in_run("e1", 30, day=0)])
    await store.insert([in_run("e3", 1, day=9, session_slug="daily")])
    assert utterances(*await store.finals("weekly", limit=9)) == ["e2-1", "e2-2", "e2-9"]
    assert utterances(*await store.finals("weekly", after=1, limit=9)) == ["e2-2", "e2-9"]
    assert utterances(*await store.finals("weekly", after=9, limit=9)) == []
    earlier = await store.finals("weekly", epoch="e1", limit=9)
    assert utterances(*earlier) == ["e1-1", "e1-30"]
    assert utterances(*await store.finals("weekly", epoch="e1", after=1, limit=9)) == ["e1-30"]
    assert utterances(*await store.finals("weekly", epoch="e3", limit=9)) == []


async def test_a_run_is_known_by_its_epoch_and_its_beginning(store: Store) -> None:
    await store.insert([in_run("e1", 5, day=0), in_run("e2", 4, day=7), in_run("e2", 3, day=7)])
    last = StoredRun("e2", in_run("e2", 3, day=7).started_at)
    assert await store.run("weekly") == last
    assert await store.run("weekly", epoch="e2") == last
    assert await store.run("weekly", epoch="e1") == StoredRun("e1", STARTED_AT + 5)
    assert await store.run("weekly", epoch="e3") is None
    assert await store.run("never seen") is None


async def test_a_retracted_final_does_not_begin_a_run(store: Store) -> None:
    await store.insert([final(1, text=""), final(2), final(3)])
    assert await store.run("weekly") == StoredRun("e1", final(2).started_at)
    await store.insert([final(2, rev=2, text=""), final(3, rev=2, text="")])
    assert await store.run("weekly") == StoredRun("e1", None)


def in_run(epoch: str, number: int, *, day: int, **changes: Any) -> FinalRow:
    """Return the run's ``number``-th final; each run has ids of its own."""
    started_at = STARTED_AT + day * 86_400 + number
    return final(
        number, epoch=epoch, utterance_id=f"{epoch}-{number}", started_at=started_at, **changes
    )


async def test_nothing_can_be_stored_too(store: Store) -> None:
    await store.insert([])
    assert list(await store.finals("weekly", limit=9)) == []


@pytest.mark.postgres
async def test_a_batch_with_a_poison_row_is_rejected_whole(postgres_dsn: str) -> None:
    async with PostgresStore(postgres_dsn) as store:
        for poison in (
            final(2, rev=2**31),
            final(2, started_at=1e18),
            final(2, started_at=float("nan")),
            final(2, utterance_id="".join(map(str, range(9_999)))),
        ):
            with pytest.raises(StoreRejected):
                await store.insert([final(1), poison, final(3)])
        assert list(await store.finals("weekly", limit=9)) == []

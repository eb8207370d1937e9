from collections.abc import Mapping

from realtime_core.model import FinalizedBy, Transcript
from realtime_core.transcript.ledger import MOST_FINALS, Broken, Ledger


def shown(
    seq: int, *, name: str = "a", rev: int = 1, text: str = "hello", final: bool = False
) -> Transcript:
    return Transcript(
        session_slug="weekly",
        utterance_id=name,
        text=text,
        is_final=final,
        speaker="room",
        speaker_id="room",
        speaker_confidence=None,
        seq=seq,
        rev=rev,
        start_s=0.0,
        end_s=float(seq),
        received_at=0.0,
        finalized_by=FinalizedBy.STT if final else None,
    )


def broken(ledger: Ledger) -> Mapping[Broken, int]:
    return {kind: count for kind, count in ledger.broken.items() if count}


def test_a_draft_that_becomes_final_keeps_the_promise() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1), 0.0)
    ledger.note(shown(2, rev=2, text="hello there"), 5.0)
    ledger.note(shown(3, rev=3, final=True), 10.0)
    ledger.finish()
    assert broken(ledger) == {}
    assert (ledger.seq, ledger.finals, ledger.heard_to_s) == (3, 1, 3.0)


def test_open_drafts_are_the_last_snapshots() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1, name="a"), 0.0)
    ledger.note(shown(2, name="b"), 0.0)
    ledger.note(shown(3, name="a", rev=2), 0.0)
    ledger.note(shown(4, name="b", rev=2, final=True), 0.0)
    assert [draft.seq for draft in ledger.open_drafts] == [3]


def test_a_draft_that_nobody_ends_is_told_once_as_late_and_once_as_unended() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1), 0.0)
    ledger.check(6.0)
    assert broken(ledger) == {}
    ledger.check(6.1)
    ledger.check(7.0)
    assert broken(ledger) == {Broken.LATE: 1}
    ledger.finish()
    ledger.finish()
    assert broken(ledger) == {Broken.LATE: 1, Broken.UNENDED: 1}


def test_a_final_that_comes_too_late_is_told() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1), 0.0)
    ledger.note(shown(2, rev=2, final=True), 6.5)
    assert broken(ledger) == {Broken.LATE: 1}


def test_only_a_change_of_the_text_gives_a_draft_more_time() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1), 0.0)
    ledger.note(shown(2, rev=2), 5.0)
    ledger.check(6.5)
    assert broken(ledger) == {Broken.LATE: 1}


def test_a_draft_after_its_final_is_told() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(1, final=True), 0.0)
    ledger.note(shown(2, rev=2), 0.0)
    assert broken(ledger) == {Broken.REOPENED: 1}


def test_numbers_that_skip_or_go_back_are_told() -> None:
    ledger = Ledger(limit_s=6)
    ledger.note(shown(2), 0.0)
    ledger.note(shown(3, rev=1, final=True), 0.0)
    ledger.note(shown(4, rev=1, final=True), 0.0)
    assert broken(ledger) == {Broken.DISORDER: 3}


def test_what_an_earlier_process_showed_is_owed_and_counted() -> None:
    ledger = Ledger(limit_s=6, seq=7, finals=2, drafts=[shown(7, rev=3)])
    assert [draft.rev for draft in ledger.open_drafts] == [3]
    ledger.resume(100.0)
    ledger.note(shown(8, rev=4, final=True), 101.0)
    assert (ledger.seq, ledger.finals, ledger.open_drafts) == (8, 3, ())
    assert broken(ledger) == {}


def test_what_an_earlier_process_showed_and_nobody_ends_is_late_too() -> None:
    ledger = Ledger(limit_s=6, seq=7, drafts=[shown(7)])
    ledger.resume(100.0)
    ledger.check(106.1)
    assert broken(ledger) == {Broken.LATE: 1}


def test_its_memory_is_bounded_and_its_count_is_not() -> None:
    ledger = Ledger(limit_s=6)
    for number in range(1, 3001):
        ledger.note(shown(number, name=f"u{number}", final=True), 0.0)
    assert ledger.finals == 3000
    assert len(ledger._revs) == MOST_FINALS

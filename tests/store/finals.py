"""Finals for the store's tests."""

from dataclasses import replace
from typing import Any

from realtime_core.model import FinalizedBy, FinalRow, Word

STARTED_AT = 1_790_000_000.25

A_FINAL = FinalRow(
    session_slug="weekly",
    epoch="e1",
    utterance_id="a1-00_00000007",
    rev=1,
    seq=1,
    text="Hello everyone",
    speaker="Alice",
    speaker_id="alice:1",
    speaker_confidence=0.75,
    language="en",
    confidence=0.5,
    words=(Word("Hello", 12.25, 12.5, 0.5, "alice:1"), Word("everyone", 12.5, 13.0)),
    finalized_by=FinalizedBy.STT,
    started_at=STARTED_AT,
    ended_at=STARTED_AT + 1.5,
    received_at=STARTED_AT + 2,
)


def final(number: int = 1, **changes: Any) -> FinalRow:
    """Return the session's ``number``-th final, with what is to be different."""
    started_at = STARTED_AT + number
    row = replace(A_FINAL, utterance_id=f"u{number}", seq=number, started_at=started_at)
    return replace(row, **changes)


def utterances(*rows: FinalRow) -> list[str]:
    """Return whose finals these are."""
    return [row.utterance_id for row in rows]

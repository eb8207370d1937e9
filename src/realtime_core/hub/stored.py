"""Finals out of the table as viewers were sent them. Pure."""

from __future__ import annotations

from realtime_core.hub.replay import Entry
from realtime_core.hub.wire import transcript_message
from realtime_core.model import FinalRow, Transcript


def entry_of(row: FinalRow, zero_at: float) -> Entry:
    """Return a stored final as what the hub sends.

    ``ts`` is when it was received, since nobody wrote down when it was sent.

    Args:
        zero_at: Where the session clock is zero, in Unix seconds.
    """
    transcript = Transcript(
        session_slug=row.session_slug,
        utterance_id=row.utterance_id,
        text=row.text,
        is_final=True,
        speaker=row.speaker,
        speaker_id=row.speaker_id,
        speaker_confidence=row.speaker_confidence,
        seq=row.seq,
        rev=row.rev,
        start_s=row.started_at - zero_at,
        end_s=row.ended_at - zero_at,
        received_at=0.0,  # of another process' clock; what is sent does not say it
        language=row.language,
        confidence=row.confidence,
        finalized_by=row.finalized_by,
        words=row.words,
        speakers=row.speakers,
    )
    message = transcript_message(transcript, sent_at_ms=round(row.received_at * 1000))
    return Entry(row.utterance_id, row.seq, row.rev, True, message.encode())

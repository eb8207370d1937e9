"""From what the provider says to what the session hears: times moved to its clock. Pure."""

from __future__ import annotations

from realtime_core.model import SpeechHeard, Word
from realtime_core.stt.leg import Leg
from realtime_core.stt.wire import TranscriptMessage


def place(message: TranscriptMessage, leg: Leg, received_at: float) -> SpeechHeard:
    """Return the draft or final on the session clock.

    Args:
        leg: Of the STT session that sent it.
        received_at: When it came, on the event loop's clock.
    """
    start_s, end_s = _placed(message.start_s, message.end_s, leg)
    return SpeechHeard(
        stt_session_id=leg.stt_session_id,
        utterance_id=message.utterance_id,
        text=message.text,
        is_final=message.is_final,
        start_s=start_s,
        end_s=end_s,
        received_at=received_at,
        language=message.language,
        confidence=message.confidence,
        words=tuple(_placed_word(word, leg) for word in message.words),
        speaker=message.speaker,
    )


def _placed_word(word: Word, leg: Leg) -> Word:
    start_s, end_s = _placed(word.start_s, word.end_s, leg)
    return Word(word.text, start_s, end_s, word.confidence, word.speaker_id)


def _placed(start_s: float, end_s: float, leg: Leg) -> tuple[float, float]:
    # Audio that the provider heard twice may make what spans it seem to end before it began.
    placed_s = leg.session_s(start_s)
    return placed_s, max(placed_s, leg.session_s(end_s))

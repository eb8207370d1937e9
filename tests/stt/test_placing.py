"""Transcripts on the session clock."""

from __future__ import annotations

import pytest

from realtime_core.model import Word
from realtime_core.stt.leg import Leg
from realtime_core.stt.placing import place
from realtime_core.stt.wire import TranscriptMessage

SECOND = 32_000


def _message(start_s: float, end_s: float) -> TranscriptMessage:
    words = (Word("hello", start_s, end_s, 0.9),)
    return TranscriptMessage("u1", True, "hello", start_s, end_s, "en", 0.8, words)


def test_a_later_stt_session_counts_from_where_it_began() -> None:
    heard = place(_message(0.5, 1.0), Leg("s2", origin_at=60 * SECOND), received_at=7.0)
    assert (heard.start_s, heard.end_s, heard.received_at) == (60.5, 61.0, 7.0)
    assert heard.words == (Word("hello", 60.5, 61.0, 0.9),)
    assert (heard.stt_session_id, heard.utterance_id, heard.is_final) == ("s2", "u1", True)
    assert (heard.language, heard.confidence, heard.speaker) == ("en", 0.8, None)


def test_what_spans_doubled_audio_does_not_end_before_it_begins() -> None:
    leg = Leg("s", 0)
    leg.sent(SECOND)
    leg.acknowledge(0, 3_200)
    leg.resume()
    leg.sent(642)
    leg.acknowledge(SECOND, SECOND + 642)
    heard = place(_message(0.999, 1.001), leg, received_at=0)
    assert heard.start_s == pytest.approx(0.999)
    assert heard.end_s == heard.start_s

import pytest

from realtime_core.model import AudioGap, SpeechHeard, Word
from realtime_core.transcript.timekeeper import FRAME_S, Timekeeper

SECOND = 32_000


def heard(start_s: float, end_s: float) -> SpeechHeard:
    words = (Word("hello", start_s, end_s),)
    return SpeechHeard("stt", "u", "hello", True, start_s, end_s, 0.0, words=words)


def test_the_clock_counts_audio_and_its_zero_is_where_the_first_audio_began() -> None:
    time = Timekeeper()
    assert (time.has_begun, time.at(50.0)) == (False, 0.0)
    assert time.begin(1000.0) is None
    time.advance(50.0, SECOND)
    assert (time.zero_at, time.position_s) == (1000.0, 1.0)
    assert time.at(50.25) == pytest.approx(1.25)


def test_after_a_restart_the_first_audio_has_its_place_by_the_wall_clock() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    assert time.begin(1060.0) == AudioGap(40.0, 60.0, "the service was restarted")
    time.advance(5.0, SECOND)
    assert (time.zero_at, time.position_s) == (1000.0, 61.0)
    assert time.at(5.0) == 61.0


def test_after_a_restart_what_speech_to_text_says_is_moved_with_its_words() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    _ = time.begin(1060.0)
    moved = time.placed(heard(1.0, 2.0))
    assert (moved.start_s, moved.end_s) == (61.0, 62.0)
    assert (moved.words[0].start_s, moved.words[0].end_s) == (61.0, 62.0)
    assert time.placed(AudioGap(1.0, 2.0, "x")) == AudioGap(61.0, 62.0, "x")


def test_without_a_restart_nothing_is_moved() -> None:
    time = Timekeeper()
    _ = time.begin(1000.0)
    speech = heard(1.0, 2.0)
    assert time.placed(speech) is speech


def test_a_wall_clock_that_was_set_back_does_not_set_the_session_back() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    assert time.begin(900.0) is None
    assert time.position_s == 40.0


def test_silence_brings_the_clock_up_to_now_once() -> None:
    time = Timekeeper()
    _ = time.begin(1000.0)
    time.advance(50.0, SECOND)
    silence = time.silence_due(50.5)
    assert len(silence) == pytest.approx((0.5 - FRAME_S) * SECOND, abs=2)
    assert time.silence_due(50.5) == b""
    assert time.position_s == pytest.approx(1.5 - FRAME_S, abs=0.001)


def test_a_publisher_that_returns_often_or_late_shifts_nothing() -> None:
    time = Timekeeper()
    _ = time.begin(1000.0)
    frame_bytes = 2 * round(FRAME_S * 16_000)
    time.advance(50.0, frame_bytes)
    for away_until in (50.5, 51.0, 90.0, 91.0):
        for tenth in range(500, round(away_until * 10)):
            _ = time.silence_due(tenth / 10)
        _ = time.silence_due(away_until)
        time.advance(away_until, frame_bytes)
        assert time.position_s == pytest.approx(away_until - 50.0 + FRAME_S, abs=0.001)

import pytest

from realtime_core.model import AudioGap, Silence, SpeechHeard, Word
from realtime_core.transcript.timekeeper import FRAME_S, Timekeeper

SECOND = 32_000


def arrive(time: Timekeeper, now: float, *, began_at: float = 1000.0) -> AudioGap | None:
    """A second of audio is here, whose first frame came just now."""
    return time.arrived(now, began_at + FRAME_S, bytes(SECOND))


def heard(start_s: float, end_s: float) -> SpeechHeard:
    words = (Word("hello", start_s, end_s),)
    return SpeechHeard("stt", "u", "hello", True, start_s, end_s, 0.0, words=words)


def test_the_clock_counts_audio_and_its_zero_is_where_the_first_audio_began() -> None:
    time = Timekeeper()
    assert (time.has_begun, time.at(50.0)) == (False, 0.0)
    assert arrive(time, 50.0) is None
    assert (time.has_begun, time.position_s) == (True, 1.0)
    assert time.zero_at == pytest.approx(1000.0)
    assert time.at(50.25) == pytest.approx(1.25)


def test_audio_is_dated_from_when_it_came_and_not_from_when_its_decoder_was_ready() -> None:
    time = Timekeeper()
    time.audio_came(49.75)
    time.audio_came(50.0)
    _ = time.arrived(50.0, 1000.25 + FRAME_S, bytes(SECOND))
    assert time.zero_at == pytest.approx(1000.0)
    assert time.position_at(48.75) == pytest.approx(FRAME_S - 1)


def test_after_a_restart_the_first_audio_has_its_place_by_the_wall_clock() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    gap = arrive(time, 5.0, began_at=1060.0)
    assert gap is not None
    assert (gap.from_s, gap.reason) == (40.0, "the service was restarted")
    assert [gap.to_s, time.position_s] == pytest.approx([60.0, 61.0])
    assert time.zero_at == 1000.0
    assert time.at(5.0) == pytest.approx(61.0)
    assert arrive(time, 6.0, began_at=1061.0) is None


def test_after_a_restart_what_speech_to_text_says_is_moved_with_its_words() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    _ = arrive(time, 5.0, began_at=1060.0)
    moved, gap = time.placed(heard(1.0, 2.0)), time.placed(AudioGap(1.0, 2.0, "x"))
    for start_s, end_s in (
        (moved.start_s, moved.end_s),
        (moved.words[0].start_s, moved.words[0].end_s),
        (gap.from_s, gap.to_s),
    ):
        assert [start_s, end_s] == pytest.approx([61.0, 62.0])


def test_without_a_restart_nothing_is_moved() -> None:
    time = Timekeeper()
    _ = arrive(time, 50.0)
    speech = heard(1.0, 2.0)
    assert time.placed(speech) is speech


def test_a_wall_clock_that_was_set_back_does_not_set_the_session_back() -> None:
    time = Timekeeper(zero_at=1000.0, heard_to_s=40.0)
    assert arrive(time, 5.0, began_at=900.0) is None
    assert time.position_s == 41.0


def test_silence_brings_the_clock_up_to_now_once() -> None:
    time = Timekeeper()
    _ = arrive(time, 50.0)
    silence = time.silence_due(50.5)
    assert len(silence) == pytest.approx((0.5 - FRAME_S) * SECOND, abs=2)
    assert time.silence_due(50.5) == b""
    assert time.position_s == pytest.approx(1.5 - FRAME_S, abs=0.001)


def test_a_publisher_that_returns_often_or_late_shifts_nothing() -> None:
    time = Timekeeper()
    frame = bytes(2 * round(FRAME_S * 16_000))
    _ = time.arrived(50.0, 1000.0, frame)
    for away_until in (50.5, 51.0, 90.0, 91.0):
        for tenth in range(500, round(away_until * 10)):
            _ = time.silence_due(tenth / 10)
        _ = time.silence_due(away_until)
        _ = time.arrived(away_until, 0.0, frame)
        assert time.position_s == pytest.approx(away_until - 50.0 + FRAME_S, abs=0.001)


def test_what_is_owed_before_new_audio_leaves_out_what_a_decoder_holds() -> None:
    time = Timekeeper()
    _ = arrive(time, 50.0)
    assert time.owed_s(54.0, 0.5) == pytest.approx(3.5 - FRAME_S)
    assert time.owed_s(50.1, 0.5) == 0.0


def test_a_loss_in_many_pieces_is_told_once_when_it_is_over() -> None:
    time = Timekeeper()
    _ = arrive(time, 50.0)
    assert [time.arrived(50.1, 0.0, Silence(SECOND)) for _ in range(3)] == [None] * 3
    assert arrive(time, 50.2) == AudioGap(1.0, 4.0, "the audio did not arrive")
    assert arrive(time, 50.3) is None


def test_a_loss_at_the_end_and_one_at_the_start_are_told_too() -> None:
    time = Timekeeper()
    assert time.arrived(50.0, 1000.0, Silence(SECOND)) is None
    assert arrive(time, 50.0) == AudioGap(0.0, 1.0, "the audio did not arrive")
    _ = time.arrived(50.1, 0.0, Silence(SECOND))
    assert time.ended() == AudioGap(2.0, 3.0, "the audio did not arrive")
    assert time.ended() is None


def test_silence_of_an_absent_publisher_is_no_loss() -> None:
    time = Timekeeper()
    _ = arrive(time, 50.0)
    _ = time.arrived(50.0, 0.0, Silence(SECOND))
    _ = time.silence_due(60.0)
    assert arrive(time, 60.0) == AudioGap(1.0, 2.0, "the audio did not arrive")

"""Where a new STT session has to begin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.stt.open_speech import LOOKBACK_S, PREROLL_S, OpenSpeech


def _listening(until_s: float = 30.0) -> OpenSpeech:
    """Return one whose provider has acknowledged audio in real time, and said nothing."""
    speech = OpenSpeech()
    speech.begin(0.0, now=100.0)
    for tenth in range(1, round(until_s * 10) + 1):
        speech.acknowledged(tenth / 10, now=100.0 + tenth / 10)
    return speech


def test_silence_is_not_heard_again_but_for_its_last_moments() -> None:
    assert _listening().needed_from_s == pytest.approx(30.0 - LOOKBACK_S)


def test_an_open_utterance_is_heard_again_from_just_before_its_start() -> None:
    speech = _listening()
    speech.hear("u", 25.0, 27.0, is_final=False)
    assert speech.needed_from_s == pytest.approx(25.0 - PREROLL_S)
    assert not speech.quiet


def test_speech_that_began_is_open_before_its_first_draft() -> None:
    speech = _listening()
    speech.begun("s", 25.0)
    assert speech.needed_from_s == pytest.approx(25.0 - PREROLL_S)


def test_what_is_final_is_not_heard_again() -> None:
    speech = _listening()
    speech.begun("s", 29.0)
    speech.hear("u", 29.0, 29.5, is_final=False)
    speech.hear("u", 29.0, 29.6, is_final=True)
    assert speech.quiet
    assert speech.needed_from_s == 29.6


def test_a_final_under_another_id_closes_its_drafts() -> None:
    speech = _listening()
    speech.hear("draft", 25.0, 26.0, is_final=False)
    speech.hear("final", 25.1, 26.2, is_final=True)
    assert speech.quiet


def test_a_final_leaves_open_what_comes_after_it() -> None:
    speech = _listening()
    speech.hear("second", 28.0, 29.0, is_final=False)
    speech.hear("first", 25.0, 28.0, is_final=True)
    assert speech.needed_from_s == 28.0


def test_a_late_draft_of_what_is_final_opens_nothing() -> None:
    speech = _listening()
    speech.hear("u", 25.0, 26.0, is_final=True)
    speech.hear("u", 25.0, 25.9, is_final=False)
    assert speech.quiet


def test_a_draft_that_nobody_mentions_any_more_is_forgotten() -> None:
    speech = _listening()
    speech.hear("u", 28.0, 29.0, is_final=False)
    for tenth in range(1, 150):
        speech.acknowledged(30.0 + tenth / 10, now=130.0 + tenth / 10)
    assert speech.quiet
    assert speech.needed_from_s == pytest.approx(44.9 - LOOKBACK_S)


def test_a_backlog_that_was_acknowledged_at_once_counts_as_heard_only_with_time() -> None:
    speech = _listening()
    speech.acknowledged(90.0, now=130.1)
    assert speech.needed_from_s < 28.5
    speech.acknowledged(90.1, now=200.0)
    assert speech.needed_from_s == pytest.approx(90.1 - LOOKBACK_S)


def test_a_new_session_has_everything_still_to_hear() -> None:
    speech = _listening()
    speech.begin(25.0, now=130.0)
    speech.acknowledged(30.0, now=130.1)
    assert speech.needed_from_s < 25.2


TIMES = st.floats(0, 60)


@given(st.lists(st.tuples(st.sampled_from("abc"), TIMES, TIMES, st.booleans()), max_size=30))
def test_it_never_begins_before_the_last_final_ended(
    heard: list[tuple[str, float, float, bool]],
) -> None:
    speech = _listening(1.0)
    settled_s = 0.0
    for key, start_s, length_s, is_final in heard:
        speech.hear(key, start_s, start_s + length_s, is_final=is_final)
        settled_s = max(settled_s, start_s + length_s) if is_final else settled_s
        assert speech.needed_from_s >= settled_s

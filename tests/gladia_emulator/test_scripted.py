import math
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gladia_emulator.recognizer import Hypothesis, Onset
from gladia_emulator.scripted import (
    SCRIPT,
    ScriptedRecognizer,
    frequency_of,
    number_word,
    silence,
    text_for,
    tone,
    tone_words,
)


def chord(*frequencies_hz: float) -> bytes:
    """Return 200 ms of several tones at once."""
    parts = [array("h", tone(each, 0.2, amplitude=3_000)) for each in frequencies_hz]
    return array("h", map(sum, zip(*parts, strict=True))).tobytes()


async def hear(pcm: bytes, duration_s: float, number: int = 0) -> Hypothesis:
    """Have one utterance recognised that begins at 10 s."""
    async with ScriptedRecognizer().hear(Onset(number, 10.0, 10.0)) as hearing:
        return await hearing.ended(pcm, 10.0 + duration_s)


@given(st.integers(10, 400), st.floats(0, math.tau))
def test_tones_are_told_apart_in_steps_of_10_hz(tens: int, phase: float) -> None:
    turn = math.tau * tens * 10 / 16_000
    pcm = array("h", [round(8_000 * math.sin(turn * n + phase)) for n in range(3_200)])
    found = frequency_of(pcm.tobytes())
    assert found is not None
    assert round(found / 10) == tens


@pytest.mark.parametrize("pcm", [b"", silence(0.2), tone(440, 0.005), chord(210, 330, 560)])
def test_what_is_no_tone_has_no_frequency(pcm: bytes) -> None:
    assert frequency_of(pcm) is None


def test_text_grows_by_a_word_every_300_ms() -> None:
    assert text_for(440, 0.2) == "utterance f0440"
    assert text_for(438, 0.3) == "utterance f0440 one"
    assert text_for(1000, 1.5) == "utterance f1000 one two three four five"


@given(st.integers(1, 200), st.integers(1, 200))
def test_shorter_texts_are_beginnings_of_longer_ones(first: int, second: int) -> None:
    short, long = (text_for(440, each / 10) for each in sorted((first, second)))
    assert long.startswith(short)


def test_numbers_are_single_words() -> None:
    words = [number_word(number) for number in (0, 13, 20, 21, 99, 100, 200)]
    assert words == ["zero", "thirteen", "twenty", "twenty-one", "ninety-nine", "100", "200"]


@pytest.mark.parametrize("duration_s", [0.1, 0.4, 2.0])
async def test_words_have_times_within_their_utterance(duration_s: float) -> None:
    heard = await hear(tone(440, duration_s), duration_s)
    assert [word.text for word in heard.words] == tone_words(440, duration_s)
    assert (heard.start_s, heard.end_s) == (10.0, 10.0 + duration_s)
    assert all(10.0 <= word.start_s <= word.end_s <= heard.end_s for word in heard.words)
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(heard.words))


async def test_speech_gets_the_script_line_by_line() -> None:
    speech = chord(210, 330, 560)
    first = await hear(speech, 60, number=0)
    again = await hear(speech, 60, number=len(SCRIPT))
    second = await hear(speech, 0.3, number=1)
    assert " ".join(word.text for word in first.words) == SCRIPT[0]
    assert first == again
    assert [word.text for word in second.words] == SCRIPT[1].split()[:2]


async def test_preroll_is_not_listened_to() -> None:
    onset = Onset(0, start_s=1.0, audio_from_s=0.9)
    async with ScriptedRecognizer().hear(onset) as hearing:
        draft = await hearing.grew(chord(210, 330, 560)[:3_200] + tone(440, 0.3), 1.3)
        final = await hearing.ended(b"", 1.6)
    assert [word.text for word in draft.words] == tone_words(440, 0.3)
    assert [word.text for word in final.words] == tone_words(440, 0.6)
    assert draft.confidence < final.confidence == 1


def test_script_has_forty_different_lines() -> None:
    assert len(set(SCRIPT)) == 40

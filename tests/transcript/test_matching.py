import math

import pytest

from realtime_core.model import SpeechHeard, Word
from realtime_core.transcript.matching import find, is_part, tidy
from realtime_core.transcript.utterances import Part, Utterance
from tests.transcript.hearing import final, said


def draft_of(heard: SpeechHeard) -> Utterance:
    return Utterance("id", [], heard, [Part("id")])


SAME = [
    ("a growing draft", said("Hel", 10, 10.3), said("Hello everyone how are you", 10, 14)),
    ("punctuation", said("hello everyone", 10, 12), said("Hello, everyone!", 10.1, 12.1)),
    ("misheard words", said("I scream is nice", 10, 12), said("Ice cream is nice", 10, 12.2)),
    ("a long piece", said("how are you today", 11, 13), said("Hello, how are you today?", 10, 13)),
    ("hardly alike, in its place", said("wreck a nice beach", 10, 12), said("Recognise", 10, 11.5)),
]
DIFFERENT = [
    ("apart in time", said("Yes", 10, 10.5), said("Yes", 10.6, 11)),
    (
        "little time in common",
        said("I really think so", 10, 12),
        said("I really think so", 11.2, 13),
    ),
    ("touching in time", said("Yes please", 10, 12), said("Yes please", 11.8, 14)),
    ("a short word of a sentence", said("so", 14.8, 15), said("I think so", 10, 15)),
    ("nothing alike", said("hello", 10, 12), said("Wundt", 10, 12)),
    ("another script", said("привет", 10, 12), said("hello", 10, 12)),
]


@pytest.mark.parametrize(("_case", "heard", "other"), SAME, ids=[case[0] for case in SAME])
def test_the_same_speech_is_found(_case: str, heard: SpeechHeard, other: SpeechHeard) -> None:
    utterance = draft_of(other)
    assert find(heard, [utterance]) is utterance
    assert find(other, [draft_of(heard)]) is not None


@pytest.mark.parametrize(
    ("_case", "heard", "other"), DIFFERENT, ids=[case[0] for case in DIFFERENT]
)
def test_other_speech_is_not(_case: str, heard: SpeechHeard, other: SpeechHeard) -> None:
    assert find(heard, [draft_of(other)]) is None


def test_the_most_alike_is_found() -> None:
    worse, better = draft_of(said("good evening all")), draft_of(said("good morning all"))
    assert find(final("Good morning, all."), [worse, better]) is better


def test_hardly_alike_is_not_enough_between_two() -> None:
    heard = said("Recognise", 10, 11.5)
    candidates = [draft_of(said("wreck a nice beach", 10, 12)), draft_of(said("Hm", 10, 11))]
    assert find(heard, candidates[:1]) is candidates[0]
    assert find(heard, candidates) is None


def test_texts_of_signs_alone_are_alike_when_equal() -> None:
    assert find(said("?!"), [draft_of(said("?!"))]) is not None
    assert find(said("?!"), [draft_of(said("..."))]) is None


def test_a_part_lies_in_the_whole_in_time_and_in_text() -> None:
    whole = said("We walked through the forest and back", 10, 14)
    assert is_part(said("forest", 12, 12.4), whole)
    assert not is_part(said("rest", 12, 12.4), whole)
    assert not is_part(said("forest and back", 12, 14.5), whole)
    assert not is_part(said("forest", 20, 20.4), whole)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((10.0, 12.0), (10.0, 12.0)),
        ((12.0, 10.0), (12.0, 12.0)),
        ((-3.0, 2.0), (0.0, 2.0)),
        ((math.nan, 12.0), (12.0, 12.0)),
        ((10.0, math.inf), (10.0, 10.0)),
        ((math.nan, math.nan), (99.0, 99.0)),
    ],
)
def test_times_are_made_sound(given: tuple[float, float], expected: tuple[float, float]) -> None:
    heard = tidy(said("Hello", *given, words=[Word("Hello", *given)]), 99.0)
    assert (heard.start_s, heard.end_s) == expected
    assert 0 <= heard.words[0].start_s <= heard.words[0].end_s < math.inf


def test_sound_messages_are_left_alone() -> None:
    heard = said("Hello", words=[Word("Hello", 10, 11)])
    assert tidy(heard, 99.0) is heard

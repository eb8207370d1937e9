"""The lag, measured on conversations that are drawn with known lags."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from realtime_core.model import SpeakerSample, Word
from realtime_core.transcript.speakers import SpeakerTimeline

DELAY_S = (0.1, 0.4)
"""The reports' indicator shows a speaker so much later than he begins."""


class Conversation:
    """Turns of some seconds with pauses between them, spoken and reported."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.speakers = SpeakerTimeline(lag_s=2.0)

    def run(self, from_s: float, to_s: float, lag_s: float) -> None:
        """Let people talk in the room from one time to another; all is heard and reported."""
        turns = list(self._turns(from_s, to_s))
        self._report([(words[0].start_s, who) for who, words in turns], to_s)
        for _, words in turns:
            heard = [Word(w.text, w.start_s + lag_s, w.end_s + lag_s) for w in words]
            self.speakers.heard(heard, heard[0].start_s, heard[-1].end_s)

    def _turns(self, at_s: float, to_s: float) -> Iterator[tuple[str, list[Word]]]:
        who = 0
        while at_s < to_s:
            who = (who + self.dice.choice([1, 2])) % 3
            words = []
            for _ in range(self.dice.randrange(6, 30)):
                length_s = self.dice.uniform(0.15, 0.45)
                words.append(Word("so", at_s, at_s + length_s))
                at_s += length_s + (0.5 if self.dice.random() < 0.05 else 0.02)
            yield f"person {who}", words
            at_s += self.dice.uniform(0.05, 0.6)

    def _report(self, turns: list[tuple[float, str]], to_s: float) -> None:
        shown = [(at_s + self.dice.uniform(*DELAY_S), who) for at_s, who in turns]
        ends = [*(later[0] for _, later in pairwise(shown)), to_s]
        for client in range(3):
            at_s = shown[0][0] + client / 7
            for (_, who), end_s in zip(shown, ends, strict=True):
                while at_s < end_s:
                    self.speakers.report(SpeakerSample(who, who, at_s, f"client {client}"))
                    at_s += 0.5

    @property
    def error_s(self) -> float:
        """The estimate, less what it should be when the audio is not late at all."""
        return self.speakers.lag.lag_s + sum(DELAY_S) / 2


@pytest.mark.parametrize("lag_s", [0.6, 1.5, 3.0, 4.5, 7.0])
@pytest.mark.parametrize("seed", [11, 12])
def test_the_lag_is_found_in_two_minutes(lag_s: float, seed: int) -> None:
    talk = Conversation(seed)
    talk.run(10, 130, lag_s)
    assert talk.error_s == pytest.approx(lag_s - 0.1, abs=0.2)  # to the middle of a pause
    assert talk.speakers.lag.confidence > 0.7


def test_before_any_evidence_it_is_the_configured_one_with_little_confidence() -> None:
    lag = SpeakerTimeline(lag_s=2.5).lag
    assert lag.lag_s == 2.5
    assert lag.confidence < 0.3


def test_after_a_new_publish_it_is_measured_anew() -> None:
    talk = Conversation(13)
    talk.run(10, 130, 1.0)
    talk.speakers.republished(134.0)
    assert talk.speakers.lag.confidence < 0.3
    talk.run(140, 260, 4.0)
    assert talk.error_s == pytest.approx(3.9, abs=0.25)


def test_a_jump_that_nobody_told_is_noticed() -> None:
    talk = Conversation(14)
    talk.run(10, 190, 1.0)
    talk.run(195, 375, 4.0)
    assert talk.error_s == pytest.approx(3.9, abs=0.25)


def test_audio_that_is_heard_twice_counts_once() -> None:
    once, twice = Conversation(15), Conversation(15)
    once.run(10, 100, 2.5)
    heard = twice.speakers.heard

    def heard_twice(words: list[Word], start_s: float, end_s: float) -> None:
        heard(words, start_s, end_s)
        heard(words[:-1], start_s, end_s)

    twice.speakers.heard = heard_twice  # type: ignore[method-assign, assignment]
    twice.run(10, 100, 2.5)
    assert once.speakers.lag == twice.speakers.lag


def test_a_leap_of_time_does_no_lasting_harm() -> None:
    talk = Conversation(16)
    talk.speakers.heard((Word("so", 1e9, 1e9 + 1),), 1e9, 1e9 + 1)
    talk.run(10, 130, 3.0)
    assert talk.error_s == pytest.approx(2.9, abs=0.2)


def test_without_reports_nothing_is_claimed() -> None:
    speakers = SpeakerTimeline(lag_s=2)
    for at_s in range(0, 600, 5):
        speakers.heard((Word("so", at_s, at_s + 0.3),), at_s, at_s + 0.3)
    assert speakers.lag.lag_s == 2
    assert speakers.lag.confidence < 0.3

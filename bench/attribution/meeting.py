"""What is said in a meeting, word by word: the truth that attribution is measured against. Pure.

All times are seconds on the *room's* clock: when somebody's mouth moves.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

SENTENCES = (
    "so what we saw last week is that the second plan takes more time than anybody thought and "
    "I would like to hear from you how far the work on this part has come because there are only "
    "ten days left before people who pay for it want to look at something real but maybe they can "
    "wait until Friday if our answer sounds good enough which number did you have in mind when it "
    "was written down first nobody asked me about those changes yet let us begin with easy things"
)
VOCABULARY = SENTENCES.split()
BACKCHANNELS = ("yeah", "right", "okay", "sure", "mhm", "exactly")

WORDS_PER_S = (2.5, 3.3)
WORD_GAP_S = (0.0, 0.08)
LEAST_WORD_S = 0.06
PAUSE_S = (0.3, 0.9)
GAP_S, GAP_SPREAD_S = 0.2, 0.25
"""The usual floor change: a fifth of a second of silence, and quite often a short overlap."""
LATE_GAP, LATE_GAP_S = 0.15, 1.0
"""The tail: every so many answers come later, by about so much."""
LEAST_GAP_S = 0.05
"""Between turns in meetings without overlap."""
ANSWER = 0.55
"""How often the floor goes back to whoever had it before; the rest is by talkativeness."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word out of one mouth."""

    text: str
    start_s: float
    end_s: float
    speaker: int


@dataclass(frozen=True, slots=True)
class Manners:
    """How people talk in a meeting. Counts per minute are averages.

    Attributes:
        turn_s: Median length of a turn, and the sigma of its logarithm.
        least_turn_s: No turn is planned shorter.
        overlaps: Whether one may begin before the other has ended.
        pause: How likely a speaker pauses after a word, without giving up the floor.
        interruptions: Share of floor changes that cut the speaker off.
        silences: How many floor changes of a hundred are followed by a long silence.
        monologues: How many turns of a hundred last half a minute to two minutes.
    """

    speakers: int
    length_s: float = 480.0
    turn_s: tuple[float, float] = (4.0, 0.7)
    least_turn_s: float = 2.0
    overlaps: bool = False
    pause: float = 0.05
    interruptions: float = 0.0
    backchannels_per_min: float = 0.0
    silences: float = 1.0
    monologues: float = 2.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """Words in the order in which they begin, and how loud each speaker is (1 is usual)."""

    words: Sequence[SpokenWord]
    loudness: Sequence[float]
    length_s: float


def hold_meeting(manners: Manners, rng: Random) -> Meeting:
    """Let people talk until the time is over."""
    words: list[SpokenWord] = []
    speaker, before, at_s = 0, 1, rng.uniform(1.0, 4.0)
    eager = [rng.uniform(0.4, 1.6) for _ in range(manners.speakers)]
    while at_s < manners.length_s:
        turn = _turn(manners, speaker, at_s, rng)
        listeners = [each for each in range(manners.speakers) if each != speaker]
        words += turn
        words += _backchannels(manners, turn, listeners, rng)
        at_s = _next_start_s(manners, turn, rng)
        speaker, before = _next_speaker(speaker, before, eager, rng), speaker
    loudness = [math.exp(rng.gauss(0.0, 0.35)) for _ in range(manners.speakers)]
    heard = [word for word in words if word.start_s < manners.length_s]
    return Meeting(_without_self_overlap(heard), loudness, manners.length_s)


def _turn(manners: Manners, speaker: int, at_s: float, rng: Random) -> list[SpokenWord]:
    median_s, sigma = manners.turn_s
    length_s = max(manners.least_turn_s, median_s * math.exp(rng.gauss(0.0, sigma)))
    if rng.random() < manners.monologues / 100:
        length_s = rng.uniform(30.0, 120.0)
    return list(_speech(manners, speaker, at_s, at_s + length_s, rng))


def _speech(
    manners: Manners, speaker: int, from_s: float, to_s: float, rng: Random
) -> Iterator[SpokenWord]:
    word_s = 1 / rng.uniform(*WORDS_PER_S) - sum(WORD_GAP_S) / 2
    at_s = from_s
    while at_s < to_s:
        end_s = at_s + max(LEAST_WORD_S, word_s * rng.gammavariate(6.0, 1 / 6))
        yield SpokenWord(rng.choice(VOCABULARY), at_s, end_s, speaker)
        pauses = rng.random() < manners.pause and end_s + PAUSE_S[1] < to_s
        at_s = end_s + rng.uniform(*(PAUSE_S if pauses else WORD_GAP_S))


def _backchannels(
    manners: Manners, turn: Sequence[SpokenWord], listeners: Sequence[int], rng: Random
) -> Iterator[SpokenWord]:
    """Let listeners say "yeah" inside of the turn."""
    at_s, end_s = turn[0].start_s, turn[-1].end_s
    while manners.backchannels_per_min:
        at_s += rng.expovariate(manners.backchannels_per_min / 60)
        if at_s > end_s - 0.5:
            return
        length_s = rng.uniform(0.3, 0.7)
        yield SpokenWord(rng.choice(BACKCHANNELS), at_s, at_s + length_s, rng.choice(listeners))


def _next_start_s(manners: Manners, turn: list[SpokenWord], rng: Random) -> float:
    end_s = turn[-1].end_s
    if rng.random() < manners.silences / 100:
        return end_s + rng.uniform(5.0, 20.0)
    if rng.random() < manners.interruptions:
        return max(turn[0].end_s, end_s - rng.uniform(0.3, 1.5))
    gap_s = rng.gauss(GAP_S, GAP_SPREAD_S)
    if rng.random() < LATE_GAP:
        gap_s = 0.5 + rng.expovariate(1 / LATE_GAP_S)
    least_s = -0.6 if manners.overlaps else LEAST_GAP_S
    return max(turn[0].end_s, end_s + max(least_s, gap_s))


def _next_speaker(speaker: int, before: int, eager: Sequence[float], rng: Random) -> int:
    if before != speaker and rng.random() < ANSWER:
        return before
    others = [each for each in range(len(eager)) if each != speaker]
    return rng.choices(others, [eager[each] for each in others])[0]


def _without_self_overlap(words: Sequence[SpokenWord]) -> list[SpokenWord]:
    """Order the words, and let no mouth say two at a time: the earlier one is cut short."""
    ordered = sorted(words, key=lambda word: (word.start_s, word.speaker))
    last: dict[int, int] = {}
    kept: list[SpokenWord] = []
    for word in ordered:
        if word.speaker in last:
            place = last[word.speaker]
            if kept[place].end_s > word.start_s:
                end_s = max(kept[place].start_s + LEAST_WORD_S / 2, word.start_s)
                kept[place] = replace(kept[place], end_s=end_s)
        last[word.speaker] = len(kept)
        kept.append(word)
    return kept


class Mouths:
    """Answers for how long somebody spoke between two moments, which must not go back."""

    def __init__(self, meeting: Meeting) -> None:
        count = len(meeting.loudness)
        self._words = [[w for w in meeting.words if w.speaker == who] for who in range(count)]
        self._ends_s = [[word.end_s for word in words] for words in self._words]

    def spoken_s(self, who: int, from_s: float, to_s: float) -> float:
        """Return for how many seconds ``who`` spoke in there."""
        words, total_s = self._words[who], 0.0
        for place in range(bisect_left(self._ends_s[who], from_s), len(words)):
            word = words[place]
            if word.start_s >= to_s:
                break
            total_s += min(word.end_s, to_s) - max(word.start_s, from_s)
        return total_s

"""What speech-to-text makes of a meeting's mixed audio: drafts and finals. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from random import Random

from bench.attribution.egress import Egress
from bench.attribution.meeting import Meeting, SpokenWord
from realtime_core.model import SpeechHeard, Word

ENDPOINTING_S = 0.3
LONGEST_S = 15.0
"""Both as the service asks Gladia for."""
NOISE_S = 0.05
DRAFT_EVERY_S = 0.4
DRAFT_DELAY_S = 0.35
FINAL_DELAY_S = (0.6, 1.5)
MASKED = 0.5
"""Of two words at the same time in one channel, the less loud one is lost as often as this."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word as it was recognised, and whose it is.

    Attributes:
        at_s: Its middle as it really lies on the session clock.
    """

    word: Word
    speaker: int
    at_s: float


@dataclass(frozen=True, slots=True)
class HeardUtterance:
    """Words that were recognised as one utterance, and the messages that said so."""

    words: tuple[HeardWord, ...]
    messages: tuple[SpeechHeard, ...]

    @property
    def final(self) -> SpeechHeard:
        """The last message."""
        return self.messages[-1]


def recognise(meeting: Meeting, egress: Egress, rng: Random) -> list[HeardUtterance]:
    """Return what is heard of a meeting, in order; each final comes after the one before."""
    audible = [word for word in meeting.words if not _is_masked(word, meeting, rng)]
    said: list[HeardUtterance] = []
    previous_at = 0.0
    for number, words in enumerate(_utterances(_placed(audible, egress, rng))):
        messages = tuple(_messages(f"u{number:05}", words, previous_at, rng))
        previous_at = messages[-1].received_at
        said.append(HeardUtterance(words, messages))
    return said


def _is_masked(word: SpokenWord, meeting: Meeting, rng: Random) -> bool:
    louder = (
        other
        for other in _neighbours(word, meeting.words)
        if meeting.loudness[other.speaker] > meeting.loudness[word.speaker]
    )
    covered_s = sum(
        max(0.0, min(word.end_s, other.end_s) - max(word.start_s, other.start_s))
        for other in louder
    )
    return covered_s > (word.end_s - word.start_s) / 2 and rng.random() < MASKED


def _neighbours(word: SpokenWord, words: Sequence[SpokenWord]) -> Iterator[SpokenWord]:
    """Return the words of others that may overlap it."""
    place = bisect_left(words, word.start_s, key=lambda each: each.start_s)
    for near in words[max(0, place - 12) : place + 12]:
        if near.speaker != word.speaker:
            yield near


def _placed(words: Sequence[SpokenWord], egress: Egress, rng: Random) -> Iterator[HeardWord]:
    """Move words to the session clock, with the errors a recogniser makes, in order."""
    earliest_s = 0.0
    for word in words:
        start_s, end_s = egress.heard_at(word.start_s), egress.heard_at(word.end_s)
        if start_s is None or end_s is None:
            continue
        middle_s = (start_s + end_s) / 2
        start_s = max(earliest_s, start_s + rng.gauss(0.0, NOISE_S))
        end_s = max(start_s + 0.02, end_s + rng.gauss(0.0, NOISE_S))
        earliest_s = start_s + 0.001
        yield HeardWord(Word(word.text, start_s, end_s, 0.9), word.speaker, middle_s)


def _utterances(words: Iterator[HeardWord]) -> Iterator[tuple[HeardWord, ...]]:
    held: list[HeardWord] = []
    end_s = 0.0
    for heard in words:
        word = heard.word
        rests = word.start_s - end_s >= ENDPOINTING_S
        if held and (rests or word.end_s - held[0].word.start_s > LONGEST_S):
            yield tuple(held)
            held = []
        held.append(heard)
        end_s = max(end_s, word.end_s)
    if held:
        yield tuple(held)


def _messages(
    name: str, words: Sequence[HeardWord], previous_at: float, rng: Random
) -> Iterator[SpeechHeard]:
    """Yield drafts while it is spoken, and the final after the previous one's."""
    start_s = words[0].word.start_s
    end_s = max(heard.word.end_s for heard in words)
    now, shown = start_s + DRAFT_EVERY_S, 0
    while now < end_s + FINAL_DELAY_S[0]:
        known = _ended(words, now - DRAFT_DELAY_S)
        if len(known) > shown and now > previous_at:
            shown = len(known)
            yield _message(name, known, now, is_final=False)
        now += DRAFT_EVERY_S
    final_at = max(end_s + rng.uniform(*FINAL_DELAY_S), previous_at + 0.01)
    yield _message(name, words, final_at, is_final=True)


def _ended(words: Sequence[HeardWord], by_s: float) -> Sequence[HeardWord]:
    return list(takewhile(lambda heard: heard.word.end_s <= by_s, words))


def _message(name: str, heard: Sequence[HeardWord], now: float, *, is_final: bool) -> SpeechHeard:
    words = tuple(each.word for each in heard)
    return SpeechHeard(
        stt_session_id="stt",
        utterance_id=name,
        text=" ".join(word.text for word in words),
        is_final=is_final,
        start_s=words[0].start_s,
        end_s=max(word.end_s for word in words),
        received_at=now,
        language="en",
        confidence=0.9,
        words=words if is_final else (),
    )

"""A recogniser whose text can be foretold, and the sounds to feed it. No I/O.

A pure tone says its own frequency, wherever and whenever it is heard: 440 Hz is
``utterance f0440 one two three …``, one more word with every 300 ms. So a test knows what was
spoken even after resumes, restarts and new sessions; :func:`text_for` foretells it.

Anything else is taken for speech and gets a line of a script: the n-th utterance of a session's
channel the n-th line, over again after the last. Its words appear one every 300 ms too. That
text depends on what came before it in the session, so tests of loss and repetition use tones.

Drafts are beginnings of their final.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from operator import mul
from statistics import fmean, median
from typing import Self

from gladia_emulator.audio import BYTES_PER_SAMPLE, RATE_HZ
from gladia_emulator.recognizer import Hypothesis, Onset, Word

WORD_S = 0.3
TOLERANCE_S = 0.03
"""An utterance is measured a little shorter than it was made; it still gets its last word."""
SOUNDED = int(0.2 * RATE_HZ)
"""How much of an utterance is listened to for its frequency, in samples."""
STEP_HZ = 10
LEAST_PERIODS = 5
LEAST_PURITY = 0.8
DRAFT_CONFIDENCE = 0.81

SCRIPT = (
    "Good morning everyone and thank you for joining",
    "Let us begin with the notes from last week",
    "The first item is the release on Thursday",
    "We found two problems and both are fixed",
    "Nobody has seen the error since Monday",
    "I will send the numbers after this call",
    "Could you share your screen for a moment",
    "That chart looks better than I expected",
    "The blue line is what customers see",
    "The other one is the time in our queue",
    "Most of the delay comes from the network",
    "We should measure it again in the evening",
    "My suggestion is to wait one more day",
    "That would give the second team time to test",
    "I agree but then we must tell support",
    "They have been asking about it for a while",
    "The documentation needs a new chapter",
    "Someone has to explain the settings properly",
    "I can write it if you review it",
    "Please keep it as short as possible",
    "Next on the list is the office move",
    "The new rooms have no windows to the street",
    "But there is a kitchen on every floor",
    "The lease begins on the first of March",
    "We need forty chairs and a longer table",
    "Has anybody talked to the landlord yet",
    "She promised an answer before Friday",
    "Then we can order everything next week",
    "Let me write that down before I forget",
    "Are there any questions from the others",
    "I would like to hear about the budget",
    "It is on the last page of the report",
    "We spent a little less than we planned",
    "The rest goes into the training in June",
    "Two people have already signed up for it",
    "The hotel is next to the railway station",
    "Tickets will be booked by the end of April",
    "That was everything from my side",
    "We meet again at the same time tomorrow",
    "Thank you all and have a good afternoon",
)

UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def tone(frequency_hz: float, duration_s: float, *, amplitude: int = 8_000) -> bytes:
    """Return a sine as 16-bit, 16 kHz, mono PCM."""
    turn = 2 * math.pi * frequency_hz / RATE_HZ
    count = round(duration_s * RATE_HZ)
    return array("h", [round(amplitude * math.sin(turn * n)) for n in range(count)]).tobytes()


def silence(duration_s: float) -> bytes:
    """Return digital silence as 16-bit, 16 kHz, mono PCM."""
    return bytes(round(duration_s * RATE_HZ) * BYTES_PER_SAMPLE)


def text_for(frequency_hz: float, duration_s: float) -> str:
    """Foretell the final text of a tone that is an utterance of its own.

    Sure for durations at least 50 ms away from 30 ms below a multiple of 300 ms, such as all
    multiples of 100 ms.
    """
    return " ".join(tone_words(frequency_hz, duration_s))


def tone_words(frequency_hz: float, duration_s: float) -> list[str]:
    """Return the words of a tone that has lasted so long."""
    rounded = round(frequency_hz / STEP_HZ) * STEP_HZ
    counted = [number_word(number + 1) for number in range(_word_count(duration_s))]
    return ["utterance", f"f{rounded:04d}", *counted]


def number_word(number: int) -> str:
    """Write a number as one word; from a hundred on in digits."""
    if number < len(UNITS):
        return UNITS[number]
    if number >= 100:
        return str(number)
    tens, unit = TENS[number // 10 - 2], number % 10
    return f"{tens}-{UNITS[unit]}" if unit else tens


def frequency_of(pcm: bytes) -> float | None:
    """Return the frequency of a pure tone; None if the sound is anything else."""
    samples = array("h", pcm)
    crossings = _rising_crossings(samples)
    if len(crossings) <= LEAST_PERIODS:
        return None
    periods = [later - earlier for earlier, later in pairwise(crossings)]
    usual = median(periods)
    regular = [period for period in periods if abs(period - usual) <= usual / 10]
    if not regular:
        return None
    frequency_hz = RATE_HZ / fmean(regular)
    return frequency_hz if _purity(samples, frequency_hz) >= LEAST_PURITY else None


class ScriptedRecognizer:
    """Says what tones are, and reads a script to anything else."""

    def __init__(self, script: Sequence[str] = SCRIPT) -> None:
        self._script = [line.split() for line in script if line.strip()] or [["silence"]]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    @asynccontextmanager
    async def hear(self, onset: Onset) -> AsyncIterator[ScriptedHearing]:
        """Follow one utterance."""
        yield ScriptedHearing(onset, self._script[onset.number % len(self._script)])


class ScriptedHearing:
    """One utterance: decides what it is from its first 200 ms, then only counts time."""

    def __init__(self, onset: Onset, line: Sequence[str]) -> None:
        self._onset, self._line = onset, line
        preroll_s = onset.start_s - onset.audio_from_s
        self._skip_bytes = round(preroll_s * RATE_HZ) * BYTES_PER_SAMPLE
        self._decided = False
        self._frequency_hz: float | None = None

    async def grew(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Return a draft."""
        return self._hypothesis(pcm, voiced_until_s, DRAFT_CONFIDENCE)

    async def ended(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Return the final."""
        return self._hypothesis(pcm, voiced_until_s, 1.0)

    def _hypothesis(self, pcm: bytes, voiced_until_s: float, confidence: float) -> Hypothesis:
        start_s = self._onset.start_s
        duration_s = max(voiced_until_s - start_s, 0.0)
        self._listen(pcm, round(duration_s * RATE_HZ))
        if self._frequency_hz is not None:
            words = _timed(tone_words(self._frequency_hz, duration_s), 2)
        else:
            words = _timed(self._line[: 1 + _word_count(duration_s)], 1)
        end_s = start_s + duration_s
        placed = tuple(
            Word(text, min(start_s + begin, end_s), min(start_s + end, end_s), confidence)
            for text, begin, end in words
        )
        return Hypothesis(placed, start_s, end_s, confidence)

    def _listen(self, pcm: bytes, voiced: int) -> None:
        if self._decided:
            return
        self._decided = True
        end = self._skip_bytes + min(SOUNDED, voiced) * BYTES_PER_SAMPLE
        self._frequency_hz = frequency_of(pcm[self._skip_bytes : end])


def _word_count(duration_s: float) -> int:
    return int((duration_s + TOLERANCE_S) / WORD_S)


def _timed(words: Sequence[str], early: int) -> list[tuple[str, float, float]]:
    # The words beyond one per 300 ms come first and share the first 200 ms.
    first = [(word, 0.2 * n / early, 0.2 * (n + 1) / early) for n, word in enumerate(words[:early])]
    later = [(word, max(0.2, WORD_S * n), WORD_S * (n + 1)) for n, word in enumerate(words[early:])]
    return first + later


def _rising_crossings(samples: array[int]) -> list[float]:
    # Armed only well below zero, so that noise around zero is not counted.
    below = -max(map(abs, samples), default=0) / 4
    crossings: list[float] = []
    armed = False
    for place, (before, after) in enumerate(pairwise(samples)):
        armed = armed or before < below
        if armed and before < 0 <= after:
            crossings.append(place + before / (before - after))
            armed = False
    return crossings


def _purity(samples: array[int], frequency_hz: float) -> float:
    # The share of the energy that one sine of this frequency explains: 1 for a pure tone.
    turn = 2 * math.pi * frequency_hz / RATE_HZ
    in_phase = sum(map(mul, samples, (math.cos(turn * n) for n in range(len(samples)))))
    quadrature = sum(map(mul, samples, (math.sin(turn * n) for n in range(len(samples)))))
    energy = sum(map(mul, samples, samples))
    return 2 * (in_phase**2 + quadrature**2) / (len(samples) * energy) if energy else 0.0

"""Where in the audio somebody began to speak, or all fell silent, as likelihoods. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from realtime_core.model import Word
from realtime_core.transcript import floor

CELL_S = 0.1
KEPT_S = 30.0
"""For how long the audio's likelihoods are kept, and the longest silence that is looked at."""

SPREAD_S = 0.2
"""How far the reported time of a change lies from the word, but for the lag."""
USUAL_PAUSE_S = 0.2
"""Between speakers. The lag is measured to its middle, where the words are to be parted."""
LEAST_PAUSE_S = 0.1
"""Words with less before them are running speech."""
HOLD_S, HOLD_SPREAD_S = 0.4, 0.3
"""Indicators show a speaker for longer after the end than they need to show one at first."""

DOUBT = 0.15
"""Share of the reported changes that have nothing to do with the audio."""


class ChangeKind(Enum):
    """What was reported: another speaker, a speaker after nobody, or nobody any more."""

    OTHER = 0
    BEGIN = 1
    END = 2


@dataclass(frozen=True, slots=True)
class Change:
    """Somebody else is reported from here on; by the time of the reports."""

    at_s: float
    kind: ChangeKind


SPEECH_RATES = (0.06, 0.01, 0.01)
"""Changes per second of running speech, by kind."""
SILENCE_RATES = (0.01, 0.01, 0.02)
USUAL_RATES = (0.12, 0.05, 0.05)


def _kernel(middle_s: float, spread_s: float) -> tuple[int, list[float]]:
    """Return a bell curve, per second, and where it begins, in cells."""
    first = round((middle_s - 3 * spread_s) / CELL_S)
    behind = round((middle_s + 3 * spread_s) / CELL_S) + 1
    scale = 1 / (spread_s * math.sqrt(2 * math.pi))
    return first, [
        scale * math.exp(-0.5 * ((cell * CELL_S - middle_s) / spread_s) ** 2)
        for cell in range(first, behind)
    ]


ONSET_KERNEL = _kernel(-USUAL_PAUSE_S / 2, SPREAD_S)
END_KERNEL = _kernel(HOLD_S - USUAL_PAUSE_S / 2, HOLD_SPREAD_S)
MARGIN = max(-ONSET_KERNEL[0], len(END_KERNEL[1]) + END_KERNEL[0])


class Onsets:
    """The audio so far: for each cell of time, how well each kind of change fits there.

    Scores are logarithms of how much likelier a change is there than anywhere.
    """

    def __init__(self) -> None:
        self._begun = False
        self._end_s = self._last_start_s = 0.0  # of the last speech
        self.first = 0  # cell kept
        self._tracks: tuple[list[float], ...] = ([], [], [])
        self._starts: list[tuple[float, float]] = []  # of recent words: when, after which pause
        self._spans: list[tuple[float, float]] = []  # recent speech

    def hear(self, words: Sequence[Word], start_s: float, end_s: float) -> float | None:
        """Take final speech; what lies before speech already taken counts once."""
        spans = sorted(
            (max(word.start_s, start_s - 1.0), word.end_s)
            for word in words
            if math.isfinite(word.start_s)
            and math.isfinite(word.end_s)
            and word.start_s <= word.end_s <= end_s + 1.0
        ) or [(start_s, end_s)]
        if not all(math.isfinite(each) for each in spans[-1]):
            return None
        for from_s, to_s in spans:
            self._take(from_s, to_s)
        if not self._begun:
            return None
        self._extend(round(self._end_s / CELL_S) - MARGIN)
        return self._end_s

    def scores(self, kind: ChangeKind, from_cell: int, to_cell: int) -> list[float]:
        """Return what is known of these cells, from the first on."""
        track = self._tracks[kind.value]
        return track[from_cell - self.first : max(0, to_cell - self.first)]

    def _take(self, from_s: float, to_s: float) -> None:
        is_far = abs(from_s - self._end_s) > KEPT_S
        if not self._begun or is_far:
            self._begin(from_s)
        elif from_s <= self._last_start_s:
            return
        to_s = min(to_s, from_s + KEPT_S)
        self._last_start_s = from_s
        self._starts.append((from_s, from_s - self._end_s))
        self._spans.append((from_s, to_s))
        self._end_s = max(self._end_s, to_s)

    def _begin(self, from_s: float) -> None:
        """Begin anew after a long silence, or a leap of time, as if it had been a short one."""
        self._begun = True
        self._end_s = from_s - KEPT_S / 10
        self.first = round(self._end_s / CELL_S)
        self._tracks = ([], [], [])
        self._starts, self._spans = [], []

    def _extend(self, to_cell: int) -> None:
        """Fill the cells up to here; all speech that reaches into them is known."""
        from_cell = self.first + len(self._tracks[0])
        if to_cell > from_cell:
            rows = self._rates(from_cell, to_cell - from_cell)
            for track, row, usual in zip(self._tracks, rows, USUAL_RATES, strict=True):
                track += [math.log(DOUBT + (1 - DOUBT) * rate / usual) for rate in row]
            self._forget()

    def _rates(self, from_cell: int, count: int) -> list[list[float]]:
        """Return changes per second, by kind and cell."""
        rows = [[rate] * count for rate in SILENCE_RATES]
        for start_s, end_s in self._spans:
            first = max(0, round(start_s / CELL_S) - from_cell)
            behind = min(count, round(end_s / CELL_S) - from_cell)
            if first < behind:
                for row, rate in zip(rows, SPEECH_RATES, strict=True):
                    row[first:behind] = [rate] * (behind - first)
        for start_s, pause_s in self._starts:
            at, end = round(start_s / CELL_S) - from_cell, start_s - pause_s
            if abs(pause_s) > LEAST_PAUSE_S:
                _add(rows[0], at, ONSET_KERNEL, floor.change(pause_s))
            if pause_s > 2 * LEAST_PAUSE_S:
                _add(rows[1], at, ONSET_KERNEL, floor.silence(pause_s))
                _add(rows[2], round(end / CELL_S) - from_cell, END_KERNEL, floor.silence(pause_s))
        return rows

    def _forget(self) -> None:
        excess = len(self._tracks[0]) - round(KEPT_S / CELL_S)
        if excess > 0:
            for track in self._tracks:
                del track[:excess]
            self.first += excess
        known_s = (self.first + len(self._tracks[0])) * CELL_S
        margin_s = 2 * MARGIN * CELL_S
        self._starts = [each for each in self._starts if each[0] > known_s - margin_s]
        self._spans = [each for each in self._spans if each[1] > known_s - margin_s]


def _add(row: list[float], at: int, kernel: tuple[int, list[float]], weight: float) -> None:
    offset, values = kernel
    first = at + offset
    from_, to = max(0, -first), min(len(values), len(row) - first)
    for place in range(from_, to):
        row[first + place] += weight * values[place]

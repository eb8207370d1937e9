"""How much later than its reports speech comes in the audio, measured. Pure.

When another speaker is reported, a word begins in the audio that is somebody else's: after
a pause rather than within running speech, and never within a silence. So each change of the
reported speaker is laid over the audio at every lag from 0 to 8 s, and each lag gains what
the audio there says for a change. One change fits in many places; the right lag is where
many of them agree.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from realtime_core.model import Word
from realtime_core.transcript.onsets import CELL_S, Change, Onsets

MOST_LAG_S = 8.0
CELLS = round(MOST_LAG_S / CELL_S) + 1

PRIOR_SPREAD_S, PRIOR_FLOOR = 1.5, -3.0
"""How far the lag usually lies from the configured one; and that it may lie anywhere."""

MEMORY_CHANGES, RECENT_CHANGES = 24, 6
"""After so many changes what was seen counts a third: for the estimate, and for its test."""

CONTRADICTION = 5.0
"""By so much (natural logarithm) recent evidence must speak against an estimate to void it."""

NEAR_S = 0.2
"""How near to the truth an estimate is good."""

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, slots=True)
class LagEstimate:
    """How much later speech appears on the session clock than reports of its speaker.

    Attributes:
        confidence: How sure that is, 0 to 1: the likelihood that it is within 0.2 s.
    """

    lag_s: float
    confidence: float


class FixedLag:
    """A lag that is known."""

    def __init__(self, lag_s: float) -> None:
        self.estimate = LagEstimate(lag_s, 1.0)
        self.likely_s: tuple[float, ...] = (lag_s,)


class LagHistogram:
    """What is known of one publisher's lag.

    Attributes:
        estimate: The most likely lag.
        likely_s: Lags that are equally likely: they stand for the whole distribution.
    """

    def __init__(self, lag_s: float) -> None:
        self._prior = [_prior(cell * CELL_S - lag_s) for cell in range(CELLS)]
        self._evidence = [0.0] * CELLS
        self._recent = [0.0] * CELLS
        self._peak = min(CELLS - 1, max(0, round(lag_s / CELL_S)))
        self.changes = 0
        self.estimate = LagEstimate(lag_s, 0.0)
        self.likely_s: tuple[float, ...] = ()
        self.settle()

    def age(self, changes: int) -> None:
        """Let what was seen count less, since so many changes are seen now."""
        self.changes += changes
        keep, keep_recent = (math.exp(-changes / n) for n in (MEMORY_CHANGES, RECENT_CHANGES))
        self._evidence = [each * keep for each in self._evidence]
        self._recent = [each * keep_recent for each in self._recent]

    def add(self, first: int, scores: Sequence[float]) -> None:
        """Add what speaks for the lags from the cell ``first`` on."""
        behind = first + len(scores)
        for sums in (self._evidence, self._recent):
            sums[first:behind] = map(float.__add__, sums[first:behind], scores)

    def settle(self) -> None:
        """Draw the conclusions from what was added."""
        best = max(self._recent)
        if best - self._recent[self._peak] > CONTRADICTION and self.changes > 2 * RECENT_CHANGES:
            self._evidence = list(self._recent)
        scores = list(map(float.__add__, self._prior, self._evidence))
        most = max(scores)
        likely = [math.exp(score - most) for score in scores]
        total = sum(likely)
        likely = [each / total for each in likely]
        self._estimate(likely)

    def _estimate(self, likely: list[float]) -> None:
        near = round(NEAR_S / CELL_S)
        sums = list(accumulate(likely, initial=0.0))
        padded = [0.0] * near + sums + [1.0] * near
        masses = [high - low for low, high in zip(padded, padded[2 * near + 1 :], strict=False)]
        peak = max(range(CELLS), key=masses.__getitem__)
        if masses[peak] > 1.2 * masses[self._peak] or abs(peak - self._peak) <= near:
            self._peak = peak
        low, high = max(0, self._peak - 2 * near), min(CELLS, self._peak + 2 * near + 1)
        mass = sum(likely[low:high])
        lag_s = CELL_S * sum(cell * likely[cell] for cell in range(low, high)) / mass
        if self.changes == 0:
            lag_s = self.estimate.lag_s
        self.estimate = LagEstimate(lag_s, min(1.0, masses[self._peak]))
        self.likely_s = tuple(_quantile(sums, each) for each in QUANTILES)


def _quantile(sums: list[float], share: float) -> float:
    place = bisect_left(sums, share * sums[-1])
    low, high = sums[place - 1], sums[place]
    return max(0.0, (place - 1 + (share * sums[-1] - low) / (high - low) - 0.5) * CELL_S)


def _prior(off_s: float) -> float:
    return max(PRIOR_FLOOR, -0.5 * (off_s / PRIOR_SPREAD_S) ** 2)


class LagTracker:
    """Follows the lag through a session, publisher by publisher."""

    def __init__(self, lag_s: float) -> None:
        self._prior_s = lag_s
        self._onsets = Onsets()
        self._now = LagHistogram(lag_s)
        self._former: deque[tuple[float, LagHistogram]] = deque(maxlen=4)  # (until, which)
        self._since_s, self._since_cell = -math.inf, -(10**12)
        self._open: list[tuple[Change, int]] = []  # and the cell up to which it was compared

    @property
    def estimate(self) -> LagEstimate:
        return self._now.estimate

    def likely_at(self, at_s: float) -> tuple[float, ...]:
        """Return equally likely lags of the audio at this time."""
        for until_s, histogram in self._former:
            if at_s < until_s:
                return histogram.likely_s
        return self._now.likely_s

    def restart(self, at_s: float) -> None:
        """A publisher came anew: from here on the lag may be another."""
        if at_s <= self._since_s:
            return
        self._former.append((at_s, self._now))
        self._since_s, self._since_cell = at_s, _cell(at_s)
        self._now = LagHistogram(self._now.estimate.lag_s)

    def hear(self, words: Sequence[Word], start_s: float, end_s: float) -> float | None:
        """Take final speech; return up to when changes of speaker are wanted now."""
        return self._onsets.hear(words, start_s, end_s)

    def learn(self, changes: Iterable[Change]) -> None:
        """Take changes of who is reported, each once, and compare all with the audio so far."""
        new = [(each, _cell(each.at_s)) for each in changes]
        self._open += new
        if new:
            self._now.age(len(new))
        rest: list[tuple[Change, int]] = []
        for change, from_cell in self._open:
            origin = _cell(change.at_s)
            from_cell = max(from_cell, self._since_cell, self._onsets.first)
            scores = self._onsets.scores(change.kind, from_cell, origin + CELLS)
            if scores:
                self._now.add(from_cell - origin, scores)
                from_cell += len(scores)
            if from_cell < origin + CELLS:
                rest.append((change, from_cell))
        self._open = rest[-64:]
        self._now.settle()


def _cell(at_s: float) -> int:
    return round(at_s / CELL_S)

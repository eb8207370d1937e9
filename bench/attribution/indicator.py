"""LiveKit's active-speaker indicator: levels in windows, smoothed, the loudest first. Pure.

After its server's defaults: each participant's level is measured in windows of 400 ms, a window
counts as speech when 40 % of it is, levels are averaged over two windows, and who is above
a threshold is listed. Whoever speaks is shown 0.2 to 0.6 s after the onset, and for 0.4 to
1.2 s after the end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from bench.attribution.meeting import Meeting, Mouths

WINDOW_S = 0.4
LEAST_SHARE = 0.4
SMOOTHING = 2 / (2 + 1)
"""The weight of the newest window when two are averaged exponentially."""
SHOWN_ABOVE = 0.15
LEVEL_SPREAD = 0.25


@dataclass(frozen=True, slots=True)
class Indicator:
    """Who is shown from when on, loudest first; on the room's clock."""

    times_s: Sequence[float]
    shown: Sequence[tuple[int, ...]]

    def at(self, moment_s: float) -> tuple[int, ...]:
        """Return who is shown at a moment."""
        place = bisect_right(self.times_s, moment_s) - 1
        return self.shown[place] if place >= 0 else ()


def watch(meeting: Meeting, rng: Random) -> Indicator:
    """Run the indicator over a meeting."""
    mouths, levels = Mouths(meeting), [0.0] * len(meeting.loudness)
    times_s: list[float] = []
    shown: list[tuple[int, ...]] = []
    at_s = rng.uniform(0.0, WINDOW_S)
    while at_s < meeting.length_s + 30:
        at_s += WINDOW_S
        for who, loudness in enumerate(meeting.loudness):
            share = mouths.spoken_s(who, at_s - WINDOW_S, at_s) / WINDOW_S
            level = loudness * share * rng.uniform(1 - LEVEL_SPREAD, 1 + LEVEL_SPREAD)
            heard = level if share >= LEAST_SHARE else 0.0
            levels[who] += SMOOTHING * (heard - levels[who])
        active = [who for who, level in enumerate(levels) if level > SHOWN_ABOVE]
        times_s.append(at_s)
        shown.append(tuple(sorted(active, key=lambda who: -levels[who])))
    return Indicator(times_s, shown)

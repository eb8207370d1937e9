"""How likely the floor changes between two words, by the pause between them. Pure.

Within a turn words follow each other at once and pauses are rare; at a change of speakers a
fifth of a second of silence is usual, more is frequent, and so is a short overlap, which one
mouth cannot have with itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

PAUSES_S = (-0.4, -0.1, 0.08, 0.3, 1.0, 3.0)
CHANGES = (0.25, 0.04, 0.02, 0.25, 0.4, 0.5)
"""How often the speaker changes after a pause so long."""

SILENCES_S = (-0.4, 0.0, 0.4, 1.2, 3.0, 10.0)
BREAKS = (0.01, 0.01, 0.05, 0.6, 0.9, 0.95)
"""How often nobody is reported in a pause so long: indicators hold on for a second."""


def change(pause_s: float) -> float:
    """Return how likely another speaker begins after this pause."""
    return _between(pause_s, PAUSES_S, CHANGES)


def silence(pause_s: float) -> float:
    """Return how likely somebody is reported anew after this pause."""
    return _between(pause_s, SILENCES_S, BREAKS)


def _between(at: float, places: Sequence[float], values: Sequence[float]) -> float:
    place = bisect_right(places, at)
    if place == 0:
        return values[0]
    if place == len(places):
        return values[-1]
    from_, to = places[place - 1], places[place]
    share = (at - from_) / (to - from_)
    return values[place - 1] + share * (values[place] - values[place - 1])

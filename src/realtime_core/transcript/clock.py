"""Which moment of the session clock is live now. Pure: the loop's time comes in as a value."""

from __future__ import annotations

import math
from collections import deque

WINDOW_S = 10.0
"""How long one punctual arrival anchors the clock: longer than a stall, shorter than a drift."""

SPACING_S = 0.05
"""Least time between two kept arrivals; bounds what the window holds."""


class SessionClock:
    """Maps the event loop's time to the session clock.

    PCM comes in real time but never early, and often late in bursts. So the least delayed
    arrival of the last seconds says how the two clocks lie; all others only say that
    something was slow. Older arrivals are forgotten, so that drift and outages are followed.
    """

    def __init__(self, *, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        # (arrival, loop time minus session time), delays rising: the first is the least.
        self._delays: deque[tuple[float, float]] = deque()
        self._end_s = 0.0

    def audio_arrived(self, now: float, end_s: float) -> None:
        """Note that decoded audio up to ``end_s`` is here at loop time ``now``."""
        if not (math.isfinite(now) and math.isfinite(end_s)):
            return
        self._end_s = max(self._end_s, end_s)
        while self._delays and self._delays[0][0] < now - self._window_s:
            self._delays.popleft()
        self._keep(now, now - end_s)

    def at(self, now: float) -> float:
        """Return the session-clock position that is live at loop time ``now``; never negative.

        It rises with ``now``; a new anchor may set it back by as much as the audio turned
        out to be late. While no audio comes the session clock stands still, so it runs
        at most one window past the last sample. 0 before the first audio.
        """
        if not self._delays:
            return 0.0
        position_s = now - self._delays[0][1]
        return max(0.0, min(position_s, self._end_s + self._window_s))

    def behind_s(self, now: float) -> float:
        """Return how much audio is missing at loop time ``now`` for it to be live.

        Unlike :meth:`at` it goes on for as long as no audio comes. 0 before the first.
        """
        return max(0.0, now - self._delays[0][1] - self._end_s) if self._delays else 0.0

    def _keep(self, now: float, delay_s: float) -> None:
        while self._delays and self._delays[-1][1] >= delay_s:
            self._delays.pop()
        if not self._delays or now - self._delays[-1][0] >= SPACING_S:
            self._delays.append((now, delay_s))

"""How often one name may be refused, or taken over: a brake on encoders that never wait. Pure."""

from __future__ import annotations

from collections import deque

MOST_NAMES = 1024
"""Names remembered; a peer can invent as many as it likes."""


class Spacing:
    """Hands out times that lie apart, for each name."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._last: dict[str, float] = {}

    def slot(self, name: str, earliest: float, latest: float) -> float:
        """Return when it is this caller's turn, between ``earliest`` and ``latest``."""
        last = self._last.pop(name, None)
        at = earliest if last is None else max(earliest, last + self._gap_s)
        at = min(at, latest)
        self._last[name] = at
        if len(self._last) > MOST_NAMES:
            del self._last[next(iter(self._last))]
        return at


class Frequency:
    """Counts how often something happened to a name within the last while."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: dict[str, deque[float]] = {}

    def note(self, name: str, now: float) -> None:
        """Remember that it happened to ``name``."""
        times = self._times.pop(name, deque())
        times.append(now)
        self._times[name] = times  # now the youngest, so the first is the one to forget
        if len(self._times) > MOST_NAMES:
            del self._times[next(iter(self._times))]

    def recent(self, name: str, now: float) -> int:
        """Return how often it happened to ``name`` within the window."""
        times = self._times.get(name)
        while times and times[0] <= now - self._window_s:
            times.popleft()
        if times is not None and not times:
            del self._times[name]
        return len(times or ())

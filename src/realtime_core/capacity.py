"""Whether this process can take another session, judged by what it measures of itself. Pure.

One session more than a process can bear harms all that run: their audio waits for the loop,
or the kernel kills the process. So new sessions are refused before it comes to that; those
that run, and those that come back after a restart, are never touched.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

WINDOW = 100
"""Measurements of the loop's lag that are remembered."""
LEAST_MEASURED = 20
RARELY = 0.1
"""The share of the measurements that may be late without meaning anything: a process that
starts, a scrape, a collection of garbage."""


class Shortage(Enum):
    """What there is too little of, as the metric says it."""

    LOOP = "loop"
    MEMORY = "memory"


class Capacity:
    """Looks at measurements, and says what is short.

    Args:
        most_lag_s: How late the event loop may run most of the time; None for any.
        least_free_bytes: How much memory has to be left; None for none.
    """

    def __init__(
        self, *, most_lag_s: float | None = None, least_free_bytes: int | None = None
    ) -> None:
        self._most_lag_s, self._least_free_bytes = most_lag_s, least_free_bytes
        self._lags_s: deque[float] = deque(maxlen=WINDOW)
        self._free_bytes: int | None = None

    def __repr__(self) -> str:
        short = self.shortage()
        return f"<Capacity {short.value + ' short' if short else 'enough'}>"

    def lagged(self, seconds: float) -> None:
        """Take how late the loop was, measured at even distances."""
        self._lags_s.append(seconds)

    def has_free(self, size_bytes: int | None) -> None:
        """Take how much memory is left; None when nobody knows."""
        self._free_bytes = size_bytes

    def shortage(self) -> Shortage | None:
        """Return what is too short for another session."""
        if self._is_cramped():
            return Shortage.MEMORY
        return Shortage.LOOP if self._is_slow() else None

    def _is_cramped(self) -> bool:
        least, free = self._least_free_bytes, self._free_bytes
        return least is not None and free is not None and free < least

    def _is_slow(self) -> bool:
        if self._most_lag_s is None or len(self._lags_s) < LEAST_MEASURED:
            return False
        late = sum(lag_s > self._most_lag_s for lag_s in self._lags_s)
        return late > RARELY * len(self._lags_s)

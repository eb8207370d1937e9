"""When to write: as soon as a batch is full, or its oldest row has waited long enough. Pure."""

from __future__ import annotations

from collections import deque


class Batcher:
    """Decides when pending rows are due.

    Knows no clock, no rows and no database: it is told of arrivals, and how many rows
    are pending now.

    Args:
        max_rows: A batch of so many rows is due at once.
        max_wait_s: No row waits longer than this for others to join it.
    """

    def __init__(self, *, max_rows: int, max_wait_s: float) -> None:
        self.max_rows, self._max_wait_s = max_rows, max_wait_s
        # Rows leave in the order they came, so the newest arrivals date whatever is left.
        self._arrivals: deque[float] = deque(maxlen=max_rows)

    def arrived(self, now: float) -> None:
        """Note that one more row is pending."""
        self._arrivals.append(now)

    def due_at(self, pending: int) -> float | None:
        """When to write, given how many rows are pending; None while there is nothing.

        Rows whose arrival was not seen, because they are from an earlier run or from
        before a backlog, are due since ever.
        """
        if pending <= 0:
            return None
        if pending >= self.max_rows or pending > len(self._arrivals):
            return float("-inf")
        return self._arrivals[-pending] + self._max_wait_s

"""Dates reports by their client's own clock, which may be wrong by minutes. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

WINDOW_S = 60.0
"""How long the least delayed report anchors a client's clock."""

SPACING_S = 0.25
"""Least time between two kept reports of a client; bounds what the window holds."""

MOST_AGE_S = 15.0
"""No report is taken to be older: rather has the client's clock been set."""

MOST_CLIENTS = 256
"""Clients remembered per session; past it, the one heard longest ago goes."""


class ReportClock:
    """Says how old each report is when it arrives.

    A client's clock may be wrong, but it runs. So the least difference of arrival and clock
    seen lately is the clock's error together with the shortest way here; what a report
    took beyond that, it was delayed.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def age_s(self, client: str, arrived_at: float, said_at: float | None) -> float:
        """Return how long ago a report that arrives now was made: 0 to ``MOST_AGE_S``.

        0 also where the client's clock says nothing sound; when it was set, it is learnt anew.

        Args:
            arrived_at: The loop time of the arrival.
            said_at: When it was made, by the client's clock, in seconds since whenever.
        """
        if said_at is None or not math.isfinite(arrived_at - said_at):
            return 0.0
        known = self._clients.setdefault(client, _Client())
        self._clients.move_to_end(client)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return known.age_s(arrived_at, arrived_at - said_at)


class _Client:
    """The delays of one client's reports; its clock's error is in all of them."""

    def __init__(self) -> None:
        # (arrival, delay), delays rising: the first is the least of the window.
        self._delays: deque[tuple[float, float]] = deque()

    def age_s(self, arrived_at: float, delay_s: float) -> float:
        while self._delays and self._delays[0][0] < arrived_at - WINDOW_S:
            self._delays.popleft()
        if self._delays and abs(delay_s - self._delays[0][1]) > MOST_AGE_S:
            self._delays.clear()  # the clock was set
        while self._delays and self._delays[-1][1] >= delay_s:
            self._delays.pop()
        if not self._delays or arrived_at - self._delays[-1][0] >= SPACING_S:
            self._delays.append((arrived_at, delay_s))
        return max(0.0, delay_s - self._delays[0][1])

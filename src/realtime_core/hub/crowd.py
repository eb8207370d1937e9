"""All who listen to one session. A message to many of them takes several turns of the loop.

To write to 3,000 sockets takes 15 to 20 ms, and all other rooms would wait for it. So a crowd
is made of cohorts; each turn writes to as many as fit a slice, and what else there is to do
comes in between. All members of a cohort are at the same message at any moment, but for those
who are behind; so nothing overtakes, whoever comes or goes in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from realtime_core.hub.cohort import Cohort, Listener

SLICE = 100
"""Listeners written to in one turn, in some 1.2 ms. A turn more costs some 15 µs, and what else
there is to do in it; so fewer make the last of a crowd wait longer where there is much."""
MOST_UNDER_WAY = 16
"""Messages that may wait for a cohort's turn; what comes on top is written to all at once."""


class Broadcast:
    """A frame on its way to a crowd.

    Args:
        leave_out: Gets the listeners that have too much waiting to be written to.
        over: Called once, when all who were there have been written to or left out.

    Attributes:
        left_out: How many were left out so far.
    """

    def __init__(
        self,
        frame: bytes,
        leave_out: Callable[[list[Listener]], None],
        over: Callable[[], None] | None = None,
    ) -> None:
        self.left_out = 0
        self._frame, self._leave_out, self._over = frame, leave_out, over
        self._cohorts = 0

    def begin(self, cohorts: int) -> None:
        """Say how many calls of :meth:`reach` there will be."""
        self._cohorts = cohorts

    def reach(self, cohort: Cohort) -> None:
        """Write to a cohort."""
        crowded = cohort.spread(self._frame)
        if crowded:
            self.left_out += len(crowded)
            self._leave_out(crowded)
        self._cohorts -= 1
        if not self._cohorts and self._over is not None:
            self._over()


class Crowd:
    """Who listens to a session, and what is under way to them."""

    def __init__(self) -> None:
        self._cohorts = [Cohort()]
        # Whose turn has not come, in the order of their turns, and what each is to get then.
        self._waiting: dict[Cohort, list[Broadcast]] = {}
        self._next_turn: asyncio.Handle | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether somebody has not been written to yet."""
        return bool(self._waiting)

    def __len__(self) -> int:
        return sum(map(len, self._cohorts))

    def __iter__(self) -> Iterator[Listener]:
        return (listener for cohort in self._cohorts for listener in cohort)

    def __contains__(self, listener: object) -> bool:
        return any(listener in cohort for cohort in self._cohorts)

    def welcome(self, listener: Listener, frame: bytes, limit: int) -> None:
        """Count a listener in, and write its first frame, which comes on top of its limit.

        What is under way is not for it: its first frame says that.
        """
        cohort = self._cohort_for(listener)
        self._reach(cohort)
        cohort.welcome(listener, frame, limit)

    def forget(self, listener: Listener) -> bool:
        """Count a listener out; say whether it was in."""
        for cohort in self._cohorts:
            if cohort.forget(listener):
                if not len(cohort) and len(self._cohorts) > 1:
                    self._cohorts.remove(cohort)
                return True
        return False

    def spread(self, broadcast: Broadcast) -> int:
        """Begin to write to all that keep up; return how many those are, as far as is known.

        A crowd of at most :data:`SLICE` has been written to when this returns, unless earlier
        messages are under way.
        """
        audience, cohorts = len(self), self._cohorts
        broadcast.begin(len(cohorts))
        if len(cohorts) == 1 and not self._waiting:
            broadcast.reach(cohorts[0])
        else:
            for cohort in cohorts:
                self._waiting.setdefault(cohort, []).append(broadcast)
            self._go_on()
        return audience - broadcast.left_out

    def finish(self) -> None:
        """Write all that is under way, in this turn."""
        while self._waiting:
            self._reach(next(iter(self._waiting)))
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def _cohort_for(self, listener: Listener) -> Cohort:
        for cohort in self._cohorts:
            if listener in cohort:
                return cohort
        for cohort in self._cohorts:
            if len(cohort) < SLICE:
                return cohort
        self._cohorts.append(Cohort())
        return self._cohorts[-1]

    def _go_on(self) -> None:
        if self._next_turn is None:
            self._take_turn()
        elif len(next(iter(self._waiting.values()))) > MOST_UNDER_WAY:
            self.finish()

    def _take_turn(self) -> None:
        left = SLICE
        while self._waiting:
            cohort = next(iter(self._waiting))
            if len(cohort) > left:
                break
            left -= len(cohort)
            self._reach(cohort)
        loop = asyncio.get_running_loop()
        self._next_turn = loop.call_soon(self._take_turn) if self._waiting else None

    def _reach(self, cohort: Cohort) -> None:
        for broadcast in self._waiting.pop(cohort, ()):
            broadcast.reach(cohort)

"""All who listen to one session. A message to many of them takes several turns of the loop.

To write to 3,000 sockets takes 15 to 20 ms, and all other rooms would wait for it. So a crowd
is made of cohorts; each turn writes to as many as fit a slice, and what else there is to do
comes in between. Messages that follow each other faster than that are written together. All
members of a cohort are at the same message at any moment, but for those who are behind; so
nothing overtakes, whoever comes or goes in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from realtime_core.hub.cohort import Cohort, Listener

SLICE = 100
"""Listeners written to in one turn, in some 1.2 ms. A turn more costs some 15 µs, and what else
there is to do in it; so fewer make the last of a crowd wait longer where there is much."""
MOST_TOGETHER_BYTES = 32 * 1024
"""Of messages that are written together. One message may be larger."""
MOST_UNDER_WAY = 256
"""Messages that may wait for a cohort's turn. With one more, every cohort has its turn at once:
then whoever publishes a message waits for a pass over the crowd."""


class Broadcast:
    """A frame on its way to a crowd.

    Args:
        leave_out: Gets the listeners that have too much waiting to be written to.
        over: Called once, when all who were there have been written to or left out.

    Attributes:
        frame: The bytes.
        left_out: How many were left out so far.
    """

    def __init__(
        self,
        frame: bytes,
        leave_out: Callable[[list[Listener]], None],
        over: Callable[[], None] | None = None,
    ) -> None:
        self.left_out = 0
        self.frame, self._leave_out, self._over = frame, leave_out, over
        self._cohorts = 0

    def begin(self, cohorts: int) -> None:
        """Say how many calls of :meth:`reached` there will be."""
        self._cohorts = cohorts

    def reached(self, crowded: list[Listener]) -> None:
        """Learn that a cohort has been written to, but for those who have too much waiting."""
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
            _write(cohorts[0], [broadcast])
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
        elif max(map(len, self._waiting.values())) > MOST_UNDER_WAY:
            for cohort in tuple(self._waiting):
                self._reach_next(cohort)

    def _take_turn(self) -> None:
        left = SLICE
        while self._waiting:
            cohort = next(iter(self._waiting))
            if len(cohort) > left:
                break
            left -= len(cohort)
            self._reach_next(cohort)
        loop = asyncio.get_running_loop()
        self._next_turn = loop.call_soon(self._take_turn) if self._waiting else None

    def _reach_next(self, cohort: Cohort) -> None:
        """Write what fits in one go; for the rest the cohort waits behind all others."""
        waiting = self._waiting.pop(cohort)
        count = _together(waiting)
        if len(waiting) > count:
            self._waiting[cohort] = waiting[count:]
        _write(cohort, waiting[:count])

    def _reach(self, cohort: Cohort) -> None:
        """Write all that waits for a cohort's turn."""
        while cohort in self._waiting:
            self._reach_next(cohort)


def _together(broadcasts: Sequence[Broadcast]) -> int:
    """Return how many are to be written together: one at least."""
    size = count = 0
    for broadcast in broadcasts:
        size += len(broadcast.frame)
        if count and size > MOST_TOGETHER_BYTES:
            break
        count += 1
    return count


def _write(cohort: Cohort, broadcasts: Sequence[Broadcast]) -> None:
    crowded = cohort.spread(b"".join([each.frame for each in broadcasts]))
    for broadcast in broadcasts:
        broadcast.reached(crowded)
        # Some messages are worth hanging up on who does not take them.
        crowded = [each for each in crowded if each in cohort]

"""How many FFmpegs start at the same time.

A start costs 60 to 100 ms of processor time, most of it in loading libraries: a hundred at
once would take it from those that run. What a session is fed while it waits is queued.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

# A process without audio never gives its first PCM, but has long started then.
STARTING_S = 1.0
# The queue holds 10 s; from there on audio would be lost.
PATIENCE_S = 5.0


class StartGate:
    """Lets at most ``most`` start at a time, first come first served.

    Who has waited for ``patience_s`` starts all the same. A start lasts until its place is
    left, and at most ``starting_s``.

    Attributes:
        starting: How many places are taken.
    """

    def __init__(
        self, most: int, *, patience_s: float = PATIENCE_S, starting_s: float = STARTING_S
    ) -> None:
        self._most, self._patience_s, self._starting_s = most, patience_s, starting_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.starting = 0

    async def enter(self) -> Place:
        """Wait for a place. One who is cancelled meanwhile holds none."""
        if self.starting < self._most:
            self.starting += 1
        else:
            await self._turn()
        return Place(self._left, self._starting_s)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        overdue = loop.call_later(self._patience_s, self._admit, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():  # the place came together with the cancellation
                self._left()
            raise
        finally:
            overdue.cancel()

    def _left(self) -> None:
        self.starting -= 1
        while self._waiting and self.starting < self._most:
            self._admit(self._waiting[0])

    def _admit(self, turn: asyncio.Future[None]) -> None:
        # Two may want to: one who leaves, and the clock.
        if turn in self._waiting:
            self._waiting.remove(turn)
            if not turn.cancelled():
                self.starting += 1
                turn.set_result(None)


class Place:
    """One start. It ends by itself, for want of a better end."""

    def __init__(self, left: Callable[[], None], most_s: float) -> None:
        self._left: Callable[[], None] | None = left
        self._timer = asyncio.get_running_loop().call_later(most_s, self.leave)

    def leave(self) -> None:
        """Let the next one start. May be called again."""
        left, self._left = self._left, None
        if left is not None:
            self._timer.cancel()
            left()

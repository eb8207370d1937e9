"""The order of a ladder: which server is measured next, with how many rooms. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

QUICK = (20, 60)
FIRST = (20, 60)
STEP = 50
MOST_ROOMS = 600


def full() -> Iterator[int]:
    """Yield 20, 60, 100, 150, 200, … rooms."""
    return itertools.chain(FIRST, range(100, MOST_ROOMS + 1, STEP))


class Climb:
    """Goes up rung by rung; on each, all servers that still stand, one after the other.

    Who begins changes from rung to rung, so that what drifts on the machine harms all alike.
    """

    def __init__(self, servers: Sequence[str], rungs: Iterator[int]) -> None:
        self._standing, self._rungs = list(servers), rungs

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield server and rooms; :meth:`fell` may be told before the next is asked for."""
        for turn, rooms in enumerate(self._rungs):
            if not self._standing:
                return
            first = turn % len(self._standing)
            for server in [*self._standing[first:], *self._standing[:first]]:
                yield server, rooms

    def fell(self, server: str) -> None:
        """Let a server climb no further."""
        self._standing.remove(server)

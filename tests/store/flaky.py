"""A store in memory that fails as a database does, on purpose."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

from realtime_core.errors import StoreRejected, StoreUnavailable
from realtime_core.model import FinalRow
from realtime_core.store.memory import MemoryStore

POISON = "poison"
ANSWER_S = 30.0


class Outcome(Enum):
    """How one insert goes."""

    STORED = "stored"
    REFUSED = "nothing stored"
    ANSWER_LOST = "stored, but the writer hears of a failure"
    SLOW = "stored after half a minute"
    BUG = "an exception that nobody has foreseen"


class FlakyStore(MemoryStore):
    """Plays outcomes, then works; a row whose text is poison is never taken.

    Attributes:
        batches: How many rows each call brought, those that failed included.
    """

    def __init__(self, *outcomes: Outcome) -> None:
        super().__init__()
        self.batches: list[int] = []
        self._outcomes = list(outcomes)
        self._away = self._hangs = False

    async def insert(self, rows: Sequence[FinalRow]) -> None:
        self.batches.append(len(rows))
        outcome = self._outcomes.pop(0) if self._outcomes else Outcome.STORED
        if self._hangs:
            await asyncio.Event().wait()
        if self._away or outcome is Outcome.REFUSED:
            raise StoreUnavailable("away")
        if outcome is Outcome.BUG:
            raise RuntimeError("a bug")
        if any(row.text == POISON for row in rows):
            raise StoreRejected("poison")
        if outcome is Outcome.SLOW:
            await asyncio.sleep(ANSWER_S)
        await super().insert(rows)
        if outcome is Outcome.ANSWER_LOST:
            raise StoreUnavailable("no answer")

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing can be stored."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Nothing is ever answered."""
        self._hangs = True
        try:
            yield
        finally:
            self._hangs = False

"""The table of finals as far as viewers need it, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from realtime_core.errors import StoreUnavailable
from realtime_core.model import FinalRow, Transcript
from realtime_core.web.missed import Finals
from tests.hub.examples import ZERO, row_of


@dataclass
class FakeTable:
    """A table, and the writer before it.

    Attributes:
        waiting: Finals that are accepted and not written.
        writes: Whether flushing writes them.
        answers: Cleared, reading takes until it is set.
        is_away: Whether reading fails.
        asked: The position after which each question asked.
        most_at_once: How many questions were open at a time.
    """

    rows: dict[tuple[str, str], FinalRow] = field(default_factory=dict)
    waiting: list[FinalRow] = field(default_factory=list)
    writes: bool = True
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    is_away: bool = False
    asked: list[int | None] = field(default_factory=list)
    most_at_once: int = 0
    _open: int = 0

    def __post_init__(self) -> None:
        self.answers.set()

    def accept(self, transcript: Transcript, epoch: str) -> None:
        """Take a final as the writer does: it is in the table after the next flush."""
        self.waiting.append(row_of(transcript, epoch))

    async def flush(self, _epoch: str = "e") -> bool:
        """Write what waits; return whether nothing is left."""
        if self.writes:
            for row in self.waiting:
                known = self.rows.get((row.epoch, row.utterance_id))
                if known is None or row.rev > known.rev:
                    self.rows[row.epoch, row.utterance_id] = row
            self.waiting = []
        return not self.waiting

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        self.asked.append(after)
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            await self.answers.wait()
        finally:
            self._open -= 1
        if self.is_away:
            raise StoreUnavailable("away")
        least = -1 if after is None else after
        found = [r for r in self.rows.values() if r.epoch == epoch and r.seq > least]
        found = sorted(found, key=lambda row: row.seq)[:limit]
        return sorted(found, key=lambda row: row.started_at)

    def zero_at(self, _slug: str) -> float | None:
        return ZERO


_is_finals: type[Finals] = FakeTable

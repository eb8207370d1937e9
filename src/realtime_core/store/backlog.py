"""What is accepted and not in the database yet: in the journal, or in memory while it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice

from realtime_core.errors import StoreUnavailable
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import FinalRow, SessionRecord
from realtime_core.store.journal import Entry, Journal

log = get_logger("store")

MEMORY_ROWS = 10_000
"""Finals kept while the journal refuses them; some megabytes."""
TIDY_ROWS = 200
"""Most that is made up for in one go: each is a write on the event loop."""


class Backlog:
    """Finals on their way to the database. Only :meth:`oldest` waits.

    What the journal takes is safe. What it refuses waits in memory, bounded, until the database
    or the journal takes it. What the journal does not let go of although it is dealt with is
    not offered again in this run.

    Attributes:
        incomplete: Epochs of which a final was refused or lost in this run.
    """

    def __init__(
        self, journal: Journal, metrics: Metrics, *, memory_rows: int = MEMORY_ROWS
    ) -> None:
        self.incomplete: set[str] = set()
        self._journal, self._metrics, self._memory_rows = journal, metrics, memory_rows
        self._memory: dict[int, FinalRow] = {}  # by negative ids, oldest first
        self._last_memory_id = 0
        # Dealt with and still in the journal, with the reason if it was a refusal.
        self._stuck: dict[int, str | None] = {}

    def __len__(self) -> int:
        return self._journal.rows - len(self._stuck) + len(self._memory)

    @property
    def is_unsafe(self) -> bool:
        """Whether the journal lacks something, or holds what it should not, after a refusal."""
        return bool(self._memory or self._stuck or self._journal.behind)

    def add(self, row: FinalRow, record: SessionRecord | None = None) -> bool:
        """Take a final, and its session's record; return whether the journal has it."""
        if self._journal.append(row, record):
            return True
        if len(self._memory) == self._memory_rows:
            oldest = self._memory.pop(next(iter(self._memory)))
            self.incomplete.add(oldest.epoch)
            self.lose(1, "neither journal nor memory has room")
        self._last_memory_id -= 1
        self._memory[self._last_memory_id] = row
        return False

    async def oldest(self, limit: int) -> list[Entry]:
        """Return what to store next, at most ``limit``; first what would not survive a crash.

        Raises:
            StoreUnavailable: The journal cannot be read.
        """
        self.tidy()
        if self._memory:
            return [Entry(*item) for item in islice(self._memory.items(), limit)]
        entries = await self._journal.pending(limit + len(self._stuck))
        return [entry for entry in entries if entry.id not in self._stuck][:limit]

    def forget(self, ids: Sequence[int]) -> None:
        """Let go of finals that are stored."""
        for id_ in ids:
            self._memory.pop(id_, None)
        self._take_out({id_: None for id_ in ids if id_ > 0})

    def reject(self, entry: Entry, reason: str) -> None:
        """Put a final aside that can never be stored; one in memory only is lost."""
        self.incomplete.add(entry.row.epoch)
        details = {"session": entry.row.session_slug, "seq": entry.row.seq, "error": reason}
        if entry.id < 0:
            self._memory.pop(entry.id, None)
            self.lose(1, "rejected, and not in the journal", **details)
            return
        self._take_out({entry.id: reason})
        self._metrics.rejected.inc()
        log.error("Final rejected by the database, kept aside in the journal", **details)

    def tidy(self) -> None:
        """Ask the journal again for some of what it refused. Not while a batch is under way."""
        self._take_out(dict(islice(self._stuck.items(), TIDY_ROWS)))
        self._move_to_journal(TIDY_ROWS)

    def close(self) -> None:
        """Bring to the journal all it takes; what stays in memory is lost."""
        self._take_out(self._stuck)
        self._move_to_journal(len(self._memory))
        if self._memory:
            self.lose(len(self._memory), "stopped while neither journal nor database took them")
            self._memory.clear()

    def lose(self, rows: int, reason: str, **details: object) -> None:
        """Count and tell what cannot be helped."""
        self._metrics.lost.inc(rows)
        log.error("Finals lost", rows=rows, reason=reason, **details)

    def _move_to_journal(self, most: int) -> None:
        for id_, row in list(islice(self._memory.items(), most)):
            if not self._journal.append(row):
                return
            del self._memory[id_]

    def _take_out(self, dealt_with: Mapping[int, str | None]) -> None:
        if not dealt_with:
            return
        stored = [id_ for id_, reason in dealt_with.items() if reason is None]
        refused = [(id_, reason) for id_, reason in dealt_with.items() if reason is not None]
        self._stuck |= dealt_with
        with suppress(StoreUnavailable):  # the journal says it aloud
            for first in range(0, len(stored), TIDY_ROWS):
                self._let_go(stored[first : first + TIDY_ROWS])
            for id_, reason in refused:
                self._journal.reject(id_, reason)
                del self._stuck[id_]

    def _let_go(self, stored: Sequence[int]) -> None:
        self._journal.remove(stored)
        for id_ in stored:
            del self._stuck[id_]

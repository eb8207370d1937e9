"""The whole of a working store, in memory: for tests, and for running without a database."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_core.model import FinalRow
from realtime_core.store.rows import storable


class MemoryStore:
    """Keeps finals as long as the process lives; behaves as ``PostgresStore`` does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], FinalRow] = {}

    async def insert(self, rows: Sequence[FinalRow]) -> None:
        """Store ``rows``; an older ``rev`` never replaces a newer one."""
        for row in storable(rows):
            key = row.session_slug, row.utterance_id
            if key not in self.rows or row.rev > self.rows[key].rev:
                self.rows[key] = row

    async def finals(
        self, slug: str, *, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return a session's first finals in the order they were spoken, after a ``seq``."""
        return [row for row in self._of(slug) if after is None or row.seq > after][:limit]

    async def last_finals(self, slug: str, limit: int) -> Sequence[FinalRow]:
        """Return a session's last finals in the order they were spoken."""
        return self._of(slug)[-limit:] if limit else []

    async def last_seq(self, slug: str) -> int:
        """Return the highest ``seq`` stored for a session; 0 if there is none."""
        return max((row.seq for row in self._of(slug)), default=0)

    async def ping(self) -> None:
        """Return, since this store is always there."""

    def _of(self, slug: str) -> list[FinalRow]:
        rows = (row for row in self.rows.values() if row.session_slug == slug)
        return sorted(rows, key=lambda row: (row.started_at, row.seq))

"""The whole of a working store, in memory: for tests, and for running without a database."""

from __future__ import annotations

from collections.abc import Sequence

from realtime_core.model import FinalRow
from realtime_core.store.rows import StoredRun, named, storable


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

    async def run(self, slug: str, *, epoch: str | None = None) -> StoredRun | None:
        """Return what is known of a run, by default the last; None if nothing of it is stored."""
        rows = self._of(slug, epoch)
        if not rows:
            return None
        spoken = (row.started_at for row in rows if row.text)
        return StoredRun(rows[0].epoch, min(spoken, default=None))

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return the finals of a run, by default the last, in the order they were spoken.

        Args:
            after: Leaves out those up to this ``seq``.
            limit: Of more than so many, those with the lowest ``seq`` are returned.
        """
        run = sorted(self._of(slug, epoch), key=lambda row: row.seq)
        newest = {row.speaker_id: row.speaker for row in run if row.text}
        first = [row for row in run if after is None or row.seq > after][:limit]
        return sorted(named(first, newest), key=lambda row: (row.started_at, row.seq))

    def _of(self, slug: str, epoch: str | None) -> list[FinalRow]:
        rows = [row for row in self.rows.values() if row.session_slug == slug]
        if epoch is None and rows:
            epoch = max(rows, key=lambda row: (row.started_at, row.seq, row.epoch)).epoch
        return [row for row in rows if row.epoch == epoch]

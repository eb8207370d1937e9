"""What late comers and returning viewers of one session are given. Pure.

It is a cache: who missed more than it holds is told so, and reads the table.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_DRAFTS = 64
"""Open drafts kept; the assembler leaves fewer open, this bounds what others post."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transcript as it was sent: its payload, and what decides whether to keep it."""

    utterance_id: str
    seq: int
    rev: int
    is_final: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What a viewer is given first.

    Attributes:
        seq: The number of the last transcript that is in it.
        history, drafts: Payloads, in the order in which they were sent.
        recovered: Whether ``history`` is the whole of what was missed; None when the
            viewer did not ask.
    """

    seq: int
    history: list[bytes]
    drafts: list[bytes]
    recovered: bool | None


class Replay:
    """The last finals of a session, each utterance once, and its open drafts.

    Args:
        epoch: Names the numbering; another one starts with another :class:`Replay`.
        history_size: How many finals to keep.
    """

    def __init__(self, epoch: str, *, history_size: int) -> None:
        self.epoch, self.seq = epoch, 0
        self._history_size = history_size
        self._finals: dict[str, Entry] = {}
        self._drafts: dict[str, Entry] = {}
        # Finals up to this number may be missing here; those after it are all here.
        self._forgotten = 0

    def rev(self, utterance_id: str) -> int:
        """Return the latest revision held of an utterance; 0 when none is."""
        entry = self._finals.get(utterance_id) or self._drafts.get(utterance_id)
        return entry.rev if entry else 0

    def add(self, entry: Entry) -> bool:
        """Keep what is being sent; say whether it is news.

        It is not when the same or a later revision is held, or when it would turn a
        final back into a draft.
        """
        if entry.rev <= self.rev(entry.utterance_id):
            return False
        if not entry.is_final and entry.utterance_id in self._finals:
            return False
        if entry.seq > self.seq + 1:
            self._forgotten = entry.seq - 1  # what had the numbers between never came here
        self.seq = max(self.seq, entry.seq)
        if entry.is_final:
            self._keep_final(entry)
        else:
            self._keep_draft(entry)
        return True

    def catch_up(self, since: int | None = None, epoch: str | None = None) -> CatchUp:
        """Return what a viewer lacks whose last transcript was ``since`` in ``epoch``.

        All that followed, when it is all here; else the last finals, never a part of the
        gap that looks like the whole.
        """
        recovered = None if since is None else self._bridges(since, epoch)
        after = since if since is not None and recovered else -1
        history = [each.payload for each in self._finals.values() if each.seq > after]
        drafts = [each.payload for each in self._drafts.values()]
        return CatchUp(self.seq, history, drafts, recovered)

    def _bridges(self, since: int, epoch: str | None) -> bool:
        return epoch == self.epoch and self._forgotten <= since <= self.seq

    def _keep_final(self, entry: Entry) -> None:
        self._drafts.pop(entry.utterance_id, None)
        # A later revision goes to the end, so that the order is that of the numbers.
        self._finals.pop(entry.utterance_id, None)
        self._finals[entry.utterance_id] = entry
        while len(self._finals) > self._history_size:
            oldest = self._finals.pop(next(iter(self._finals)))
            self._forgotten = max(self._forgotten, oldest.seq)

    def _keep_draft(self, entry: Entry) -> None:
        self._drafts[entry.utterance_id] = entry
        if len(self._drafts) > MOST_DRAFTS:
            del self._drafts[next(iter(self._drafts))]

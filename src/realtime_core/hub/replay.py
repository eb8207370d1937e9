"""What late comers and returning viewers of one session are given. Pure.

It is a cache: what a viewer needs and it does not hold is a :class:`Lack`, and what the table
has of that an :class:`Older`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_DRAFTS = 64
"""Open drafts kept; the assembler leaves fewer open, this bounds what others post."""
DRAFTS_PER_FINAL = 10
"""How far back a newcomer's last finals are looked for, in numbers per final."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transcript as it was sent: its payload, and what decides whether to keep it."""

    utterance_id: str
    seq: int
    rev: int
    is_final: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Lack:
    """Finals that a viewer needs and that are not held: those after ``after``.

    Attributes:
        epoch: The numbering in which they are counted.
        to: The last number up to which finals may be missing.
        given: The last number given so far; whoever reads the table now, with all that was
            accepted written to it, has every final up to here.
    """

    epoch: str
    after: int
    to: int
    given: int


@dataclass(frozen=True, slots=True)
class Older:
    """Finals out of the table, by their numbers, each utterance once.

    Attributes:
        after, to: Every final whose number is greater than ``after`` and at most ``to`` is
            here, unless a later revision took its place. Nothing is certain when ``to`` is 0.
        size_bytes: How large the payloads are together.
    """

    epoch: str
    after: int
    to: int
    entries: Sequence[Entry]
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        # Frozen, and worked out once: many viewers share an answer.
        size_bytes = sum(len(entry.payload) for entry in self.entries)
        object.__setattr__(self, "size_bytes", size_bytes)


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
        seq: What has been sent before, and is not here: the numbers go on after it.
    """

    def __init__(self, epoch: str, *, history_size: int, seq: int = 0) -> None:
        self.epoch, self.seq = epoch, seq
        self._history_size = history_size
        self._finals: dict[str, Entry] = {}
        self._drafts: dict[str, Entry] = {}
        # Finals up to this number may be missing here; those after it are all here.
        self._forgotten = seq

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

    def lack(self, since: int | None = None, epoch: str | None = None) -> Lack | None:
        """Return what has to be asked of the table for a viewer; None when all is held.

        For a viewer that has seen another run, or a part of this one that is not known, it is
        the whole run.
        """
        after = 0
        if since is None:
            if len(self._finals) >= self._history_size:
                return None
            after = max(self._forgotten - self._history_size * DRAFTS_PER_FINAL, 0)
        elif epoch == self.epoch and since <= self.seq:
            after = since
        if after >= self._forgotten:
            return None
        return Lack(self.epoch, after, self._forgotten, self.seq)

    def catch_up(
        self, since: int | None = None, epoch: str | None = None, older: Older | None = None
    ) -> CatchUp:
        """Return what a viewer lacks whose last transcript was ``since`` in ``epoch``.

        All that followed, when it is all here or in ``older``; else what there is of the run,
        never a part of the gap that looks like the whole. A newcomer gets the last finals.
        """
        if older is not None and older.epoch != self.epoch:
            older = None  # the session was started anew while the table was read
        finals = self._finals_with(older)
        recovered = None
        if since is None:
            finals = finals[max(len(finals) - self._history_size, 0) :]
        elif recovered := self._bridges(since, epoch, older):
            finals = [each for each in finals if each.seq > since]
        ended = {each.utterance_id for each in older.entries} if older else ()
        drafts = [each.payload for each in self._drafts.values() if each.utterance_id not in ended]
        return CatchUp(self.seq, [each.payload for each in finals], drafts, recovered)

    def _bridges(self, since: int, epoch: str | None, older: Older | None) -> bool:
        if epoch != self.epoch or since > self.seq:
            return False
        if since >= self._forgotten:
            return True
        return older is not None and older.after <= since and self._forgotten <= older.to

    def _finals_with(self, older: Older | None) -> list[Entry]:
        """Return all finals by their numbers, the latest revision of each utterance."""
        if older is None:
            return list(self._finals.values())
        latest = {each.utterance_id: each for each in older.entries}
        for each in self._finals.values():
            known = latest.get(each.utterance_id)
            if known is None or each.rev >= known.rev:
                latest[each.utterance_id] = each
        return sorted(latest.values(), key=lambda each: each.seq)

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

"""What viewers were shown of one session, and whether the promise about drafts was kept. Pure.

The promise: every draft ends in exactly one final, soon after it last changed; ``seq`` and
each utterance's ``rev`` have no holes and never go back. The assembler keeps it; the ledger
knows nothing of how, and so can tell when it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum

from realtime_core.model import Transcript

MOST_FINALS = 1024
"""Finals whose ``rev`` is remembered; the assembler does not go further back."""


class Broken(Enum):
    """How the promise can be broken, as the metric says it."""

    LATE = "late"
    UNENDED = "unended"
    REOPENED = "reopened"
    DISORDER = "disorder"


class Ledger:
    """Notes each transcript as it is shown.

    Args:
        limit_s: How long a draft may stay as it is.
        seq: The number that was given last.
        finals: How many utterances had a final before.
        drafts: What an earlier process has shown; their time begins with :meth:`resume`.

    Attributes:
        finals: Utterances that have a final; one that was replaced counts once.
        heard_to_s: Where on the session clock the last speech that was shown ends.
        broken: How often the promise was broken, by how.
    """

    def __init__(
        self,
        *,
        limit_s: float,
        seq: int = 0,
        finals: int = 0,
        drafts: Iterable[Transcript] = (),
    ) -> None:
        self.seq, self.finals, self.heard_to_s = seq, finals, 0.0
        self.broken: Counter[Broken] = Counter()
        self._limit_s = limit_s
        self._revs: dict[str, int] = {}  # of what is final, oldest first
        self._open = {draft.utterance_id: draft for draft in drafts}
        self._changed_at: dict[str, float] = {}
        self._late: set[str] = set()

    @property
    def open_drafts(self) -> tuple[Transcript, ...]:
        """The last snapshot of each draft that has no final yet."""
        return tuple(self._open.values())

    def resume(self, now: float) -> None:
        """Give the drafts of an earlier process their time from now on."""
        self._changed_at = dict.fromkeys(self._open, now)

    def note(self, transcript: Transcript, now: float) -> None:
        """Note a transcript that is about to be shown at loop time ``now``."""
        name, before = transcript.utterance_id, self._open.get(transcript.utterance_id)
        last_rev = before.rev if before else self._revs.get(name, 0)
        if transcript.seq != self.seq + 1 or transcript.rev <= last_rev:
            self.broken[Broken.DISORDER] += 1
        self.check(now)
        self.seq = transcript.seq
        self.heard_to_s = max(self.heard_to_s, transcript.end_s)
        if transcript.is_final:
            self._end(name, transcript.rev)
            return
        self.broken[Broken.REOPENED] += name in self._revs
        self._open[name] = transcript
        if before is None or before.text != transcript.text:
            self._changed_at[name] = now

    def check(self, now: float) -> None:
        """Look for drafts that should have ended by loop time ``now``."""
        due = now - self._limit_s
        late = {name for name, at in self._changed_at.items() if at < due} - self._late
        self._late |= late
        self.broken[Broken.LATE] += len(late)

    def finish(self) -> None:
        """Note that nothing more will be shown."""
        self.broken[Broken.UNENDED] += len(self._open)
        self._open.clear()
        self._changed_at.clear()

    def _end(self, name: str, rev: int) -> None:
        self.finals += name not in self._revs
        self._revs[name] = rev
        if len(self._revs) > MOST_FINALS:
            del self._revs[next(iter(self._revs))]
        self._open.pop(name, None)
        self._changed_at.pop(name, None)
        self._late.discard(name)

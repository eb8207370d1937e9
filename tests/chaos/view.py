"""What a viewer shows, and all it ever saw: a well-written client without its socket. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """The latest revision of a final that a viewer has. Times are on the session clock."""

    rev: int
    seq: int
    text: str
    start_s: float
    end_s: float


class View:
    """One viewer's screen and memory, over all its connections.

    Attributes:
        finals: What is shown, by utterance.
        drafts: The revisions of the drafts that are shown.
        seen: The latest revision of each final that was ever shown, and its text.
        drafted: Every utterance of which a draft was shown.
        first_at: When each final came for the first time, if it came live.
        epoch, seq: What it would resume with.
        whole_after: The numbers after this one must all have been seen.
        gaps: The losses it was told of.
        faults: What no server may do, counted.
    """

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.finals: dict[str, Shown] = {}
        self.drafts: dict[str, int] = {}
        self.seen: dict[str, tuple[int, str]] = {}
        self.drafted: set[str] = set()
        self.first_at: dict[str, float] = {}
        self.epoch: str | None = None
        self.seq: int | None = None
        self.whole_after = 0
        self.gaps: set[tuple[float, float]] = set()
        self.faults: Counter[str] = Counter()
        self.is_over = False

    def take(self, message: Message, now: float) -> None:
        """Show what the server said at Unix time ``now``."""
        match message["type"]:
            case "ready":
                self._ready(message)
            case "transcript":
                self._transcript(message, now)
            case "gap":
                self.gaps.add((message["from"], message["to"]))
            case "status":
                self.is_over = message["state"] == "ended"
            case "error" if message["code"] == "shutting_down":
                pass  # its session is suspended, and the next process has it
            case _:
                self.faults[f"said {message['type']}"] += 1

    def _ready(self, message: Message) -> None:
        whole = message.get("recovered") is True
        if not whole:
            self.finals, self.whole_after = {}, message["seq"]
        if whole and message["epoch"] != self.epoch:
            self.faults["recovered another epoch"] += 1
        self._check_history(message["history"], after=self.seq if whole else None)
        for final in message["history"]:
            self._show(final)
        listed = {draft["utteranceId"]: draft["rev"] for draft in message["drafts"]}
        self.drafted |= set(listed)
        self.drafts = listed
        self.epoch, self.seq = message["epoch"], message["seq"]

    def _check_history(self, history: list[Message], *, after: int | None) -> None:
        numbers = [final["seq"] for final in history]
        if numbers != sorted(set(numbers)):
            self.faults["history out of order"] += 1
        if after is not None and any(number <= after for number in numbers):
            self.faults["history repeated"] += 1

    def _transcript(self, message: Message, now: float) -> None:
        if self.seq is not None and message["seq"] <= self.seq:
            self.faults["seq went back"] += 1
        self.seq = max(self.seq or 0, message["seq"])
        name = message["utteranceId"]
        if message["isFinal"]:
            if message["finalizedBy"] == "stt":
                self.first_at.setdefault(name, now)
            self.drafts.pop(name, None)
            self._show(message)
        elif name in self.seen:
            self.faults["draft after final"] += 1
        else:
            self.drafted.add(name)
            self.drafts[name] = message["rev"]

    def _show(self, final: Message) -> None:
        name, rev, text = final["utteranceId"], final["rev"], final["text"]
        known = self.seen.get(name)
        if known is not None and known[0] == rev and known[1] != text:
            self.faults["one rev, two texts"] += 1
        if known is None or rev > known[0]:
            self.seen[name] = rev, text
        shown = self.finals.get(name)
        if shown is None or rev > shown.rev:
            times = final["startedAt"], final["endedAt"]
            self.finals[name] = Shown(rev, final["seq"], text, *times)

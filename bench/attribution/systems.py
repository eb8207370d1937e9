"""What is compared: a thing that is told what the service is told, and shows words with speakers.

All clocks are one here: the session's position that is live at loop time ``t`` is ``t``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bench.attribution.reports import Report
from bench.attribution.scenarios import Simulated
from realtime_core.model import ROOM_SPEAKER, SpeechHeard

NOBODY = ROOM_SPEAKER

WordKey = tuple[str, float]
"""Utterance and start name a word; no two words of an utterance begin at the same time."""


Event = Report | SpeechHeard | None
"""What happens; None is a publisher that has come anew."""


class System(Protocol):
    """Something that says who spoke each word. Moments do not go back."""

    def report(self, report: Report) -> None:
        """A client's report has come."""

    def hear(self, heard: SpeechHeard) -> None:
        """Speech-to-text has sent a draft or a final."""

    def republished(self, at_s: float) -> None:
        """Another publisher has come."""

    def advance(self, now: float) -> None:
        """Time has come to ``now``; nothing else has happened since the last call."""

    def seen(self) -> Seen:
        """Return what viewers have seen so far."""


@dataclass(frozen=True, slots=True)
class LagSeen:
    """What a system believed of the lag at a moment."""

    at_s: float
    lag_s: float
    confidence: float


@dataclass(slots=True)
class Cost:
    """What a system took; times are this thread's processor time.

    Attributes:
        again_s: For looking again at what was final.
        held_bytes: The most that it held in memory, pickled.
    """

    finals: int = 0
    finals_s: float = 0.0
    again_s: float = 0.0
    drafts: int = 0
    drafts_s: float = 0.0
    reports: int = 0
    reports_s: float = 0.0
    held_bytes: int = 0


@dataclass(slots=True)
class Seen:
    """What viewers have seen of a system.

    Attributes:
        speaker: Who said each word of a final, as it was shown last.
        relabels: How often a final got another speaker, or was cut otherwise, after it was shown.
        lags: What it believed of the lag, about once a second.
        cost: What it took.
    """

    speaker: dict[WordKey, str] = field(default_factory=dict)
    relabels: int = 0
    lags: list[LagSeen] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)


class _Due(NamedTuple):
    at_s: float
    rank: int
    event: Event


def name_of(who: int | None) -> str | None:
    """Return the identity of a speaker."""
    return None if who is None else f"person{who}"


def play(meeting: Simulated, system: System) -> Seen:
    """Tell a system everything that happens, in the order in which it does."""
    for at_s, event in _events(meeting):
        system.advance(at_s)
        if isinstance(event, Report):
            system.report(event)
        elif isinstance(event, SpeechHeard):
            system.hear(event)
        else:
            system.republished(at_s)
    system.advance(meeting.length_s + 60)
    return system.seen()


def _events(meeting: Simulated) -> Iterator[tuple[float, Event]]:
    reports = [_Due(each.arrived_at, 0, each) for each in meeting.reports]
    messages = [each for utterance in meeting.utterances for each in utterance.messages]
    heard = [_Due(each.received_at, 1, each) for each in messages]
    again = [_Due(each.from_s, 2, None) for each in meeting.egress.publishes[1:]]
    for due in sorted([*reports, *heard, *again], key=lambda each: (each.at_s, each.rank)):
        yield due.at_s, due.event

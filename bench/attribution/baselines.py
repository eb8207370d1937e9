"""What others do, and what could be done with the lag known: the systems beside ours."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

from bench.attribution.reports import INTERVAL_S, Report
from bench.attribution.systems import NOBODY, LagSeen, Seen, name_of
from realtime_core.model import SpeechHeard

FIXED_LAG_S = 2.0
"""Ours begins with the same."""
REACH_S = INTERVAL_S / 2


class AtArrival:
    """The original: a final is said by whoever is the active speaker when it arrives."""

    def __init__(self) -> None:
        self._seen = Seen()
        self._active: str | None = None

    def report(self, report: Report) -> None:
        """Remember who speaks; a client that sees nobody says nothing, as the original's do."""
        self._active = name_of(report.who) or self._active

    def hear(self, heard: SpeechHeard) -> None:
        """Give all words of a final to the active speaker."""
        for word in heard.words:
            self._seen.speaker[heard.utterance_id, word.start_s] = self._active or NOBODY

    def republished(self, at_s: float) -> None:
        """Nothing is known of publishers."""

    def advance(self, now: float) -> None:
        """Nothing is done later."""

    def seen(self) -> Seen:
        """Return what was shown."""
        return self._seen


class ReportLog:
    """Reports in the order of a time. Each stands for half an interval before it and after it:

    it describes the moment at which it was made, and who speaks changes between two of them.
    """

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._reports: list[Report] = []

    def add(self, at_s: float, report: Report) -> None:
        """Take a report."""
        place = bisect_left(self._times_s, at_s)
        self._times_s.insert(place, at_s)
        self._reports.insert(place, report)

    def most(self, from_s: float, to_s: float) -> str | None:
        """Return who was reported for the longest time in there; None if nobody was."""
        first = bisect_left(self._times_s, from_s - REACH_S)
        behind = bisect_left(self._times_s, to_s + REACH_S)
        spoken_s: defaultdict[int, float] = defaultdict(float)
        for place in range(first, behind):
            at_s, who = self._times_s[place], self._reports[place].who
            if who is not None:
                spoken_s[who] += min(at_s + REACH_S, to_s) - max(at_s - REACH_S, from_s)
        return name_of(max(spoken_s, key=lambda who: (spoken_s[who], -who), default=None))


class FixedLag:
    """Overlap with turns that are shifted by a constant, by utterance: what peers do."""

    def __init__(self, lag_s: float = FIXED_LAG_S) -> None:
        self._seen, self._log, self._lag_s = Seen(), ReportLog(), lag_s

    def report(self, report: Report) -> None:
        """Date a report by its arrival."""
        self._log.add(report.arrived_at, report)

    def hear(self, heard: SpeechHeard) -> None:
        """Give all words of a final to whoever was reported most while it was spoken."""
        if not heard.is_final:
            return
        who = self._log.most(heard.start_s - self._lag_s, heard.end_s - self._lag_s)
        who = who or self._log.most(heard.received_at - 2.0, heard.received_at) or NOBODY
        for word in heard.words:
            self._seen.speaker[heard.utterance_id, word.start_s] = who

    def republished(self, at_s: float) -> None:
        """The lag is what it is."""

    def advance(self, now: float) -> None:
        """Nothing is done later."""

    def seen(self) -> Seen:
        """Return what was shown."""
        self._seen.lags = [LagSeen(0.0, self._lag_s, 1.0)]
        return self._seen


class OracleLag:
    """Overlap word by word, by one who knows the lag, and when each report was made.

    Args:
        lag_at: The effective lag at a moment of the session clock.
    """

    def __init__(self, lag_at: Callable[[float], float]) -> None:
        self._log, self._lag_at = ReportLog(), lag_at
        self._finals: list[SpeechHeard] = []

    def report(self, report: Report) -> None:
        """Date a report by the truth."""
        self._log.add(report.made_at, report)

    def hear(self, heard: SpeechHeard) -> None:
        """Remember a final: an oracle may wait for late reports."""
        self._finals += [heard] if heard.is_final else []

    def republished(self, at_s: float) -> None:
        """The oracle knows."""

    def advance(self, now: float) -> None:
        """Nothing is done later."""

    def seen(self) -> Seen:
        """Return who was reported most while each word was spoken."""
        return Seen(
            {
                (heard.utterance_id, word.start_s): self._who(word.start_s, word.end_s)
                for heard in self._finals
                for word in heard.words
            }
        )

    def _who(self, start_s: float, end_s: float) -> str:
        lag_s = self._lag_at(start_s)
        return self._log.most(start_s - lag_s, end_s - lag_s) or NOBODY

"""The service's own attribution, driven as its captioner drives it."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence

from bench.attribution.baselines import FIXED_LAG_S
from bench.attribution.reports import Report
from bench.attribution.systems import LagSeen, Seen, WordKey, name_of
from realtime_core.model import SpeakerSample, SpeechHeard, Transcript
from realtime_core.transcript.assembler import Assembler
from realtime_core.transcript.report_clock import ReportClock
from realtime_core.transcript.speakers import SpeakerTimeline

SESSION = "simulated"
LOOK_AT_LAG_S, WEIGH_S = 1.0, 30.0


class Ours:
    """Report clock, speakers and assembler of one session."""

    def __init__(self) -> None:
        self._seen = Seen()
        self._reports = ReportClock()
        self._speakers = SpeakerTimeline(lag_s=FIXED_LAG_S)
        self._assembler = Assembler(SESSION, self._speakers)
        self._viewer = Viewer(self._seen)
        self._now = self._looked_at = self._weighed_at = 0.0

    def report(self, report: Report) -> None:
        """As ``Captioner.report_speaker``."""
        began_s = time.thread_time()
        client, now, identity = f"client{report.client}", report.arrived_at, name_of(report.who)
        said_at = now - self._reports.age_s(client, now, report.said_at)
        self._speakers.report(
            SpeakerSample(identity, identity or "", said_at, client, report.is_own)
        )
        self._seen.cost.reports_s += time.thread_time() - began_s
        self._seen.cost.reports += 1

    def hear(self, heard: SpeechHeard) -> None:
        """As ``Captioner.hear``."""
        now, cost, began_s = heard.received_at, self._seen.cost, time.thread_time()
        sent = self._assembler.hear(heard, now, now)
        spent_s = time.thread_time() - began_s
        if heard.is_final:
            cost.finals, cost.finals_s = cost.finals + 1, cost.finals_s + spent_s
        else:
            cost.drafts, cost.drafts_s = cost.drafts + 1, cost.drafts_s + spent_s
        self._viewer.see(sent)

    def republished(self, at_s: float) -> None:
        """As ``Captioner.republished``."""
        self._speakers.republished(at_s)

    def advance(self, now: float) -> None:
        """Run the assembler's timer for as long as it is due."""
        while (due_at := self._assembler.due_at()) is not None and due_at <= now:
            at, began_s = max(due_at, self._now), time.thread_time()
            sent = self._assembler.expire(at, at)
            self._seen.cost.again_s += time.thread_time() - began_s
            self._viewer.see(sent)
        self._now = now
        self._look(now)

    def seen(self) -> Seen:
        """Return what viewers have seen."""
        return self._seen

    def _look(self, now: float) -> None:
        if now - self._looked_at >= LOOK_AT_LAG_S:
            lag, self._looked_at = self._speakers.lag, now
            self._seen.lags.append(LagSeen(now, lag.lag_s, lag.confidence))
        if now - self._weighed_at >= WEIGH_S:
            self._weighed_at = now
            held_bytes = len(pickle.dumps((self._speakers, self._reports)))
            self._seen.cost.held_bytes = max(self._seen.cost.held_bytes, held_bytes)


class Viewer:
    """Shows transcripts as a client does: of each id the newest; an empty one takes it back."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._part: dict[WordKey, str] = {}
        self._words: dict[str, set[WordKey]] = {}  # by utterance

    def see(self, sent: Sequence[Transcript]) -> None:
        """Take what was sent at once."""
        finals = [each for each in sent if each.is_final]
        before = {name: self._whole(name) for name in map(_utterance, finals)}
        for final in finals:
            self._show(final)
        for name, shown in before.items():
            self._seen.relabels += bool(shown) and shown != self._whole(name)

    def _show(self, final: Transcript) -> None:
        name = _utterance(final)
        keys = self._words.setdefault(name, set())
        for key in [each for each in keys if self._part[each] == final.utterance_id]:
            keys.remove(key)
            del self._part[key], self._seen.speaker[key]
        for word in final.words:
            key = (name, word.start_s)
            keys.add(key)
            self._part[key] = final.utterance_id
            self._seen.speaker[key] = final.speaker_id

    def _whole(self, name: str) -> list[str]:
        return [self._seen.speaker[key] for key in sorted(self._words.get(name, ()))]


def _utterance(final: Transcript) -> str:
    """Return the provider's id of the utterance that this is, or is a part of."""
    return final.utterance_id.partition("-")[2].partition(".")[0]

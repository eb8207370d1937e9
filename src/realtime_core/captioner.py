"""From what was heard to what is shown and stored, for one session.

It keeps the session clock, runs the assembler and its timer, and hands each transcript to
the store first and to viewers second: a final that was seen is in the journal, and what a
draft owes is known to the next process. Nothing here waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import (
    AudioGap,
    FinalizedBy,
    FinalRow,
    SessionRecord,
    SpeakerReport,
    SpeakerSample,
    SpeechHeard,
    Transcript,
)
from realtime_core.transcript.assembler import Assembler
from realtime_core.transcript.lag import LagEstimate
from realtime_core.transcript.ledger import Ledger
from realtime_core.transcript.report_clock import ReportClock
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline
from realtime_core.transcript.timekeeper import Placed, Timekeeper

log = get_logger("captioner")

LOUD = 600
"""Amplitude (of 32 767) above which audio counts as speech; only for the quiet warning."""
LOUD_STRIDE = 32
EARLY_SAMPLES = 1024
"""Speaker reports kept from before the first audio, which egress delivers seconds late."""
TRAILING_S = 1.0
"""Sound this long after an utterance belongs to it, or is none."""
SURE = 0.5
"""An estimate of the lag that the next process is to begin with has to be so sure."""
PROMISE_MARGIN_S = 1.0
"""How long after its time-out a draft may still be open: timers of a busy loop run late."""


@dataclass(slots=True)
class Tally:
    """What came out of a session so far. Moments are on the event loop's clock.

    Attributes:
        finals: Utterances that have a final; a final that is replaced counts once.
    """

    drafts: int = 0
    finals: int = 0
    last_transcript_at: float | None = None
    last_speech_at: float | None = None


class Captioner:
    """Turns speech heard in one session into transcripts with names.

    Args:
        record: The session, as it begins or as an earlier process left it. In the latter
            case its clock, its numbering and its open drafts are gone on with.
        publish: Takes each transcript to viewers.
        store: Takes each final to the journal, with the session's record as it is then;
            called before ``publish``.
        save: Keeps the session's record.
        speakers: Who spoke when, of this session only.
        wall: Returns the seconds since 1970, in UTC.
    """

    def __init__(
        self,
        record: SessionRecord,
        *,
        publish: Callable[[Transcript], object],
        store: Callable[[FinalRow, SessionRecord], object],
        save: Callable[[SessionRecord], object],
        metrics: Metrics,
        draft_timeout_s: float,
        speakers: SpeakerTimeline,
        relabel_window_s: float = 15.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.tally = Tally(finals=record.finals)
        self._record, self._save, self._wall = record, save, wall
        self._publish, self._store, self._metrics = publish, store, metrics
        self._ledger = Ledger(
            limit_s=draft_timeout_s + PROMISE_MARGIN_S,
            seq=record.seq,
            finals=record.finals,
            drafts=record.drafts,
        )
        self._broken: Counter[str] = Counter()
        self._sources: Counter[SpeakerSource] = Counter()
        self._relabelled = 0
        self._timer: asyncio.TimerHandle | None = None
        self._early: deque[SpeakerSample] = deque(maxlen=EARLY_SAMPLES)  # by loop time
        self._reports = ReportClock()
        self._time = Timekeeper(record.zero_at, record.heard_to_s)
        self._speakers = speakers
        self._assembler = Assembler(
            record.slug,
            self._speakers,
            draft_timeout_s=draft_timeout_s,
            relabel_window_s=relabel_window_s,
            first_seq=record.seq + len(record.drafts) + 1,
        )

    @property
    def record(self) -> SessionRecord:
        """What the next process would have to know now."""
        ledger, before, lag = self._ledger, self._record, self._speakers.lag
        # Not dataclasses.replace, which costs three times as much: each transcript comes by here.
        return SessionRecord(
            before.slug,
            before.epoch,
            before.options,
            created_at=before.created_at,
            was_published=before.was_published,
            is_ending=before.is_ending,
            zero_at=before.zero_at,
            seq=ledger.seq,
            finals=ledger.finals,
            heard_to_s=max(before.heard_to_s, ledger.heard_to_s),
            drafts=ledger.open_drafts,
            speaker_lag_s=lag.lag_s if lag.confidence >= SURE else before.speaker_lag_s,
        )

    @property
    def speaker_lag(self) -> LagEstimate:
        """How much later speech comes in the audio than reports of its speaker."""
        return self._speakers.lag

    def note(self, *, was_published: bool, is_ending: bool) -> None:
        """Note how far the session has come in its life, and keep its record."""
        self._record = replace(self._record, was_published=was_published, is_ending=is_ending)
        self._save(self.record)

    def go_on(self) -> None:
        """End the drafts that an earlier process has shown; to be called once, first."""
        self._ledger.resume(_now())
        for seq, draft in enumerate(self._record.drafts, self._record.seq + 1):
            final = replace(
                draft,
                is_final=True,
                finalized_by=FinalizedBy.TIMEOUT,
                seq=seq,
                rev=draft.rev + 1,
                received_at=_now(),
            )
            self._deliver_one(final)

    def audio_came(self) -> None:
        """Note that audio came in, whose PCM follows."""
        self._time.audio_came(_now())

    def audio_arrived(self, pcm: bytes) -> AudioGap | None:
        """Note that the session clock went on by so much decoded audio.

        Returns:
            What was lost before it: in a restart, or on the way to here.
        """
        now, is_first = _now(), not self._time.has_begun
        gap = self._time.arrived(now, self._wall(), pcm)
        if is_first:
            self._first_audio(gap)
        samples = memoryview(pcm).cast("h")[::LOUD_STRIDE]
        if len(samples) and max(samples) > LOUD:
            self.tally.last_speech_at = now
        return gap

    def audio_ended(self) -> AudioGap | None:
        """Note that no more audio comes; return what was lost at its end."""
        return self._time.ended()

    def owed_s(self, held_s: float) -> float:
        """Return how much is missing before audio that comes now.

        Args:
            held_s: What is still in the decoder.
        """
        return self._time.owed_s(_now(), held_s)

    def silence_due(self) -> bytes:
        """Return the silence that brings the session clock up to now; perhaps none.

        For a session whose publisher sends nothing: its clock goes on.
        """
        return self._time.silence_due(_now())

    def report_speaker(self, report: SpeakerReport) -> None:
        """A client says who is speaking now."""
        self._metrics.speaker_samples.inc()
        said_at = _now() - self._reports.age_s(report.client, _now(), report.said_at)
        sample = SpeakerSample(report.identity, report.name, said_at, report.client, report.is_own)
        if not self._time.has_begun:
            self._early.append(sample)
        else:
            self._speakers.report(replace(sample, at_s=self._now_s() - (_now() - said_at)))
            self._arm()

    def republished(self) -> None:
        """Note that another publisher came, whose audio may be later or earlier than before."""
        self._speakers.republished(self._now_s())

    def hear(self, heard: SpeechHeard) -> None:
        """Take a draft or a final from speech-to-text."""
        heard = self.placed(heard)
        self._metrics.stt_latency.observe(self._time.at(heard.received_at) - heard.end_s)
        self._deliver(self._assembler.hear(heard, _now(), self._now_s()))

    def placed(self, event: Placed) -> Placed:
        """Move what speech-to-text says to the session clock."""
        return self._time.placed(event)

    def finish(self) -> None:
        """End what is still draft. Nothing is shown or stored afterwards."""
        self._deliver(self._assembler.finish(_now(), self._now_s()))
        if self._timer is not None:
            self._timer.cancel()
        self._ledger.finish()
        self.check_promises()

    def suspend(self) -> None:
        """Keep the record for the next process, after :meth:`finish`: all audio was heard."""
        heard_to_s = max(self._record.heard_to_s, self._time.position_s)
        self._record = replace(self._record, heard_to_s=heard_to_s)
        self._save(self.record)

    def keep_position(self) -> None:
        """Keep how far audio was heard, so that a killed process leaves no longer gap than it must.

        What was said after the last transcript is still on its way, and not heard yet.
        """
        spoken_at, heard_to_s = self.tally.last_speech_at, self.record.heard_to_s
        if spoken_at is None or self._time.at(spoken_at) <= heard_to_s + TRAILING_S:
            self._record = replace(self._record, heard_to_s=max(heard_to_s, self._time.position_s))
            self._save(self.record)

    def check_promises(self) -> None:
        """Count what was promised to viewers and not kept, and say so."""
        self._ledger.check(_now())
        broken = Counter({kind.value: count for kind, count in self._ledger.broken.items()})
        for kind, count in (broken - self._broken).items():
            self._metrics.promises_broken.labels(kind).inc(count)
            log.error("Promise to viewers broken", kind=kind, count=count)
        self._broken = broken

    def _first_audio(self, gap: AudioGap | None) -> None:
        self._record = replace(self._record, zero_at=self._time.zero_at)
        self._save(self.record)
        for sample in self._early:
            at_s = self._time.position_at(sample.at_s)
            self._speakers.report(replace(sample, at_s=at_s))
        self._early.clear()
        if gap is not None:
            self._metrics.audio_dropped_seconds.labels("restart").inc(gap.to_s - gap.from_s)

    def _now_s(self) -> float:
        return self._time.at(_now())

    def _deliver(self, transcripts: Sequence[Transcript]) -> None:
        try:
            for transcript in transcripts:
                self._deliver_one(transcript)
        finally:
            self._arm()

    def _deliver_one(self, transcript: Transcript) -> None:
        self.tally.last_transcript_at = _now()
        self._ledger.note(transcript, _now())
        if transcript.is_final:
            self._count_final(transcript)
            self._store(self._row(transcript), self.record)
        else:
            self.tally.drafts += 1
            self._save(self.record)
        self._publish(transcript)

    def _count_final(self, transcript: Transcript) -> None:
        self.tally.finals = self._ledger.finals
        by = transcript.finalized_by or FinalizedBy.STT
        self._metrics.finalized.labels(by.value).inc()
        statistics = self._assembler.statistics()
        self._metrics.relabels.inc(statistics.relabelled - self._relabelled)
        self._relabelled = statistics.relabelled
        sources = Counter(statistics.sources)
        for source, count in (sources - self._sources).items():
            self._metrics.attributions.labels(source.value).inc(count)
        self._sources = sources
        lag = self._speakers.lag
        self._metrics.speaker_lag_seconds.observe(lag.lag_s)
        self._metrics.speaker_lag_confidence.observe(lag.confidence)

    def _arm(self) -> None:
        """See that the timer runs no later than something is due; it may run earlier."""
        due_at = self._assembler.due_at()
        if due_at is None or (self._timer is not None and self._timer.when() <= due_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due_at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._deliver(self._assembler.expire(_now(), self._now_s()))

    def _row(self, transcript: Transcript) -> FinalRow:
        zero = self._record.zero_at if self._record.zero_at is not None else self._wall()
        return FinalRow(
            session_slug=transcript.session_slug,
            epoch=self._record.epoch,
            utterance_id=transcript.utterance_id,
            rev=transcript.rev,
            seq=transcript.seq,
            text=transcript.text,
            speaker=transcript.speaker,
            speaker_id=transcript.speaker_id,
            speaker_confidence=transcript.speaker_confidence,
            language=transcript.language,
            confidence=transcript.confidence,
            words=transcript.words,
            finalized_by=transcript.finalized_by or FinalizedBy.STT,
            started_at=zero + transcript.start_s,
            ended_at=zero + transcript.end_s,
            received_at=self._wall() - max(_now() - transcript.received_at, 0.0),
            speakers=transcript.speakers,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()

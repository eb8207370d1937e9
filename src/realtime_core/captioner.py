"""From what was heard to what is shown and stored, for one session.

It keeps the session clock, runs the assembler and its timer, and hands each transcript to
the store first and to viewers second: a final that was seen is in the journal. Nothing
here waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from realtime_core.metrics import Metrics
from realtime_core.model import (
    BYTES_PER_SAMPLE,
    SAMPLE_RATE_HZ,
    FinalizedBy,
    FinalRow,
    SpeakerSample,
    SpeechHeard,
    Transcript,
    seconds_of,
)
from realtime_core.transcript.assembler import Assembler
from realtime_core.transcript.clock import SessionClock
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline

LOUD = 600
"""Amplitude (of 32 767) above which audio counts as speech; only for the quiet warning."""
LOUD_STRIDE = 32
EARLY_SAMPLES = 64
"""Speaker reports kept from before the first audio, which egress delivers seconds late."""


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
        epoch: Names this run of the session.
        publish: Takes each transcript to viewers.
        store: Takes each final to the journal; called before ``publish``.
    """

    def __init__(
        self,
        slug: str,
        epoch: str,
        *,
        publish: Callable[[Transcript], object],
        store: Callable[[FinalRow], object],
        metrics: Metrics,
        draft_timeout_s: float,
        speaker_lag_s: float,
    ) -> None:
        self.tally = Tally()
        self._epoch = epoch
        self._publish, self._store, self._metrics = publish, store, metrics
        self._final_ids: set[str] = set()
        self._sources: Counter[SpeakerSource] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._pcm_bytes = 0
        self._wall_zero: float | None = None
        self._early: deque[SpeakerSample] = deque(maxlen=EARLY_SAMPLES)
        self._clock = SessionClock()
        self._speakers = SpeakerTimeline(lag_s=speaker_lag_s)
        self._assembler = Assembler(slug, self._speakers, draft_timeout_s=draft_timeout_s)

    def audio_arrived(self, pcm: bytes) -> None:
        """Note that the session clock went on by so much decoded audio."""
        now = _now()
        self._pcm_bytes += len(pcm)
        self._clock.audio_arrived(now, seconds_of(self._pcm_bytes))
        if self._wall_zero is None:
            self._first_audio(now, seconds_of(len(pcm)))
        samples = memoryview(pcm).cast("h")[::LOUD_STRIDE]
        if len(samples) and max(samples) > LOUD:
            self.tally.last_speech_at = now

    def silence_due(self) -> bytes:
        """Return the silence that brings the session clock up to now; perhaps none.

        For a session whose publisher sends nothing: its clock goes on.
        """
        silence = bytes(int(self._clock.behind_s(_now()) * SAMPLE_RATE_HZ) * BYTES_PER_SAMPLE)
        self._pcm_bytes += len(silence)
        self._clock.audio_arrived(_now(), seconds_of(self._pcm_bytes))
        return silence

    def report_speaker(self, identity: str, name: str) -> None:
        """A client says who is speaking now."""
        self._metrics.speaker_samples.inc()
        if self._wall_zero is None:
            self._early.append(SpeakerSample(identity, name, _now()))
        else:
            self._speakers.report(SpeakerSample(identity, name, self._now_s()))

    def hear(self, heard: SpeechHeard) -> None:
        """Take a draft or a final from speech-to-text."""
        self._metrics.stt_latency.observe(self._clock.at(heard.received_at) - heard.end_s)
        self._deliver(self._assembler.hear(heard, _now(), self._now_s()))

    def finish(self) -> None:
        """End what is still draft. Nothing is shown or stored afterwards."""
        self._deliver(self._assembler.finish(_now(), self._now_s()))
        if self._timer is not None:
            self._timer.cancel()

    def _first_audio(self, now: float, length_s: float) -> None:
        # Fixed once, so that a correction of the wall clock cannot reorder captions.
        self._wall_zero = time.time() - length_s
        for sample in self._early:
            self._speakers.report(replace(sample, at_s=sample.at_s - now + length_s))
        self._early.clear()

    def _now_s(self) -> float:
        return self._clock.at(_now())

    def _deliver(self, transcripts: Sequence[Transcript]) -> None:
        try:
            for transcript in transcripts:
                self._deliver_one(transcript)
        finally:
            self._arm()

    def _deliver_one(self, transcript: Transcript) -> None:
        self.tally.last_transcript_at = _now()
        if transcript.is_final:
            self._count_final(transcript)
            self._store(self._row(transcript))
        else:
            self.tally.drafts += 1
        self._publish(transcript)

    def _count_final(self, transcript: Transcript) -> None:
        self._final_ids.add(transcript.utterance_id)
        self.tally.finals = len(self._final_ids)
        by = transcript.finalized_by or FinalizedBy.STT
        self._metrics.finalized.labels(by.value).inc()
        sources = Counter(self._assembler.statistics().sources)
        for source, count in (sources - self._sources).items():
            self._metrics.attributions.labels(source.value).inc(count)
        self._sources = sources

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_at = self._assembler.due_at()
        if due_at is not None:
            self._timer = asyncio.get_running_loop().call_at(due_at, self._expire)

    def _expire(self) -> None:
        self._deliver(self._assembler.expire(_now(), self._now_s()))

    def _row(self, transcript: Transcript) -> FinalRow:
        zero = self._wall_zero if self._wall_zero is not None else time.time()
        return FinalRow(
            session_slug=transcript.session_slug,
            epoch=self._epoch,
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
            received_at=time.time() - max(_now() - transcript.received_at, 0.0),
        )


def _now() -> float:
    return asyncio.get_running_loop().time()

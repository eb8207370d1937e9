"""Every metric, in one place: Prometheus names with base units, labels from enums only.

One :class:`Metrics` is built by ``app`` and handed to the shells; pure parts know nothing
of it. What each metric means, and what to do about it, is in ``docs/operations.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import overload

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime_core.counting import Distribution, Share, Tallies, Tally, Total, counter
from realtime_core.logs import get_logger, lines_dropped

__all__ = ["Latency", "Metrics", "Share", "Tally"]

SUMMARY_EVERY = 100
STT_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)
BROADCAST_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
DATABASE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
SPEAKER_LAG_BUCKETS = (0.25, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8)
SHARE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
ROWS_BUCKETS = (1, 2, 5, 10, 20, 30, 40, 50)

log = get_logger("metrics")


@dataclass
class Latency:
    """A histogram in seconds that also keeps what the JSON snapshot shows."""

    histogram: Distribution
    count: int = 0
    total_s: float = 0.0
    least_s: float = 0.0
    most_s: float = 0.0
    recorded: Callable[[], None] = lambda: None

    def observe(self, seconds: float) -> None:
        """Record one duration; a negative one (clocks differ) counts as 0."""
        seconds = max(seconds, 0.0)
        self.histogram.observe(seconds)
        self.least_s = min(self.least_s, seconds) if self.count else seconds
        self.most_s = max(self.most_s, seconds)
        self.count += 1
        self.total_s += seconds
        self.recorded()

    def snapshot(self) -> dict[str, float]:
        """Return the original system's shape: milliseconds over the whole life."""
        average_s = self.total_s / self.count if self.count else 0.0
        return {
            "count": self.count,
            "avgMs": round(average_s * 1000, 3),
            "minMs": round(self.least_s * 1000, 3),
            "maxMs": round(self.most_s * 1000, 3),
        }


class DroppedLines(Collector):
    """What the logs, which are the process's own, could not write."""

    def collect(self) -> Iterator[Metric]:
        """Yield the counter."""
        text = "Log lines not written, because nobody reads standard output"
        yield CounterMetricFamily("log_lines_dropped", text, value=lines_dropped())


class Metrics:
    """All metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._records = 0
        self._latencies()
        self._rtmp()
        self._audio()
        self._stt()
        self._transcripts()
        self._store()
        self._runtime()

    def exposition(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self.registry)

    def snapshot(self) -> dict[str, dict[str, float]]:
        """Return the original system's JSON snapshot."""
        return {name: latency.snapshot() for name, latency in self._by_original_name.items()}

    def count_transcript(self, *, is_final: bool) -> None:
        """Count a draft or final that leaves, whichever way it goes."""
        (self.finals if is_final else self.drafts).inc()

    def _latencies(self) -> None:
        self.stt_latency = self._latency(
            "gladia_stt_latency_seconds", "End of speech in the audio to transcript in", STT_BUCKETS
        )
        self.ingest_broadcast_latency = self._latency(
            "ingest_broadcast_latency_seconds",
            "Transcript in from Gladia to bytes handed to viewers",
            BROADCAST_BUCKETS,
        )
        self.ws_broadcast_loop = self._latency(
            "ws_broadcast_loop_seconds", "One pass over a session's viewers", BROADCAST_BUCKETS
        )
        self.http_post_latency = self._latency(
            "http_post_latency_seconds",
            "One broadcast by HTTP (REALTIME_BROADCAST_MODE=http)",
            DATABASE_BUCKETS,
        )
        self._by_original_name = {
            "gladia.stt_latency_ms": self.stt_latency,
            "ingest.broadcast_latency_ms": self.ingest_broadcast_latency,
            "ws.broadcast_loop_ms": self.ws_broadcast_loop,
            "http.post_latency_ms": self.http_post_latency,
        }

    def _rtmp(self) -> None:
        self.rtmp_connections = self._gauge("rtmp_connections", "Open RTMP connections")
        self.rtmp_publishers = self._gauge("rtmp_publishers", "RTMP connections that publish")
        self.rtmp_closed = self._counter(
            "rtmp_connections_closed_total", "RTMP connections that ended, by reason", "reason"
        )
        self.rtmp_bytes = self._counter("rtmp_received_bytes_total", "Bytes read from publishers")
        self.rtmp_messages = self._counter(
            "rtmp_messages_total", "RTMP messages read, by kind", "kind"
        )
        self.rtmp_gathering = self._gauge(
            "rtmp_gathering", "1 while the loop is so busy that audio is read two frames at a time"
        )
        self.rtmp_takeovers = self._counter(
            "rtmp_takeovers_total", "Publishes that replaced an older one on the same slug"
        )
        self.rtmp_refusals = self._counter(
            "rtmp_refusals_total", "Publishes that were refused, by reason", "reason"
        )

    def _audio(self) -> None:
        self.audio_received_bytes = self._counter(
            "audio_received_bytes_total", "AAC bytes handed to decoders"
        )
        self.audio_decoded_bytes = self._counter(
            "audio_decoded_bytes_total", "PCM bytes that came out of decoders"
        )
        self.audio_sent_bytes = self._counter(
            "audio_sent_bytes_total", "PCM bytes sent to speech-to-text, resends included"
        )
        self.audio_acknowledged_bytes = self._counter(
            "audio_acknowledged_bytes_total", "PCM bytes acknowledged by speech-to-text"
        )
        self.audio_dropped_seconds = self._counter(
            "audio_dropped_seconds_total", "Audio lost because a bound was hit, by stage", "stage"
        )
        self.decoder_queue_seconds = self._total(
            "decoder_queue_seconds", "Audio that waits for the decoder, over all sessions"
        )
        self.ffmpeg_starts = self._counter("ffmpeg_starts_total", "FFmpeg processes started")
        self.ffmpeg_start_wait = self._distribution(
            "ffmpeg_start_wait_seconds", "Time an FFmpeg waited for its turn to start", STT_BUCKETS
        )
        self.ffmpeg_restarts = self._counter("ffmpeg_restarts_total", "FFmpeg processes restarted")
        self.ffmpeg_exits = self._counter(
            "ffmpeg_exits_total", "FFmpeg processes that ended, by outcome", "outcome"
        )

    def _stt(self) -> None:
        self.stt_connections = self._gauge("stt_connections", "Open sockets to speech-to-text")
        self.stt_connects = self._counter("stt_connects_total", "Sockets opened", "kind")
        self.stt_drops = self._counter("stt_drops_total", "Sockets lost, by close code", "code")
        self.stt_refusals = self._counter(
            "stt_session_refusals_total", "Session requests refused, by HTTP status", "status"
        )
        self.stt_messages = self._counter("stt_messages_total", "Messages received", "type")
        self.stt_resent_bytes = self._counter(
            "stt_resent_bytes_total", "PCM bytes sent again after a drop"
        )
        self.stt_unacknowledged_seconds = self._total(
            "stt_unacknowledged_seconds", "Audio sent or waiting that is not acknowledged"
        )

    def _transcripts(self) -> None:
        self.drafts = self._counter("transcript_drafts_total", "Drafts broadcast")
        self.finals = self._counter("transcript_finals_total", "Finals broadcast")
        self.finalized = self._counter(
            "transcript_finalized_total", "Finals, by who finalised", "finalized_by"
        )
        self.attributions = self._counter(
            "transcript_attributions_total", "Where a final's speaker came from", "source"
        )
        self.relabels = self._counter(
            "transcript_relabels_total", "Finals sent again with another speaker or name"
        )
        self.speaker_lag_seconds = self._distribution(
            "speaker_lag_seconds",
            "How much later than its reports speech comes, as estimated at each final",
            SPEAKER_LAG_BUCKETS,
        )
        self.speaker_lag_confidence = self._distribution(
            "speaker_lag_confidence", "How sure that estimate is, 0 to 1", SHARE_BUCKETS
        )
        self.promises_broken = self._counter(
            "transcript_promises_broken_total",
            "Drafts without their one final in time, or numbers out of order; 0 is the promise",
            "kind",
        )
        self.viewers = self._gauge("viewers", "Open viewer connections")
        self.viewers_closed = self._counter("viewers_closed_total", "Viewers closed", "code")
        self.viewer_dropped = self._counter(
            "viewer_dropped_messages_total", "Drafts not written to a slow viewer"
        )
        self.viewers_slow = self._counter("viewers_slow_total", "Viewers closed as too slow")
        self.viewer_buffered_bytes = self._gauge(
            "viewer_buffered_bytes", "Bytes that wait for viewers, over all of them"
        )
        self.viewer_resumes = self._counter(
            "viewer_resumes_total", "Viewers that came back with `since`, by result", "recovered"
        )
        self.history_reads = self._counter(
            "history_reads_total", "Reads of the table for viewers, by what was found", "outcome"
        )
        self.http_posts_waiting = self._gauge(
            "http_posts_waiting", "Transcripts that wait to be posted by HTTP"
        )
        self.http_posts_lost = self._counter(
            "http_posts_lost_total", "Transcripts not delivered by HTTP, by kind", "kind"
        )
        self.speaker_samples = self._counter("speaker_samples_total", "Speaker reports taken")

    def _store(self) -> None:
        self.lost = self._counter("transcripts_lost_total", "Finals lost; 0 is the promise")
        self.stored = self._counter("transcripts_stored_total", "Finals committed to PostgreSQL")
        self.rejected = self._counter(
            "transcripts_rejected_total", "Finals PostgreSQL can never take; kept in the journal"
        )
        self.batch_rows = self._distribution("store_batch_rows", "Rows per batch", ROWS_BUCKETS)
        self.batch_seconds = self._distribution(
            "store_batch_seconds", "One batch", DATABASE_BUCKETS
        )
        self.batch_failures = self._counter(
            "store_batch_failures_total", "Batches that failed, by kind", "kind"
        )
        self.journal_rows = self._gauge("journal_rows", "Finals accepted and not yet committed")
        self.journal_bytes = self._gauge("journal_bytes", "Bytes of those finals")
        self.journal_oldest_seconds = self._gauge(
            "journal_oldest_seconds", "Age of the oldest final not yet committed"
        )

    def _runtime(self) -> None:
        self.sessions = Gauge("sessions", "Sessions, by state", ["state"], registry=self.registry)
        self.sessions_restored = self._counter(
            "sessions_restored_total", "Sessions gone on with after a restart of the service"
        )
        self.sessions_ended = self._counter(
            "sessions_ended_total", "Sessions that ended, by outcome", "outcome"
        )
        self.starts_refused = self._counter(
            "session_starts_refused_total", "Sessions not started for want of room", "reason"
        )
        self.capacity_short = Gauge(
            "capacity_short",
            "1 while there is too little of it for another session",
            ["of"],
            registry=self.registry,
        )
        self.quietest_seconds = self._gauge(
            "quietest_session_seconds",
            "Seconds since the last transcript of the quietest live session",
        )
        self.loop_lag = self._distribution(
            "event_loop_lag_seconds", "How late the event loop runs a timer", LAG_BUCKETS
        )
        self.loop_busy = self._gauge(
            "event_loop_busy_ratio", "Share of the last second in which the event loop worked"
        )
        self.registry.register(DroppedLines())

    def _latency(self, name: str, text: str, buckets: tuple[float, ...]) -> Latency:
        return Latency(self._distribution(name, text, buckets), recorded=self._summarise)

    def _summarise(self) -> None:
        self._records += 1
        if self._records % SUMMARY_EVERY == 0:
            log.info("Transcript delivery metrics", **self.snapshot())

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _total(self, name: str, text: str) -> Total:
        return Total(self.registry, name, text)

    def _distribution(self, name: str, text: str, bounds: tuple[float, ...]) -> Distribution:
        return Distribution(self.registry, name, text, bounds)

    @overload
    def _counter(self, name: str, text: str) -> Tally: ...
    @overload
    def _counter(self, name: str, text: str, *labels: str) -> Tallies: ...
    def _counter(self, name: str, text: str, *labels: str) -> Tally | Tallies:
        return counter(self.registry, name, text, *labels)

"""Dashboards depend on these names."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime_core.metrics import Metrics

NAMES = {
    "gladia_stt_latency_seconds",
    "ingest_broadcast_latency_seconds",
    "ws_broadcast_loop_seconds",
    "http_post_latency_seconds",
    "http_posts_waiting",
    "http_posts_lost_total",
    "rtmp_connections",
    "rtmp_publishers",
    "rtmp_connections_closed_total",
    "rtmp_received_bytes_total",
    "rtmp_messages_total",
    "rtmp_gathering",
    "rtmp_takeovers_total",
    "rtmp_refusals_total",
    "audio_received_bytes_total",
    "audio_decoded_bytes_total",
    "audio_sent_bytes_total",
    "audio_acknowledged_bytes_total",
    "audio_dropped_seconds_total",
    "decoder_queue_seconds",
    "ffmpeg_starts_total",
    "ffmpeg_start_wait_seconds",
    "ffmpeg_restarts_total",
    "ffmpeg_exits_total",
    "stt_connections",
    "stt_connects_total",
    "stt_drops_total",
    "stt_session_refusals_total",
    "stt_messages_total",
    "stt_resent_bytes_total",
    "stt_unacknowledged_seconds",
    "transcript_drafts_total",
    "transcript_finals_total",
    "transcript_finalized_total",
    "transcript_attributions_total",
    "speaker_lag_confidence",
    "speaker_lag_seconds",
    "transcript_promises_broken_total",
    "transcript_relabels_total",
    "viewers",
    "viewers_closed_total",
    "viewer_buffered_bytes",
    "viewer_dropped_messages_total",
    "viewers_slow_total",
    "viewer_resumes_total",
    "history_reads_total",
    "speaker_samples_total",
    "transcripts_lost_total",
    "transcripts_stored_total",
    "transcripts_rejected_total",
    "store_batch_rows",
    "store_batch_seconds",
    "store_batch_failures_total",
    "journal_rows",
    "journal_bytes",
    "journal_oldest_seconds",
    "sessions",
    "sessions_restored_total",
    "session_starts_refused_total",
    "capacity_short",
    "sessions_ended_total",
    "quietest_session_seconds",
    "event_loop_busy_ratio",
    "event_loop_lag_seconds",
    "log_lines_dropped_total",
}


def test_every_metric_has_its_name() -> None:
    text = Metrics().exposition().decode()
    exposed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name for name in exposed if not name.endswith("_created")} == NAMES


def test_the_snapshot_has_the_originals_shape() -> None:
    metrics = Metrics()
    for seconds in (0.2, 0.4, -1.0):  # clocks that differ do not make negative latencies
        metrics.stt_latency.observe(seconds)
    snapshot = metrics.snapshot()
    assert snapshot["gladia.stt_latency_ms"] == {
        "count": 3,
        "avgMs": pytest.approx(200),
        "minMs": 0,
        "maxMs": 400,
    }
    assert set(snapshot) == {
        "gladia.stt_latency_ms",
        "ingest.broadcast_latency_ms",
        "ws.broadcast_loop_ms",
        "http.post_latency_ms",
    }
    assert snapshot["http.post_latency_ms"] == {"count": 0, "avgMs": 0, "minMs": 0, "maxMs": 0}


def test_every_hundred_records_a_summary_is_logged() -> None:
    metrics = Metrics()
    with capture_logs() as logs:
        for _ in range(250):
            metrics.ws_broadcast_loop.observe(0.001)
    assert [line["event"] for line in logs] == ["Transcript delivery metrics"] * 2
    assert logs[0]["ws.broadcast_loop_ms"]["count"] == 100


def test_operators_find_every_metric_explained() -> None:
    text = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
    assert {name for name in NAMES if f"`{name}`" not in text} == set()

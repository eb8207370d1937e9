"""The feed keeps the gauges and counters true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime_core.metrics import Metrics
from realtime_core.stt.feed import MOST_FRAME_BYTES, Feed
from realtime_core.stt.timeline import Timeline
from tests.stt.harness import speech

SECOND = 32_000


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_unacknowledged_audio_is_shown_over_all_sessions() -> None:
    metrics = Metrics()
    feeds = [Feed(Timeline(10.0), metrics, chunk_bytes=0) for _ in range(2)]
    for feed in feeds:
        feed.begin("s", 0.0)
        feed.put(speech(2))
        feed.take()
    feeds[0].acknowledge(0, SECOND, 1.0)
    assert _value(metrics, "stt_unacknowledged_seconds") == 3.0
    assert feeds[0].statistics(connected=True).unacknowledged_s == 1.0
    for feed in feeds:
        feed.give_up()
    assert _value(metrics, "stt_unacknowledged_seconds") == 0.0
    assert _value(metrics, "audio_dropped_seconds_total", stage="stt") == 3.0


def test_what_does_not_fit_is_counted_when_it_goes() -> None:
    metrics = Metrics()
    feed = Feed(Timeline(1.0), metrics, chunk_bytes=0)
    feed.put(speech(1.5))
    assert _value(metrics, "audio_dropped_seconds_total", stage="stt") == 0.5
    feed.begin("s", 0.0)
    assert _value(metrics, "audio_dropped_seconds_total", stage="stt") == 0.5


def test_only_what_goes_out_again_counts_as_sent_again() -> None:
    metrics = Metrics()
    feed = Feed(Timeline(10.0), metrics, chunk_bytes=0)
    feed.begin("s", 0.0)
    feed.put(speech(1))
    feed.take()
    leg = feed.timeline.leg
    assert leg is not None
    leg.resume()
    feed.acknowledge(SECOND // 2, SECOND // 2, 1.0)
    feed.put(speech(1))
    assert len(feed.take()) == SECOND * 3 // 2
    assert _value(metrics, "stt_resent_bytes_total") == SECOND // 2
    assert _value(metrics, "audio_sent_bytes_total") == SECOND * 5 // 2


def test_little_is_held_back_until_it_is_enough_or_the_end() -> None:
    feed = Feed(Timeline(60.0), Metrics(), chunk_bytes=3_200)
    feed.begin("s", 0.0)
    feed.put(bytes(3_198))
    assert (feed.has_audio, feed.take()) == (False, b"")
    feed.end()
    assert (feed.has_audio, len(feed.take())) == (True, 3_198)


def test_no_message_is_too_big() -> None:
    feed = Feed(Timeline(60.0), Metrics(), chunk_bytes=0)
    feed.begin("s", 0.0)
    feed.put(bytes(MOST_FRAME_BYTES + 2))
    assert (len(feed.take()), len(feed.take())) == (MOST_FRAME_BYTES, 2)


async def test_the_reader_is_woken_by_audio_and_by_its_end() -> None:
    feed = Feed(Timeline(60.0), Metrics(), chunk_bytes=0)
    wakes: list[Callable[[], None]] = [lambda: feed.put(bytes(2)), feed.end, feed.notify]
    for wake in wakes:
        waiting = asyncio.create_task(feed.changed())
        await asyncio.sleep(0)
        assert not waiting.done()
        wake()
        await waiting

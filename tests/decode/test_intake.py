"""What is told of a publisher whose clock and whose audio do not agree, in virtual time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from realtime_core.decode.intake import Intake
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, Silence, seconds_of
from tests.virtual_time import in_virtual_time

CONFIG = AudioTag(b"\xaf\x00\x12\x10", 0, is_config=True)
EMPTY = b"\xaf\x01"
FRAME_S = 1024 / 44_100


def new_intake(metrics: Metrics) -> Intake:
    intake = Intake(metrics, get_logger("decode"), queue_s=10)
    intake.feed(CONFIG)
    return intake


def feed(intake: Intake, at_s: float, body: bytes = EMPTY + b"aac") -> None:
    intake.feed(AudioTag(body, round(at_s * 1_000), is_config=False))


def missing_s(metrics: Metrics) -> float | None:
    labels = {"stage": "publisher"}
    return metrics.registry.get_sample_value("audio_dropped_seconds_total", labels)


def test_audio_that_pauses_for_long_on_a_living_connection_shifts_nothing() -> None:
    async def main() -> None:
        metrics = Metrics()
        intake = new_intake(metrics)
        with capture_logs() as logs:
            feed(intake, 0)
            for second in range(1, 41):  # such frames are nothing, however often they come
                await asyncio.sleep(1)
                feed(intake, second, EMPTY)
            feed(intake, 40)
        assert [line["event"] for line in logs] == ["Publisher left audio out"]
        assert missing_s(metrics) == pytest.approx(40 - FRAME_S, abs=1e-4)
        pieces = list(intake.finish())
        assert seconds_of(sum(map(len, pieces))) == pytest.approx(40 + FRAME_S, abs=1e-4)
        assert all(isinstance(each, Silence) for each in pieces)

    in_virtual_time(main())


def test_a_clock_that_jumps_further_than_time_is_told_once_a_publish() -> None:
    async def main() -> None:
        metrics = Metrics()
        intake = new_intake(metrics)
        with capture_logs() as logs:
            for at_s in (0, 40, 80, 0):
                feed(intake, at_s)
            intake.feed(CONFIG)
            for at_s in (500, 540):
                feed(intake, at_s)
        assert [line["event"] for line in logs] == ["Publisher's clock jumped"] * 2
        assert missing_s(metrics) == 0

    in_virtual_time(main())


def test_what_is_skipped_after_the_end_is_nothing() -> None:
    async def main() -> None:
        intake = new_intake(Metrics())
        feed(intake, 0)
        intake.end()
        before_s = intake.queued_s
        intake.skip(5)
        assert intake.queued_s == before_s

    in_virtual_time(main())

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.database import Database
from bench.evidence import Heard, HeardRoom, Published, PublishedRoom, Seen, SeenRoom, Spread
from bench.machine import MEBIBYTE, Reading
from bench.point import broken_by
from bench.run import Plan, Witnessed, measure, summed_up
from bench.servers import SERVERS
from tests.postgres import run_sql

S, MS = 1_000_000_000, 1_000_000
AUDIO_S = 12


def reading(at_s: float, server_s: float, load_s: float, busy_s: float) -> Reading:
    trees = {"server": server_s, "publish": load_s, "stt": load_s, "view": load_s, "database": 0.0}
    return Reading(at_s, trees, busy_s)


def heard(until_s: int, stamps: int, lost_ms: int = 0) -> Heard:
    """The stub's account of audio that began at 100 s, 40 ms late."""
    beeps = [(n % 8, (100 + n) * S + 40 * MS) for n in range(until_s)]
    room = HeardRoom(100 * S + 40 * MS, (until_s * 1000 - lost_ms) * 32, beeps, stamps)
    return Heard({"room-0": room}, Spread(0.1, 0.2, 0.3))


PUBLISHED = Published(
    {
        "room-0": PublishedRoom(
            publish_ns=100 * S,
            first_frame_ns=100 * S,
            last_frame_ns=(100 + AUDIO_S) * S,
            audio_ms=AUDIO_S * 1000.0,
            beeps=[(n, n % 8, (100 + n) * S) for n in range(AUDIO_S)],
        )
    },
    Spread(0.1, 0.4, 1.0),
)
SEEN = Seen(
    200, Spread(0.5, 2.0, 3.0), {"room-0": SeenRoom(5, [40] * 5)}, {}, Spread(0.1, 0.7, 1.0)
)
WITNESSED = Witnessed(
    go=reading(100.0, 1.0, 1.0, 50.0),
    begin=reading(104.0, 3.0, 1.2, 55.0),
    end=reading(110.0, 4.5, 1.8, 58.0),
    pss_bytes=50 * MEBIBYTE,
    processes=2,
    early=heard(4, 10, lost_ms=200),
    early_ns=104 * S,
    at_end=heard(10, 30, lost_ms=200),
    late=heard(12, 50, lost_ms=200),
    fan_out=SEEN,
    seen=SEEN,
    lag_before={},
    lag_after={},
)


def test_a_point_joins_what_all_processes_said() -> None:
    point = summed_up("ours", 1, WITNESSED, PUBLISHED)
    assert (point.beeps, point.beeps_lost, point.audio_ms) == (6, 0, Spread(40.0, 40.0, 40.0))
    assert (point.start_up_ms.p50, point.start_up_cpu_s) == (40.0, 2.0)
    # What was under way at the edge of the windows is not held to be lost at the start.
    assert (point.lost_at_start_ms, point.lost_later_ms, point.most_lost_ms) == (160.0, 40.0, 200.0)
    assert (point.messages, point.messages_lost, point.viewers) == (200, 0, 5)
    assert (point.cores, point.memory_mb, point.memory_per_room_mb) == (0.25, 50.0, 50.0)
    assert broken_by(point) is None


def test_a_point_tells_the_share_of_the_load_in_the_steady_window() -> None:
    load = summed_up("ours", 1, WITNESSED, PUBLISHED).load
    assert load.cores == {"publish": 0.1, "stt": 0.1, "view": 0.1, "database": 0.0}
    assert load.lag_ms == 0.7
    assert load.others_cores == pytest.approx(0.0)
    assert load.lateness_ms.p99 == 0.4


def test_failed_publishes_are_counted_by_reason() -> None:
    rooms = {f"room-{n}": PublishedRoom(failed=why) for n, why in enumerate(["a", "b", "a", None])}
    point = summed_up("ours", 4, WITNESSED, Published(rooms))
    assert point.failed == {"a": 2, "b": 1}
    assert broken_by(point) == "publishes failed: 2 times a; 1 times b"


def test_publishers_go_on_until_memory_has_been_read() -> None:
    assert Plan(4.0, 6.0).publish_s(100) > 10.5


@pytest.fixture
def database(postgres_dsn: str) -> Iterator[Database]:
    yield Database(postgres_dsn, os.getpid())
    run_sql(postgres_dsn, "DROP DATABASE IF EXISTS point_1 WITH (FORCE)")


@pytest.mark.slow
@pytest.mark.ffmpeg
@pytest.mark.postgres
@pytest.mark.timeout(90)
async def test_a_real_point_loses_nothing(tmp_path: Path, database: Database) -> None:
    point = await measure(SERVERS["ours-ffmpeg"], 2, Plan(2.0, 2.5), database, tmp_path / "logs")
    assert (point.failed, point.viewers, point.beeps_lost, point.messages_lost) == ({}, 10, 0, 0)
    assert point.beeps >= 4
    assert point.messages > 50
    assert abs(point.lost_at_start_ms + point.lost_later_ms) < 1.0
    assert point.processes == 3
    assert 0 < point.cores < 2
    assert point.memory_mb > 20
    assert "Ready" in (tmp_path / "logs" / "ours-ffmpeg-2.log").read_text()

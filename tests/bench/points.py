"""Points as they could have been seen, for tests."""

from __future__ import annotations

import msgspec

from bench.evidence import Spread
from bench.outcome import Ladder
from bench.point import LoadShare, Point

QUIET = LoadShare(
    cores={"publish": 0.1, "stt": 0.1, "view": 0.1},
    lateness_ms=Spread(0.1, 0.5, 2.0),
    lag_ms=1.0,
    others_cores=0.1,
    busy=0.4,
)
SOUND = Point(
    server="original",
    rooms=20,
    viewers=100,
    seconds=6.0,
    audio_ms=Spread(0.6, 6.0, 9.0),
    beeps=120,
    beeps_lost=0,
    lost_at_start_ms=172.0,
    lost_later_ms=0.0,
    most_lost_ms=190.0,
    fan_out_ms=Spread(0.5, 4.0, 8.0),
    messages=2000,
    messages_lost=0,
    start_up_ms=Spread(400.0, 500.0, 500.0),
    start_up_cpu_s=2.0,
    cores=0.3,
    memory_mb=400.0,
    memory_per_room_mb=20.0,
    processes=21,
    loop_lag_ms=Spread(),
    failed={},
    load=QUIET,
)


def point(**changes: object) -> Point:
    """Return a sound point of the original, with changes."""
    return msgspec.structs.replace(SOUND, **changes)


def ladder(*points: Point, **changes: object) -> Ladder:
    """Return a ladder of these points."""
    described: dict[str, object] = {
        "cpu": "Some CPU",
        "cores": 2,
        "memoryMb": 8000,
        "system": "Linux 6",
        "python": "3.13.0",
    }
    whole = Ladder("2026-11-22T20:00:00+00:00", "abc123", "", described, list(points))
    return msgspec.structs.replace(whole, **changes)

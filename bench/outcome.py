"""What a ladder showed: all its points, how they compare, how it is written down. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import field

from bench.evidence import Said
from bench.point import Point, broken_by

REFERENCE = "original"
COMPARED: dict[str, Callable[[Point], float | None]] = {
    "audioP99": lambda point: point.audio_ms.p99,
    "fanOutP99": lambda point: point.fan_out_ms.p99,
    "startUpP50": lambda point: point.start_up_ms.p50,
    "memory": lambda point: point.memory_mb,
    "cpu": lambda point: point.cores,
}

Ratios = dict[str, float | None]


class Ladder(Said, frozen=True):
    """A whole run.

    Attributes:
        at: When it began, as ISO 8601 in UTC.
        commit: What was measured, if that is known.
        broke: Why a server went no further, by its name.
        missing: Why a server could not be measured at all, by its name.
    """

    at: str
    commit: str
    command: str
    machine: dict[str, object]
    points: list[Point]
    broke: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def rungs(self) -> dict[int, dict[str, Point]]:
        """Return the points by rooms and by server, fewest rooms first."""
        found: dict[int, dict[str, Point]] = {}
        for point in sorted(self.points, key=lambda point: point.rooms):
            found.setdefault(point.rooms, {})[point.server] = point
        return found

    def servers(self) -> list[str]:
        """Return who was measured; the reference comes last."""
        names = {point.server for point in self.points}
        return sorted(names, key=lambda name: (name == REFERENCE, name))

    def most_rooms(self, server: str) -> int:
        """Return the most rooms that a server bore; 0 when it bore none."""
        borne = [p.rooms for p in self.points if p.server == server and not broken_by(p)]
        return max(borne, default=0)


def ratios(rung: dict[str, Point]) -> dict[str, Ratios]:
    """Return for each server its share of what the reference took on the same rung."""
    reference = rung.get(REFERENCE)
    if reference is None:
        return {}
    return {
        name: {what: _ratio(value(point), value(reference)) for what, value in COMPARED.items()}
        for name, point in rung.items()
        if name != REFERENCE
    }


def _ratio(value: float | None, reference: float | None) -> float | None:
    if value is None or not reference:
        return None
    return round(value / reference, 3)


def one_line(ladder: Ladder) -> str:
    """Return the line of JSON that a quick run ends with."""
    rungs = ladder.rungs()
    said = {
        "machine": ladder.machine,
        "rooms": {str(rooms): rung for rooms, rung in rungs.items()},
        "ratios": {str(rooms): ratios(rung) for rooms, rung in rungs.items()},
        "broke": ladder.broke,
        "missing": ladder.missing,
    }
    return msgspec.json.encode(said).decode()


def pages(ladder: Ladder) -> bytes:
    """Return the ladder as it is kept."""
    return msgspec.json.format(msgspec.json.encode(ladder), indent=1) + b"\n"


def from_pages(text: bytes) -> Ladder:
    """Return a ladder that was kept.

    Raises:
        msgspec.DecodeError: It is not one.
    """
    return msgspec.json.decode(text, type=Ladder)


def in_short(point: Point) -> Sequence[str]:
    """Return what a person wants to know of a point at once."""
    return [
        f"{point.rooms} rooms, {point.server}",
        f"audio {point.audio_ms.p50}/{point.audio_ms.p99} ms",
        f"{point.beeps_lost} of {point.beeps} beeps lost",
        f"lost at start {point.lost_at_start_ms} ms",
        f"fan-out {point.fan_out_ms.p50}/{point.fan_out_ms.p99} ms",
        f"first PCM {point.start_up_ms.p50} ms",
        f"{point.cores:.2f} cores",
        f"{point.memory_mb:.0f} MB",
        f"load {sum(point.load.cores.values()):.2f} cores, others {point.load.others_cores:.2f}",
    ]

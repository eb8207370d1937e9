"""Climbs the ladder: more and more rooms for each server, until it can bear no more."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import climb, machine, outcome
from bench.database import Database, running_database
from bench.errors import BenchError, Unavailable
from bench.outcome import Ladder
from bench.point import Point, broken_by
from bench.process import ROOT
from bench.run import Plan, measure
from bench.servers import SERVERS, Server

RESULTS = ROOT / "bench" / "results"
BETWEEN_S = 1.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ascent:
    """What to climb, and how long to look on each rung.

    Attributes:
        plan: Given the number of rooms.
        between_s: The rest that the machine gets before each point.
        logs: A folder to leave the servers' logs in.
    """

    servers: Sequence[str]
    rungs: Sequence[int]
    plan: Callable[[int], Plan]
    between_s: float = BETWEEN_S
    logs: Path | None = None


def quick(servers: Sequence[str]) -> Ascent:
    """Return what takes less than two minutes with three servers."""
    return Ascent(servers, climb.QUICK, lambda _rooms: Plan(6.5, 5.0), between_s=0.0)


def full(servers: Sequence[str]) -> Ascent:
    """Return the whole ladder."""
    # To start an FFmpeg takes about 0.1 s of a core: the window begins when all have started.
    return Ascent(servers, list(climb.full()), lambda rooms: Plan(max(8.0, 0.1 * rooms), 20.0))


@dataclass
class Log:
    """What has been seen so far, told as it comes.

    Attributes:
        failed: Servers that did not start, or whose point could not be finished.
    """

    tell: Tell
    points: list[Point] = field(default_factory=list)
    broke: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def saw(self, point: Point) -> None:
        """Take a point."""
        self.points.append(point)
        self.tell(", ".join(outcome.in_short(point)))
        if point.load_bound is not None:
            self.tell(f"  the load was the bottleneck: {point.load_bound}")

    def lost(self, name: str, rooms: int, reason: str, *, measured: bool) -> None:
        """Take that a server goes no further."""
        self.tell(f"{name} goes no further: {reason}")
        self.broke[name] = f"{rooms} rooms: {reason}"
        if not measured:
            self.failed.add(name)


async def ascend(ascent: Ascent, tell: Tell) -> tuple[Ladder, bool]:
    """Climb; return what was seen, and whether all that was asked for was measured."""
    log, at = Log(tell), datetime.now(UTC).isoformat(timespec="seconds")
    described = machine.describe()
    standing = await _prepared(ascent.servers, log)
    if standing:
        async with running_database() as database:
            await _climb(ascent, standing, database, log)
    command = f"servers {','.join(ascent.servers)}, rooms {_rooms(log.points)}"
    commit = await asyncio.to_thread(_commit)
    ladder = Ladder(at, commit, command, described, log.points, log.broke, log.missing)
    return ladder, bool(log.points) and not log.missing and not log.failed


async def _prepared(names: Iterable[str], log: Log) -> list[Server]:
    ready = []
    for name in names:
        try:
            await SERVERS[name].prepare()
            ready.append(SERVERS[name])
        except Unavailable as exc:
            log.tell(f"{name} is left out: {exc}")
            log.missing[name] = str(exc)
    return ready


async def _climb(ascent: Ascent, standing: Sequence[Server], database: Database, log: Log) -> None:
    way = climb.Climb([server.name for server in standing], iter(ascent.rungs))
    for name, rooms in way:
        await asyncio.sleep(ascent.between_s)
        began_s = time.monotonic()
        try:
            point = await measure(SERVERS[name], rooms, ascent.plan(rooms), database, ascent.logs)
        except BenchError as exc:
            log.lost(name, rooms, str(exc), measured=False)
            way.fell(name)
            continue
        log.saw(point)
        log.tell(f"  took {time.monotonic() - began_s:.1f} s")
        if (reason := broken_by(point)) is not None:
            log.lost(name, rooms, reason, measured=True)
            way.fell(name)


def _rooms(points: Iterable[Point]) -> str:
    return ",".join(str(rooms) for rooms in sorted({point.rooms for point in points}))


def _commit() -> str:
    argv = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # not from a checkout
        return ""


def keep(ladder: Ladder, name: str, folder: Path = RESULTS) -> Path:
    """Write a ladder down, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(ladder.at).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{stamp}-{name}.json"
    path.write_bytes(outcome.pages(ladder))
    return path

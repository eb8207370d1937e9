"""One run: the world, the storm, the calm after it, and the judgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import psutil

from tests.chaos.fault import Fault
from tests.chaos.judge import Evidence, Verdict, judge
from tests.chaos.storm import Storm
from tests.chaos.world import World, running_world

LIVE_WITHIN_S = 35.0
"""How long a publisher may take to come back: egress gives up after 30 s."""
CALM_S = 4.0
CHILDREN_GONE_WITHIN_S = 10.0
LONG_S, LEAST_FAULTS, LEAST_KINDS = 120.0, 20, 8
"""A run as long as that shows nothing unless so many faults, of so many kinds, struck."""


@dataclass(frozen=True)
class Plan:
    """What a run is to be.

    Attributes:
        folder: Takes the data and the log of the service.
    """

    seed: int
    seconds: float
    faults: Sequence[Fault]
    folder: Path
    ffmpeg: str
    sessions: int = 3
    viewers: int = 3


@dataclass
class Outcome:
    """What came of it. ``broken`` counts what metrics and exit statuses say went wrong."""

    plan: Plan
    verdict: Verdict
    struck: dict[str, int]
    broken: dict[str, int]
    starts: int
    given_up: int
    errors: dict[str, int]

    @property
    def is_weak(self) -> bool:
        """Whether too little happened for a run of this length; fewer kinds may be asked for."""
        least_kinds = min(LEAST_KINDS, len(self.plan.faults))
        is_poor = sum(self.struck.values()) < LEAST_FAULTS or len(self.struck) < least_kinds
        return self.plan.seconds >= LONG_S and is_poor

    @property
    def ok(self) -> bool:
        """Whether every promise was kept, and put to the test."""
        is_kept = self.verdict.ok and not any(self.broken.values()) and not self.given_up
        return is_kept and not self.is_weak


async def run(plan: Plan, tell: Callable[[str], None]) -> Outcome:
    """Run the whole, and leave no process behind."""
    random = Random(plan.seed)
    sizes = {"sessions": plan.sessions, "viewers": plan.viewers}
    async with running_world(plan.folder, plan.ffmpeg, random, **sizes) as world:
        await _until(lambda: world.is_live, LIVE_WITHIN_S)
        storm = Storm(world, plan.faults, random, tell)
        await storm.rage(plan.seconds)
        tell("the storm is over")
        evidence = await _calm(world)
    left = [each.name() for each in await _children_left()]
    world.broken["children left"] = len(left)
    world.broken["decoders outlived the service"] = world.service.orphans
    given_up = sum(each.given_up for each in world.publishers.values())
    return Outcome(
        plan,
        await asyncio.to_thread(judge, evidence),
        dict(storm.struck),
        {what: count for what, count in world.broken.items() if count},
        world.service.starts,
        given_up,
        dict(world.service.errors),
    )


async def _calm(world: World) -> Evidence:
    """Let the system recover, end everything in order, and return what is known."""
    world.emulator.faults.clear()
    if not await _until(lambda: world.is_live, LIVE_WITHIN_S):
        world.broken["publisher not back"] += 1
    await asyncio.sleep(CALM_S)
    await _end_sessions(world)
    await world.scrape()
    if status := await world.service.stop():
        world.broken[f"exit status {status}"] += 1
    return await world.evidence()


async def _end_sessions(world: World) -> None:
    for publisher in world.publishers.values():
        publisher.end()
    for viewer in world.viewers:
        viewer.end()
    stop = "/api/realtime/transcribe/stop"
    for slug in world.slugs:
        # 404: the goodbye of its publisher has ended it already.
        status = await world.post(stop, {"sessionSlug": slug})
        if status not in (200, 404):
            world.broken[f"stop answered {status}"] += 1
    async with world.http.get(f"{world.service.url}/api/realtime/sessions") as response:
        left: dict[str, Any] = await response.json()
    world.broken["sessions left"] = len(left["sessions"])


async def _until(condition: Callable[[], bool], within_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - it becomes true by itself
                await asyncio.sleep(0.05)
            return True
    return False


async def _children_left() -> list[psutil.Process]:
    """Return what is still there of the processes that were started."""
    children = psutil.Process().children(recursive=True)
    _, left = await asyncio.to_thread(psutil.wait_procs, children, CHILDREN_GONE_WITHIN_S)
    return [each for each in left if each.status() != psutil.STATUS_ZOMBIE]

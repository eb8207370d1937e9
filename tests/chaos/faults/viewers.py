"""Viewers' connections broken, all at once or one; rude viewers freeze by themselves."""

from __future__ import annotations

import asyncio
from random import Random

from tests.chaos.fault import VIEWERS, Fault
from tests.chaos.world import World


async def reset_all(world: World, _random: Random) -> str:
    """Cut all without a word."""
    count = len(world.windows.links)
    world.windows.reset()
    return f"{count} connections"


async def reset_one(world: World, random: Random) -> str:
    """Cut one without a word."""
    links = list(world.windows.links)
    if links:
        random.choice(links).reset()
    return ""


async def stall(world: World, random: Random) -> str:
    """Nothing reaches any of them for a while, nor them the service."""
    seconds = random.uniform(2, 20)
    with world.windows.stalled():
        await asyncio.sleep(seconds)
    return f"{seconds:.1f} s"


async def slow(world: World, random: Random) -> str:
    """A bad mobile network."""
    with world.windows.slow(random.uniform(500, 4_000)):
        await asyncio.sleep(random.uniform(3, 8))
    return ""


FAULTS = tuple(
    Fault(name, deed, frozenset({VIEWERS}), settles_s=1.0)
    for name, deed in (
        ("viewers-reset", reset_all),
        ("viewer-reset", reset_one),
        ("viewers-stalled", stall),
        ("viewers-slow", slow),
    )
)

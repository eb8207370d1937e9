"""A publisher's connection broken, stalled, or replaced by another publisher's."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from tests.chaos.fault import PUBLISHER, Fault
from tests.chaos.publisher import Broken
from tests.chaos.world import World
from tests.faults.proxy import Way


async def reset(world: World, random: Random) -> str:
    """Cut it without a word."""
    slug = random.choice(world.slugs)
    world.publishers[slug].suspect()
    world.lines[slug].reset()
    return slug


async def refuse(world: World, random: Random) -> str:
    """Cut it, and let it come back only after a while."""
    slug, seconds = random.choice(world.slugs), random.uniform(1, 12)
    world.publishers[slug].suspect()
    with world.lines[slug].cut():
        await asyncio.sleep(seconds)
    return f"{slug} for {seconds:.1f} s"


async def half_close(world: World, random: Random) -> str:
    """Let one side believe that the other has nothing more to say."""
    slug, way = random.choice(world.slugs), random.choice(list(Way))
    world.publishers[slug].suspect()
    world.lines[slug].half_close(way)
    return f"{slug} {way.value}"


async def stall(world: World, random: Random) -> str:
    """Nothing arrives for a while, and then all of it."""
    slug, seconds = random.choice(world.slugs), random.uniform(1, 4)
    with world.lines[slug].stalled():
        await asyncio.sleep(seconds)
    return f"{slug} for {seconds:.1f} s"


async def replace(world: World, random: Random) -> str:
    """A second publisher takes over."""
    slug = random.choice(world.slugs)
    with suppress(OSError, EOFError, TimeoutError, Broken):
        await world.publishers[slug].take_over()
    return slug


FAULTS = tuple(
    Fault(name, deed, frozenset({PUBLISHER}), settles_s=2.0)
    for name, deed in (
        ("publisher-reset", reset),
        ("publisher-refused", refuse),
        ("publisher-half-closed", half_close),
        ("publisher-stalled", stall),
        ("publisher-replaced", replace),
    )
)

"""PostgreSQL stopped, cut off, slow, and silent at the worst moment."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

from tests.chaos.fault import DATABASE, Fault
from tests.chaos.world import World

COMMITS_WITHIN_S = 10.0


async def stop(world: World, random: Random) -> str:
    """Stop the server, and start it again."""
    seconds = random.uniform(3, 15)
    await world.database.stop()
    try:
        await asyncio.sleep(seconds)
    finally:
        await world.database.start()
    return f"{seconds:.1f} s"


async def cut(world: World, random: Random) -> str:
    """Reset all connections, and refuse new ones for a while."""
    seconds = random.choice((0.0, random.uniform(1, 10)))
    with world.database.proxy.cut():
        await asyncio.sleep(seconds)
    return f"{seconds:.1f} s"


async def stall(world: World, random: Random) -> str:
    """Answer nothing, and close nothing."""
    seconds = random.uniform(2, 12)
    with world.database.proxy.stalled():
        await asyncio.sleep(seconds)
    return f"{seconds:.1f} s"


async def slow(world: World, random: Random) -> str:
    """A few kilobytes a second."""
    with world.database.proxy.slow(random.uniform(1_000, 10_000)):
        await asyncio.sleep(random.uniform(3, 10))
    return ""


async def lose_answer(world: World, _random: Random) -> str:
    """Cut the connection of a COMMIT that is done, in place of its answer."""
    with world.database.proxy.answer_lost(b"COMMIT") as lost, suppress(TimeoutError):
        async with asyncio.timeout(COMMITS_WITHIN_S):
            await lost.wait()
    return "" if lost.is_set() else "nothing was committed"


FAULTS = tuple(
    Fault(name, deed, frozenset({DATABASE}), settles_s=2.0)
    for name, deed in (
        ("database-stopped", stop),
        ("database-cut", cut),
        ("database-stalled", stall),
        ("database-slow", slow),
        ("database-answer-lost", lose_answer),
    )
)

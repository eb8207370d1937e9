"""The service itself killed, restarted, or stopped for a moment.

Speech-to-text and decoders are well at that time: what they had not got through would die with
the process, however long ago it was spoken.
"""

from __future__ import annotations

import asyncio
import signal
import time
from random import Random

from tests.chaos.fault import DECODER, SERVICE, STT, Fault
from tests.chaos.judge import Span
from tests.chaos.world import World

AGAIN_AFTER_S = 1.0
EXIT_AT_ONCE = 130
DIES_WITH_IT_S = 2.0
"""What was spoken so shortly before is still on its way through speech-to-text."""
LIVE_WITHIN_S = 35.0


async def kill(world: World, random: Random) -> str:
    """SIGKILL, and a new process after a moment."""
    world.excuses.append(Span(None, time.time() - DIES_WITH_IT_S, time.time()))
    await world.service.kill()
    await asyncio.sleep(random.uniform(0, 2))
    await world.service.start()
    return await _until_live(world)


async def restart(world: World, random: Random) -> str:
    """SIGTERM, and a new process after a moment, as a redeployment does."""
    _look_at(await world.service.stop(), world)
    await asyncio.sleep(random.uniform(0, 2))
    await world.service.start()
    return await _until_live(world)


async def restart_twice(world: World, random: Random) -> str:
    """The same again while publishers and viewers are still coming back."""
    _look_at(await world.service.stop(), world)
    await world.service.start()
    await asyncio.sleep(random.uniform(0, 1))
    return await restart(world, random)


async def hurry(world: World, random: Random) -> str:
    """SIGTERM, and one more for a service that still drains: it ends at once."""
    from_at, service = time.time() - DIES_WITH_IT_S, world.service
    again = asyncio.get_running_loop().call_later(AGAIN_AFTER_S, service.signal, signal.SIGTERM)
    status = await service.stop()
    again.cancel()
    if status == EXIT_AT_ONCE:
        world.excuses.append(Span(None, from_at, time.time()))
    else:
        _look_at(status, world)
    await asyncio.sleep(random.uniform(0, 2))
    await service.start()
    return f"exit status {status}, {await _until_live(world)}"


async def pause(world: World, random: Random) -> str:
    """SIGSTOP for a moment."""
    seconds = random.uniform(1, 2)
    world.service.signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    world.service.signal(signal.SIGCONT)
    return f"{seconds:.1f} s"


def _look_at(status: int | None, world: World) -> None:
    if status != 0:
        world.broken[f"exit status {status}"] += 1


async def _until_live(world: World) -> str:
    since = time.monotonic()
    while not world.is_live and time.monotonic() - since < LIVE_WITHIN_S:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return f"live after {time.monotonic() - since:.1f} s"


FAULTS = tuple(
    Fault(name, deed, frozenset({SERVICE, STT, DECODER}), weight, settles_s=4.0)
    for name, deed, weight in (
        ("service-killed", kill, 2),
        ("service-restarted", restart, 1),
        ("service-restarted-again", restart_twice, 1),
        ("service-restarted-twice-signalled", hurry, 1),
        ("service-paused", pause, 1),
    )
)

"""FFmpeg killed, or stopped for less or for more than its watchdog waits."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from random import Random

import psutil

from tests.chaos.fault import DECODER, Fault
from tests.chaos.world import World

LONGER_THAN_THE_WATCHDOG_S = 6.5
SETTLES_S = 4.0


async def kill(world: World, random: Random) -> str:
    """SIGKILL to one decoder."""
    return _signal(_one(world, random), signal.SIGKILL)


async def stop(world: World, random: Random) -> str:
    """SIGSTOP to one decoder until the watchdog has noticed."""
    return await _stopped_for(LONGER_THAN_THE_WATCHDOG_S, world, random)


async def pause(world: World, random: Random) -> str:
    """SIGSTOP to one decoder, not for long."""
    return await _stopped_for(random.uniform(0.3, 2.5), world, random)


async def _stopped_for(seconds: float, world: World, random: Random) -> str:
    decoder = _one(world, random)
    told = _signal(decoder, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    _signal(decoder, signal.SIGCONT)
    return f"{told} for {seconds:.1f} s"


def _one(world: World, random: Random) -> psutil.Process | None:
    decoders = sorted(world.service.decoders(), key=lambda each: each.pid)
    return random.choice(decoders) if decoders else None


def _signal(decoder: psutil.Process | None, number: signal.Signals) -> str:
    with suppress(psutil.NoSuchProcess):
        if decoder is not None:
            decoder.send_signal(number)
    return "there was none" if decoder is None else f"{number.name} to {decoder.pid}"


FAULTS = tuple(
    Fault(name, deed, frozenset({DECODER}), settles_s=SETTLES_S)
    for name, deed in (
        ("decoder-killed", kill),
        ("decoder-stopped", stop),
        ("decoder-paused", pause),
    )
)

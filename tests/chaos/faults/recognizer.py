"""Speech-to-text: its connections broken by the proxy, its behaviour by the emulator's switches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from gladia_emulator.faults import ArmedFault
from tests.chaos.fault import STT, Fault
from tests.chaos.judge import Span
from tests.chaos.world import World
from tests.faults.proxy import Way

SETTLES_S = 4.0
"""The pauses between attempts, and sending again what was kept meanwhile."""
STRIKES_WITHIN_S = 20.0
SPOKEN_BEFORE_S = 4.0
"""How long before its final an utterance may have ended."""

Deed = Callable[[World, Random], Awaitable[str]]
Params = Callable[[Random], Mapping[str, Any]]


async def reset(world: World, _random: Random) -> str:
    """Cut all connections without a word."""
    links = len(world.stt.links)
    world.stt.reset()
    return f"{links} connections"


async def half_close(world: World, random: Random) -> str:
    """Let one side believe that the other has nothing more to say."""
    way = random.choice(list(Way))
    world.stt.half_close(way)
    return way.value


async def stall(world: World, random: Random) -> str:
    """A black hole, shorter or longer than an acknowledgement is waited for."""
    seconds = random.choice((random.uniform(1, 6), random.uniform(16, 20)))
    with world.stt.stalled():
        await asyncio.sleep(seconds)
    return f"{seconds:.1f} s"


async def delay(world: World, random: Random) -> str:
    """A long way to speech-to-text."""
    with world.stt.delayed(random.uniform(0.05, 0.5)):
        await asyncio.sleep(random.uniform(3, 8))
    return ""


async def refuse(world: World, random: Random) -> str:
    """The session is over, and for a while no other is given."""
    slug, status = random.choice(world.slugs), random.choice((429, 500, 503))
    times = 1 if status == 429 else random.randint(1, 4)
    refusals = world.emulator.fault("refuse_post", session=slug, status=status, times=times)
    world.emulator.fault("cut", session=slug, code=4408)
    await _struck(refusals)
    return f"{times} times {status} for {slug}"


async def lose_session(world: World, random: Random) -> str:
    """The connection is cut, and the url opens nothing any more."""
    slug = random.choice(world.slugs)
    gone = world.emulator.fault("refuse_connect", session=slug, status=403)
    world.emulator.fault("cut", session=slug)
    await _struck(gone)
    return slug


async def talk_nonsense(world: World, random: Random) -> str:
    """Half a message, and one of a type that nobody knows."""
    slug = random.choice(world.slugs)
    malformed = world.emulator.fault("malformed_json", session=slug, times=random.randint(1, 3))
    unknown = world.emulator.fault("unknown_type", session=slug, times=random.randint(1, 3))
    await _struck(malformed)
    await _struck(unknown)
    return slug


async def withhold_final(world: World, random: Random) -> str:
    """A final that never comes, comes empty, or comes after its draft was given up."""
    fault, params = random.choice(
        (("no_final", {}), ("null_data", {}), ("delay_final", {"seconds": random.uniform(6, 9)}))
    )
    slug, since = random.choice(world.slugs), time.time()
    await _struck(world.emulator.fault(fault, session=slug, **params))
    world.withheld.append(Span(slug, since - SPOKEN_BEFORE_S, time.time()))
    return f"{fault} for {slug}"


async def freeze(world: World, random: Random) -> str:
    """One connection is neither read nor written for a while."""
    slug, seconds = random.choice(world.slugs), random.uniform(1, 8)
    await _struck(world.emulator.fault("freeze", session=slug, seconds=seconds))
    await asyncio.sleep(seconds)
    return f"{slug} for {seconds:.1f} s"


def switched(fault: str, params: Params = lambda _random: {}) -> Deed:
    """Return what throws one switch of the emulator for one session, and waits for its effect."""

    async def throw(world: World, random: Random) -> str:
        slug, chosen = random.choice(world.slugs), params(random)
        await _struck(world.emulator.fault(fault, session=slug, **chosen))
        return f"{slug} {dict(chosen)}" if chosen else slug

    return throw


async def _struck(armed: ArmedFault) -> None:
    """Wait until a switch has done what it was thrown for; for a while."""
    give_up_at = time.monotonic() + STRIKES_WITHIN_S
    while not armed.spent and time.monotonic() < give_up_at:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.05)


def _codes(random: Random) -> Mapping[str, Any]:
    return {"code": random.choice((1001, 1006, 1011, 1012, 4409, 4500))}


def _in_flight(random: Random) -> Mapping[str, Any]:
    size = random.randint(500, 40_000)
    return {"in_flight_bytes": size, "in_flight": random.choice(("counted", "lost"))}


DEEDS: Mapping[str, Deed] = {
    "stt-reset": reset,
    "stt-half-closed": half_close,
    "stt-stalled": stall,
    "stt-delayed": delay,
    "stt-refused": refuse,
    "stt-session-gone": lose_session,
    "stt-nonsense": talk_nonsense,
    "stt-closed": switched("cut", _codes),
    "stt-cut-in-flight": switched("cut", _in_flight),
    "stt-frozen": freeze,
    "stt-acks-swallowed": switched("swallow_acks", lambda random: {"times": random.randint(5, 99)}),
    "stt-acks-late": switched("delay_acks", lambda r: {"times": r.randint(5, 99), "seconds": 2}),
    "final-withheld": withhold_final,
    "final-late": switched("delay_final", lambda random: {"seconds": random.uniform(1, 3.5)}),
    "final-repeated": switched("repeat_final"),
    "final-renamed": switched("change_id"),
}
FAULTS = tuple(
    Fault(name, deed, frozenset({STT}), settles_s=SETTLES_S if name.startswith("stt") else 1.0)
    for name, deed in DEEDS.items()
)

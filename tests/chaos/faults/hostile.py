"""Strangers at the open ports: garbage, half requests that never end, requests without measure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from random import Random

import aiohttp

from tests.chaos.fault import PORTS, Fault
from tests.chaos.world import World
from tests.rtmp.vectors import CONNECT, HELLO

HARMLESS = (OSError, TimeoutError, aiohttp.ClientError)
BETWEEN_S = 0.25
START, WATCH = "/api/realtime/transcribe/start", "/api/realtime/transcribe"


async def garbage_on_rtmp(world: World, random: Random) -> str:
    """Bytes that are no RTMP, are RTMP no longer, or stop in the middle."""
    openings = (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        HELLO,
        HELLO + HELLO[1:],
        HELLO + HELLO[1:] + CONNECT,
    )
    for opening in openings:
        garbage = random.randbytes(random.randint(0, 20_000))
        await _poke(world.service.rtmp_port, [opening, garbage])
    return f"{len(openings)} connections"


async def slow_requests(world: World, random: Random) -> str:
    """Requests that come one header at a time, and do not end."""
    seconds = random.uniform(2, 5)
    await asyncio.gather(*(_dawdle(world, seconds) for _ in range(20)))
    return f"20 for {seconds:.1f} s"


async def malformed_requests(world: World, random: Random) -> str:
    """Bodies that are too large, no JSON, or make no sense; each has to be refused."""
    bodies: tuple[object, ...] = (
        {"sessionSlug": "x" * 1_000_000},
        {"sessionSlug": "../../etc"},
        {},
        [],
        1,
    )
    statuses: list[int] = []
    for body in bodies:
        with suppress(*HARMLESS):
            statuses.append(await world.post(START, body))
    accepted = [status for status in statuses if not 400 <= status < 500]
    if accepted:
        world.broken["malformed request accepted"] += len(accepted)
    await _bad_viewer(world, random)
    return str(statuses)


async def _bad_viewer(world: World, random: Random) -> None:
    url = f"{world.service.url}{WATCH}"
    with suppress(*HARMLESS):
        async with world.http.ws_connect(url, params={"sessionSlug": world.slugs[0]}) as socket:
            await socket.send_str("{" * 100)
            await socket.send_bytes(random.randbytes(10_000))
            await socket.receive(timeout=2.0)


async def _dawdle(world: World, seconds: float) -> None:
    headers = [b"X-%d: x\r\n" % number for number in range(int(seconds / BETWEEN_S))]
    request = b"POST /api/active-speaker HTTP/1.1\r\nHost: x\r\n"
    await _poke(world.service.port, [request, *headers])


async def _poke(port: int, pieces: Iterable[bytes]) -> None:
    """Connect, say the pieces one after the other, and leave; a service that is down may refuse."""
    with suppress(*HARMLESS):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(BETWEEN_S)
        writer.transport.abort()


FAULTS = tuple(
    Fault(name, deed, frozenset({PORTS}))
    for name, deed in (
        ("rtmp-garbage", garbage_on_rtmp),
        ("http-slow-requests", slow_requests),
        ("http-malformed", malformed_requests),
    )
)

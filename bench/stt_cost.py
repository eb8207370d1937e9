"""What a room's socket to the provider costs: CPU of this process per chunk sent and acknowledged.

A hundred rooms, each with a piece of PCM every 21 ms as AAC at 48 kHz brings it, out of step
with each other. Beside our bridge the same bytes through the ``websockets`` client, and through
a protocol that writes ready frames and throws the answers away: what the loop and the kernel
alone cost. What the pacing itself costs is measured and taken off. The provider is a stub in
another process, which also notes how old each piece was when it came.

Run: ``python -m bench.stt_cost`` (15 s), or with ``--chunk-ms`` for what a least length of
chunks saves and what it costs (20 s).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import cast

import aiohttp
import structlog
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.stt_stub import PIECE_BYTES, STAMP, serve
from realtime_core.metrics import Metrics
from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.gladia import GladiaBridge

ROOMS = 100
PIECE_S = 1024 / 48_000
ROUND_S, ROUNDS = 0.5, 5
CHUNK_MS = (0, 20, 40, 60, 100)

Send = Callable[[bytes], object]
Way = Callable[[int], AbstractAsyncContextManager[Sequence[Send]]]


# The ways to send.


@asynccontextmanager
async def nothing(port: int) -> AsyncIterator[Sequence[Send]]:
    """Throw the audio away, which leaves the cost of the pacing."""
    yield [len] * ROOMS


class Bare(asyncio.Protocol):
    """Writes ready frames and throws the answers away."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._write = cast(asyncio.Transport, transport).write
        self._write(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: %b\r\n\r\n" % (b"A" * 22 + b"=="))
        self._head = struct.pack("!BBH4x", 0x82, 0xFE, PIECE_BYTES)

    def data_received(self, data: bytes) -> None:
        """Look at the first answer only."""
        if not self.opened.done():
            self.opened.set_result(None)

    def send(self, pcm: bytes) -> None:
        """Write a frame whose mask is zero."""
        self._write(self._head + pcm)


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[Sequence[Send]]:
    """Do the least that can be done."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Bare, "127.0.0.1", port) for _ in range(ROOMS)]
    for _, protocol in made:
        await protocol.opened
    yield [protocol.send for _, protocol in made]
    for transport, _ in made:
        transport.abort()


async def read(socket: ClientConnection) -> None:
    """Read the acknowledgements as anybody would."""
    async for message in socket:
        json.loads(message)


async def write(socket: ClientConnection, queue: asyncio.Queue[bytes]) -> None:
    """Send what comes."""
    while True:
        await socket.send(await queue.get())


@asynccontextmanager
async def library(port: int) -> AsyncIterator[Sequence[Send]]:
    """Send through the ``websockets`` client, with a reader and a writer for each room."""
    url = f"ws://127.0.0.1:{port}"
    sockets = [await connect(url, compression=None, proxy=None) for _ in range(ROOMS)]
    queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(100) for _ in sockets]
    async with asyncio.TaskGroup() as tasks:
        pairs = list(zip(sockets, queues, strict=True))
        running = [tasks.create_task(write(socket, queue)) for socket, queue in pairs]
        running += [tasks.create_task(read(socket)) for socket in sockets]
        yield [queue.put_nowait for queue in queues]
        for task in running:
            task.cancel()
    for socket in sockets:
        socket.transport.abort()


def bridged(chunk_ms: int = 0) -> Way:
    """Return the way through our bridges."""

    @asynccontextmanager
    async def bridge(port: int) -> AsyncIterator[Sequence[Send]]:
        config, metrics = GladiaConfig(f"http://127.0.0.1:{port}", "k"), Metrics()
        async with aiohttp.ClientSession() as http:
            bridges = [
                GladiaBridge(config, metrics, http, session=f"s{number}", chunk_ms=chunk_ms)
                for number in range(ROOMS)
            ]
            tasks = [asyncio.create_task(bridge.run(lambda event: None)) for bridge in bridges]
            while not all(bridge.statistics().connected for bridge in bridges):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            yield [bridge.send for bridge in bridges]
            waiting_s = max(bridge.statistics().unacknowledged_s for bridge in bridges)
            assert waiting_s < 1, "the stub did not keep up"
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return bridge


# The measuring.


async def pace(sends: Sequence[Send], run_s: float) -> int:
    """Give each room its pieces, each stamped with the time; return how many that were."""
    loop, sent = asyncio.get_running_loop(), 0
    ends_at = loop.time() + run_s
    padding = bytes(PIECE_BYTES - STAMP.size)

    def tick(send: Send, due_at: float) -> None:
        nonlocal sent
        send(STAMP.pack(time.monotonic()) + padding)
        sent += 1
        if due_at < ends_at:
            loop.call_at(due_at + PIECE_S, tick, send, due_at + PIECE_S)

    for number, send in enumerate(sends):
        first_at = loop.time() + PIECE_S * number / ROOMS
        loop.call_at(first_at, tick, send, first_at)
    await asyncio.sleep(run_s + 0.1)
    return sent


@dataclass
class Findings:
    """What was seen of one way: a cost for each round, and how old the pieces came."""

    costs_us: list[float] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)


async def measured(ways: dict[str, Way], pipe: Pipe) -> dict[str, Findings]:
    """Open the sockets of all ways, then let each have its turn, round after round."""
    findings = {name: Findings() for name in ways}
    async with AsyncExitStack() as stack:
        port = pipe.recv()
        sends = {name: await stack.enter_async_context(way(port)) for name, way in ways.items()}
        for each in sends.values():
            await pace(each, 0.1)  # warm
        for _ in range(ROUNDS):
            for name, found in findings.items():
                pipe.send(True)
                pipe.recv()  # what is older
                began_s = time.process_time()
                sent = await pace(sends[name], ROUND_S)
                found.costs_us.append((time.process_time() - began_s) * 1e6 / sent)
                pipe.send(True)
                # What a room held back at the end of its last turn comes now, and is no finding.
                found.ages_ms += (1000 * age_s for age_s in pipe.recv() if age_s < ROUND_S)
    return findings


def show(findings: dict[str, Findings]) -> None:
    """Print a line for each way; the first is what the pacing costs, and taken off."""
    pacing, *ways = findings.items()
    pacing_us = statistics.median(pacing[1].costs_us)
    print(f"{'':20} µs a piece   cores for {ROOMS} rooms   age of a piece, ms: p50     p99")
    for name, found in ways:
        each_us = statistics.median(found.costs_us) - pacing_us
        cores = each_us * ROOMS / PIECE_S / 1e6
        percentiles = statistics.quantiles(found.ages_ms, n=100)
        p50, p99 = percentiles[49], percentiles[98]
        print(f"{name:20} {each_us:10.1f} {cores:21.3f} {p50:27.2f} {p99:7.2f}")


def main() -> None:
    """Measure what was asked for."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    ways: dict[str, Way] = {"pacing": nothing}
    if "--chunk-ms" in sys.argv:
        ways |= {f"STT_CHUNK_MS={each}": bridged(each) for each in CHUNK_MS}
    else:
        ways |= {"bare loop": bare, "websockets client": library, "our bridge": bridged()}
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    stub = spawn.Process(target=serve, args=(theirs,), daemon=True)
    stub.start()
    show(uvloop.run(measured(ways, pipe)))
    pipe.send(False)
    stub.join()


if __name__ == "__main__":
    main()

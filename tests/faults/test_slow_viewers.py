"""A viewer that does not keep up costs bounded memory, and delays nobody."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from realtime_core.hub import wire
from realtime_core.logs import get_logger
from realtime_core.web.live import Limits
from tests.eventually import eventually
from tests.faults.proxy import Proxy
from tests.hub.examples import final
from tests.web.live_service import LiveService, hear, live_service, upgrade_request

WEEKLY = "sessionSlug=weekly"
VIEWERS = 500
MESSAGES = 60
LIMIT = 65_536
TEXT = "x" * 2_000
SOME_FRAMES = 3_000 * 4

log = get_logger("tests")


def said(seq: int) -> bytes:
    """Return the frame of a final, as long as the one that viewers get."""
    transcript = final(seq, TEXT, utterance=f"u{seq}")
    return wire.frame(wire.transcript_message(transcript, sent_at_ms=10**12).encode())


def p99_ms(latencies: list[float]) -> float:
    return sorted(latencies)[len(latencies) * 99 // 100] * 1000


class Reader(asyncio.Protocol):
    """A viewer that reads as fast as it can and looks at nothing but how much there is."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd, self.left, self.has_joined = crowd, 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(upgrade_request(WEEKLY))

    def data_received(self, data: bytes) -> None:
        if not self.has_joined:
            self.has_joined = b'"type":"ready"' in data
            return
        self.left -= len(data)
        if self.left == 0:
            self.crowd.has_read(self)


class Crowd:
    """Many viewers on real sockets, and how long each message takes to reach each of them."""

    def __init__(self, service: LiveService) -> None:
        self.service, self.seq = service, 0
        self.readers: list[Reader] = []
        self.most_buffered = 0
        self._latencies: list[float] = []
        self._waiting: set[Reader] = set()
        self._all_have = asyncio.Event()

    async def gather(self, viewers: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(viewers):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self.service.port))
            _, reader = await loop.create_connection(lambda: Reader(self), sock=sock)
            self.readers.append(reader)
        await eventually(lambda: all(reader.has_joined for reader in self.readers))

    async def say_until(self, is_over: Callable[[], object]) -> list[float]:
        """Say one thing after another, each when all that read have the one before."""
        self._latencies = []
        while not is_over():
            await self._say()
        return self._latencies

    async def _say(self) -> None:
        self.seq += 1
        length = len(said(self.seq))
        self._waiting = set(self.readers)
        self._all_have.clear()
        for reader in self.readers:
            reader.left += length
        self._said_at = time.perf_counter()
        self.service.hub.publish(final(self.seq, TEXT, utterance=f"u{self.seq}"))
        self.most_buffered = max(self.most_buffered, self.service.live.buffered_bytes())
        await self._all_have.wait()

    def has_read(self, reader: Reader) -> None:
        self._latencies.append(time.perf_counter() - self._said_at)
        self._waiting.discard(reader)
        if not self._waiting:
            self._all_have.set()

    def close(self) -> None:
        for reader in self.readers:
            reader.transport.abort()


@asynccontextmanager
async def crowded(viewers: int) -> AsyncIterator[Crowd]:
    limits = Limits(close_timeout_s=0.2)
    async with live_service(buffer_bytes=LIMIT, limits=limits) as service:
        crowd = Crowd(service)
        try:
            await crowd.gather(viewers)
            yield crowd
        finally:
            crowd.close()


@pytest.mark.alone
@pytest.mark.slow
async def test_one_of_five_hundred_that_stops_reading_delays_nobody() -> None:
    async with crowded(VIEWERS) as crowd:
        service, frozen = crowd.service, crowd.readers[VIEWERS // 2]
        before = await crowd.say_until(lambda: crowd.seq == MESSAGES)
        buffered_before = crowd.most_buffered

        frozen.transport.pause_reading()
        crowd.readers.remove(frozen)
        froze_at = crowd.seq
        during = await crowd.say_until(lambda: service.hub.viewers("weekly") < VIEWERS)

        assert crowd.seq - froze_at >= LIMIT // len(said(1))
        assert crowd.most_buffered - buffered_before <= LIMIT + SOME_FRAMES
        assert service.count("viewers_slow_total") == 1
        await eventually(lambda: service.count("viewers_closed_total", code="4008"))
        frozen.transport.abort()
        log.info(  # to be seen with -rP
            "One of the viewers froze",
            viewers=VIEWERS,
            p99_before_ms=p99_ms(before),
            p99_during_ms=p99_ms(during),
            most_buffered_bytes=crowd.most_buffered,
            messages_until_hung_up_on=crowd.seq - froze_at,
        )
        # Far above what a busy machine makes of equal things, far below a wait for a socket.
        assert p99_ms(during) < 5 * p99_ms(before) + 50


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[LiveService, Proxy]]:
    limits = Limits(close_timeout_s=0.2)
    async with (
        live_service(buffer_bytes=LIMIT, limits=limits) as service,
        Proxy.to("127.0.0.1", service.port) as proxy,
    ):
        yield service, proxy


@asynccontextmanager
async def viewer(service: LiveService, port: int, query: str) -> AsyncIterator[ClientConnection]:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    async with service.client(query, sock=sock) as client:
        yield client


async def numbers(client: ClientConnection, last: int) -> list[int]:
    """Return the numbers of what comes, up to ``last`` or to the end of the connection."""
    seen: list[int] = []
    with suppress(ConnectionClosed):
        while not seen or seen[-1] < last:
            seen.append((await hear(client))["seq"])
    return seen


async def say(service: LiveService, first: int, last: int) -> None:
    for seq in range(first, last + 1):
        service.hub.publish(final(seq, TEXT, utterance=f"u{seq}"))
        await asyncio.sleep(0)


async def come_back(service: LiveService, port: int, seen: list[int]) -> list[int]:
    """Return all that a viewer has seen when it came back after ``seen``."""
    async with viewer(service, port, f"{WEEKLY}&since={seen[-1]}&epoch=e1") as client:
        ready = await hear(client)
        assert ready["recovered"] is True
        return seen + [each["seq"] for each in ready["history"]]


async def test_a_viewer_behind_a_stalled_link_is_hung_up_on_and_misses_nothing() -> None:
    async with (
        behind_proxy() as (service, proxy),
        viewer(service, proxy.port, WEEKLY) as stuck,
        viewer(service, service.port, WEEKLY) as other,
    ):
        await hear(stuck)
        await hear(other)
        seq = 0
        with proxy.stalled():
            while service.hub.viewers("weekly") == 2:
                seq += 1
                await say(service, seq, seq)
                assert await numbers(other, seq) == [seq]
                assert service.live.buffered_bytes() <= LIMIT + SOME_FRAMES
            await eventually(lambda: len(service.live) == 1)
        seen = await numbers(stuck, seq)
        assert await come_back(service, proxy.port, seen) == list(range(1, seq + 1))


async def test_a_viewer_behind_a_slow_link_gets_everything_later_and_others_do_not() -> None:
    async with (
        behind_proxy() as (service, proxy),
        viewer(service, proxy.port, WEEKLY) as late,
        viewer(service, service.port, WEEKLY) as other,
    ):
        await hear(late)
        await hear(other)
        with proxy.slow(bytes_per_s=400_000):
            reading = asyncio.ensure_future(numbers(late, 40))
            with proxy.stalled():  # or how fast the machine is would decide
                await say(service, 1, 40)
                assert await numbers(other, 40) == list(range(1, 41))
                assert not reading.done()
            assert await reading == list(range(1, 41))
        assert service.count("viewers_slow_total") == 0


async def test_a_viewer_whose_link_is_reset_is_forgotten_at_once_and_comes_back() -> None:
    async with behind_proxy() as (service, proxy):
        async with viewer(service, proxy.port, WEEKLY) as client:
            await hear(client)
            await say(service, 1, 3)
            seen = await numbers(client, 3)
            proxy.reset()
            await eventually(lambda: len(service.live) == 0)
            await say(service, 4, 6)
        assert service.count("viewers_closed_total", code="1006") == 1
        assert service.count("viewers") == 0
        assert await come_back(service, proxy.port, seen) == [1, 2, 3, 4, 5, 6]

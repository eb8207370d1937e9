"""One viewer that does not read, on real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import pytest
import uvloop
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from realtime_core.hub.wire import CloseCode
from realtime_core.web.live import Limits
from tests.eventually import eventually
from tests.hub.examples import final
from tests.web.live_service import (
    LiveService,
    hear,
    live_service,
    narrow_socket,
    upgrade_request,
)

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
Loop = Callable[[], asyncio.AbstractEventLoop]
WEEKLY = "sessionSlug=weekly"
LIMIT = 65_536
LETTERS = 4_000
FRAME = 4_500  # more than a final of so many letters takes


def on(loop: Loop, scene: Callable[[LiveService], Awaitable[None]]) -> None:
    async def main() -> None:
        limits = Limits(close_timeout_s=0.2)
        async with live_service(buffer_bytes=LIMIT, limits=limits) as service:
            await scene(service)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


async def publish_until(service: LiveService, viewers: int, *, first: int = 1) -> int:
    """Publish finals until so few viewers are left; return the number of the next."""
    seq = first
    while service.hub.viewers("weekly") > viewers:
        service.hub.publish(final(seq, "x" * LETTERS, utterance=f"u{seq}"))
        assert service.live.buffered_bytes() <= LIMIT + FRAME + 20 * FRAME
        seq += 1
        await asyncio.sleep(0)  # let the sockets be written and the others read
    return seq


async def numbers(client: ClientConnection, last: int = sys.maxsize) -> list[int]:
    """Return the numbers of what comes, up to ``last`` or to the end of the connection."""
    seen: list[int] = []
    with suppress(ConnectionClosed):
        while not seen or seen[-1] < last:
            seen.append((await hear(client))["seq"])
    return seen


@pytest.mark.parametrize("loop", LOOPS)
def test_a_viewer_that_stops_reading_costs_only_itself(loop: Loop) -> None:
    async def scene(service: LiveService) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(service.client(WEEKLY)) for _ in range(20)]
            for client in clients:
                await hear(client)
            reading = [asyncio.create_task(numbers(client, last=150)) for client in clients]
            frozen = await narrow_socket(service)
            stack.callback(frozen.close)
            await asyncio.get_running_loop().sock_sendall(frozen, upgrade_request(WEEKLY))
            await eventually(lambda: service.hub.viewers("weekly") == 21)

            after = await publish_until(service, 20)
            for seq in range(after, 151):
                service.hub.publish(final(seq, utterance=f"u{seq}"))
                await asyncio.sleep(0)
            for task in reading:
                assert await task == list(range(1, 151))
            await eventually(lambda: len(service.live) == 20)
            assert service.count("viewers_slow_total") == 1
            assert service.count("viewers_closed_total", code="4008") == 1

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_viewer_that_was_too_slow_comes_back_and_misses_nothing(loop: Loop) -> None:
    async def scene(service: LiveService) -> None:
        async with service.client(WEEKLY, sock=await narrow_socket(service)) as client:
            await hear(client)
            following = await publish_until(service, 0)
            seen = await numbers(client)
            assert client.close_code == CloseCode.TOO_SLOW
        async with service.client(f"{WEEKLY}&since={seen[-1]}&epoch=e1") as client:
            ready = await hear(client)
            assert ready["recovered"] is True
            seen += [each["seq"] for each in ready["history"]]
        assert seen == list(range(1, following))

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_viewer_that_vanishes_is_forgotten(loop: Loop) -> None:
    async def scene(service: LiveService) -> None:
        sock = await narrow_socket(service)
        await asyncio.get_running_loop().sock_sendall(sock, upgrade_request(WEEKLY))
        await eventually(lambda: service.hub.viewers("weekly") == 1)
        sock.close()
        await eventually(lambda: len(service.live) == 0)
        assert service.hub.publish(final(1)) == service.count("viewers") == 0

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_frames_of_ours_and_of_the_library_do_not_mix(loop: Loop) -> None:
    async def scene(service: LiveService) -> None:
        async with service.client(WEEKLY) as client:
            await hear(client)
            pongs = []
            for seq in range(1, 31):  # within the allowed pace
                pongs.append(await client.ping())  # the client's parser is strict
                service.hub.publish(final(seq, "x" * (seq * 2500), utterance=f"u{seq}"))
                assert await numbers(client, seq) == [seq]
            await asyncio.gather(*pongs)

    on(loop, scene)

"""What the endpoint does as time passes, in virtual time and with its usual limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection

from realtime_core.hub.wire import CloseCode
from realtime_core.web.live import Limits
from tests.hub.examples import final
from tests.virtual_time import in_virtual_time
from tests.web.live_service import (
    LiveService,
    close_code,
    hear,
    live_service,
    say,
    upgrade_request,
)

# The simulated sockets have no buffer whose size could be set.
pytestmark = pytest.mark.filterwarnings("ignore::async_solipsism.SolipsismWarning")

LONG_PING = b"\x89\xfd\x00\x00\x00\x00" + bytes(125)
TOO_LONG = b"\x81\xfe\xff\xff\x00\x00\x00\x00" + b"x" * 65_535
WEEKLY = "sessionSlug=weekly"


def now() -> float:
    return asyncio.get_running_loop().time()


def with_client(
    scene: Callable[[LiveService, ClientConnection], Awaitable[None]], query: str = ""
) -> None:
    async def main() -> None:
        async with live_service() as service, service.client(query) as client:
            await scene(service, client)

    in_virtual_time(main())


def test_who_names_no_session_within_ten_seconds_is_closed() -> None:
    async def scene(_service: LiveService, client: ClientConnection) -> None:
        began = now()
        assert (await hear(client))["code"] == "no_subscribe"
        assert now() - began == pytest.approx(10, abs=0.1)
        assert await close_code(client) == CloseCode.NO_SUBSCRIBE

    with_client(scene)


def test_talking_does_not_put_off_the_time_to_subscribe() -> None:
    async def scene(_service: LiveService, client: ClientConnection) -> None:
        for _ in range(9):
            await asyncio.sleep(1)
            await say(client, type="ping")
            assert await hear(client) == {"type": "pong"}
        assert (await hear(client))["code"] == "no_subscribe"
        assert now() == pytest.approx(10, abs=0.1)

    with_client(scene)


def test_an_idle_viewer_that_answers_pings_stays_for_hours() -> None:
    async def scene(service: LiveService, client: ClientConnection) -> None:
        await hear(client)
        await asyncio.sleep(4 * 3600)
        service.hub.publish(final(1))
        assert (await hear(client))["type"] == "transcript"

    with_client(scene, WEEKLY)


def test_a_start_that_takes_a_minute_is_not_taken_for_silence() -> None:
    async def scene(service: LiveService, client: ClientConnection) -> None:
        service.control.may_end.clear()
        await say(client, type="start", sessionSlug="fresh")
        await asyncio.sleep(60)
        service.control.may_end.set()
        assert (await hear(client))["type"] == "started"
        assert (await hear(client))["type"] == "ready"

    with_client(scene)


def test_after_a_start_that_failed_there_are_ten_seconds_to_try_again() -> None:
    async def scene(service: LiveService, client: ClientConnection) -> None:
        await asyncio.sleep(9)
        await say(client, type="start", sessionSlug="fresh", bad=1)
        assert (await hear(client))["code"] == "invalid_request"
        await asyncio.sleep(9)
        await say(client, type="start", sessionSlug="fresh")
        assert (await hear(client))["type"] == "started"

    with_client(scene)


def test_whoever_sends_at_the_allowed_pace_is_never_closed() -> None:
    async def scene(_service: LiveService, client: ClientConnection) -> None:
        await hear(client)
        for _ in range(400):
            await say(client, type="ping")
            assert await hear(client) == {"type": "pong"}
            await asyncio.sleep(1 / 20)

    with_client(scene, WEEKLY)


async def gone(service: LiveService) -> float:
    """Wait until no socket is left, and return how long that took."""
    began = now()
    async with asyncio.timeout(600):
        while service.sockets:  # noqa: ASYNC110 - virtual time, and nothing announces it
            await asyncio.sleep(0.1)
    return now() - began


def with_deaf_client(
    scene: Callable[[LiveService, asyncio.StreamWriter], Awaitable[None]],
    limits: Limits | None = None,
) -> None:
    """Run ``scene`` with a viewer that takes nothing after the handshake."""

    async def main() -> None:
        async with live_service(limits=limits, buffer_bytes=100_000) as service:
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(upgrade_request(WEEKLY))
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined] # it reads, too
            try:
                await scene(service, writer)
            finally:
                writer.transport.abort()

    in_virtual_time(main())


def test_a_peer_that_does_not_answer_the_heartbeat_is_cut_off() -> None:
    async def scene(service: LiveService, _writer: asyncio.StreamWriter) -> None:
        assert await gone(service) == pytest.approx(25 + 12.5, abs=1)
        assert service.hub.viewers("weekly") == 0
        assert service.count("viewers_closed_total", code="1006") == 1

    with_deaf_client(scene)


def test_a_frozen_viewer_is_freed_five_seconds_after_it_was_hung_up_on() -> None:
    async def scene(service: LiveService, _writer: asyncio.StreamWriter) -> None:
        seq = 0
        while service.hub.viewers("weekly"):
            seq += 1
            service.hub.publish(final(seq, "x" * 1000, utterance=str(seq)))
        assert 90_000 < service.live.buffered_bytes() <= 102_000
        assert await gone(service) == pytest.approx(5, abs=0.2)
        assert service.count("viewers_closed_total", code="4008") == 1

    with_deaf_client(scene)


def test_a_shutdown_waits_for_a_frozen_viewer_only_so_long() -> None:
    async def scene(service: LiveService, _writer: asyncio.StreamWriter) -> None:
        for seq in range(1, 90):
            service.hub.publish(final(seq, "x" * 1000, utterance=str(seq)))
        began = now()
        await service.live.close()
        assert now() - began == pytest.approx(5, abs=0.2)

    with_deaf_client(scene)


def test_a_client_that_keeps_asking_and_does_not_read_is_closed() -> None:
    async def scene(service: LiveService, writer: asyncio.StreamWriter) -> None:
        while len(service.live) and service.hub.viewers("weekly"):
            writer.write(LONG_PING * 100)
            await asyncio.sleep(0.001)
            assert service.live.buffered_bytes() <= 262_144
        await gone(service)
        assert service.count("viewers_closed_total", code="4008") == 1

    with_deaf_client(scene, Limits(messages_per_s=1e9, burst=10**9, buffer_bytes=4096))


def test_a_client_that_breaks_the_rules_and_does_not_read_is_freed_too() -> None:
    async def scene(service: LiveService, writer: asyncio.StreamWriter) -> None:
        seq = 0
        while service.live.buffered_bytes() < 90_000:
            seq += 1
            service.hub.publish(final(seq, "x" * 1000, utterance=str(seq)))
        # aiohttp answers this with a close of its own, and waits for what was written to leave.
        writer.write(TOO_LONG)
        assert await gone(service) == pytest.approx(25, abs=1)

    with_deaf_client(scene)

"""Sessions that live and die in random ways, seeded: what publishers, viewers and Gladia do."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import aiohttp
import psutil

from realtime_core.app import Service
from realtime_core.processes import child_process
from tests.e2e.served import ROOT
from tests.eventually import eventually
from tests.faults.speaking import GOODBYE, Speech
from tests.rtmp.peer import Peer, peer
from tests.rtmp.vectors import HANDSHAKE, frame, full
from tests.web.live_service import upgrade_request

FRAMES = 50
PAUSE_S = 0.3
TROUBLE: tuple[dict[str, object], ...] = (
    {"name": "cut"},
    {"name": "cut", "code": 4500, "in_flight_bytes": 3200, "in_flight": "lost"},
    {"name": "accept_then_close", "code": 1011},
    {"name": "refuse_post", "status": 503},
    {"name": "refuse_post", "status": 401},
    {"name": "refuse_connect", "status": 403},
    {"name": "freeze", "seconds": 0.5},
    {"name": "swallow_stop"},
    {"name": "no_final"},
    {"name": "malformed_json"},
)


@asynccontextmanager
async def emulator_process() -> AsyncIterator[str]:
    """Run the emulator apart, so that what it holds is not counted; yield its URL."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
    argv = [sys.executable, "-m", "gladia_emulator", "--port", "0", "--max-sessions", "500"]
    options = ["--close-delay", "0.05", "--resume-window", "1"]
    async with child_process([*argv, *options], env=env, grace_s=2) as child:
        yield (await child.stdout.readline()).split()[-1].decode()


class World:
    """Services, their provider, and all that can happen to a session.

    Attributes:
        happened: How often each thing did.
    """

    def __init__(
        self, services: list[Service], said: Speech, emulator: str, http: aiohttp.ClientSession
    ) -> None:
        self.services, self.emulator = services, emulator
        self._said, self._http = said, http
        self.happened: Counter[str] = Counter()

    async def live(self, number: int) -> None:
        """Lead a session from its start to its end."""
        service, slug = self.services[number % len(self.services)], f"s{number}"
        random = Random(slug)
        while await self._post(service, "transcribe/start", slug) == 503:
            self.happened["refused"] += 1
            await asyncio.sleep(PAUSE_S)
        if random.random() < 0.4:
            await self._trouble(random.choice(TROUBLE) | {"session": slug})
        async with AsyncExitStack() as audience:
            for _ in range(random.randrange(3)):
                watch = random.choice((self._reader, self._frozen))
                await audience.enter_async_context(watch(service, slug))
            publish = random.choice((*PUBLISHERS, Publisher.clean, Publisher.reset))
            self.happened[publish.__name__] += 1
            async with peer(service.rtmp_port) as one:
                publisher = Publisher(one, service.rtmp_port, slug, self._said)
                with suppress(ConnectionError, Refused):
                    await publish(publisher)
            if random.random() < 0.2:
                self._kill_a_decoder(random)
            if random.random() < 0.5:
                await self._post(service, "active-speaker", slug, identity="a:1", name="Alice")
                await self._post(service, "transcribe/stop", slug)
        await eventually(lambda: slug not in {each.slug for each in service.registry})

    async def _post(self, service: Service, path: str, slug: str, **more: str) -> int:
        body = {"sessionSlug": slug, **more}
        async with self._http.post(f"{service.url}/api/realtime/{path}", json=body) as response:
            await response.read()
            return response.status

    async def _trouble(self, fault: dict[str, object]) -> None:
        self.happened[str(fault["name"])] += 1
        async with self._http.post(f"{self.emulator}/_control/faults", json=fault) as response:
            assert response.status == 201

    def _kill_a_decoder(self, random: Random) -> None:
        children = psutil.Process().children(recursive=True)
        with suppress(psutil.NoSuchProcess, IndexError):
            random.choice([each for each in children if "pipe:0" in each.cmdline()]).kill()
            self.happened["kill"] += 1

    @asynccontextmanager
    async def _reader(self, service: Service, slug: str) -> AsyncIterator[None]:
        url = f"{service.url}/api/realtime/transcribe"
        async with self._http.ws_connect(url, params={"sessionSlug": slug}) as socket:
            reading = asyncio.ensure_future(_read(socket))
            try:
                yield
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    @asynccontextmanager
    async def _frozen(self, service: Service, slug: str) -> AsyncIterator[None]:
        """A viewer that never reads, and leaves without a word."""
        _, writer = await asyncio.open_connection("127.0.0.1", service.port, limit=1)
        writer.write(upgrade_request(f"sessionSlug={slug}"))
        self.happened["frozen"] += 1
        try:
            yield
        finally:
            writer.transport.abort()


async def _read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


class Refused(Exception):
    """The session was over before the publisher came."""


class Publisher:
    """The ways in which a publisher can come and go."""

    def __init__(self, one: Peer, port: int, slug: str, said: Speech) -> None:
        self._one, self._port, self._slug, self._said = one, port, slug, said

    async def clean(self) -> None:
        await self._speak(self._one)
        self._one.say(GOODBYE)
        await self._one.until_hung_up_on()

    async def leave(self) -> None:
        await self._speak(self._one)
        self._one.leave()

    async def reset(self) -> None:
        await self._speak(self._one)
        self._one.reset()

    async def come_back(self) -> None:
        await self._speak(self._one)
        self._one.reset()
        async with peer(self._port) as again:
            await self._speak(again)

    async def be_replaced(self) -> None:
        await self._speak(self._one)
        async with peer(self._port) as other:
            await self._speak(other)
            await self._one.until_hung_up_on()

    async def talk_garbage(self) -> None:
        await self._speak(self._one)
        self._one.say(bytes(range(256)) * 40)
        await self._one.until_hung_up_on()

    async def send_what_is_no_audio(self) -> None:
        await self._publish(self._one)
        noise = b"".join(full(4, 23 * i, frame(300, i)) for i in range(9))
        self._one.say(full(4, 0, self._said.config) + noise)
        await asyncio.sleep(PAUSE_S)

    async def say_nothing(self) -> None:
        await self._publish(self._one)
        await asyncio.sleep(PAUSE_S)

    async def stop_half_way(self) -> None:
        self._one.say(HANDSHAKE[:2000])

    async def stay_away(self) -> None:
        """Nobody publishes."""

    async def _speak(self, one: Peer) -> None:
        await self._publish(one)
        one.say(self._said.messages(0, FRAMES))
        await asyncio.sleep(PAUSE_S)

    async def _publish(self, one: Peer) -> None:
        try:
            await one.publish(self._slug)
        except AssertionError as exc:
            raise Refused from exc


PUBLISHERS: tuple[Callable[[Publisher], Awaitable[None]], ...] = (
    Publisher.clean, Publisher.leave, Publisher.reset, Publisher.come_back, Publisher.be_replaced,
    Publisher.talk_garbage, Publisher.send_what_is_no_audio, Publisher.say_nothing,
    Publisher.stop_half_way, Publisher.stay_away,
)  # fmt: skip

"""The whole system: the service as a process, and everything it talks to behind fault proxies."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp

from gladia_emulator.server import Emulator
from tests.chaos.database import Database, running_database
from tests.chaos.judge import Evidence, Span
from tests.chaos.publisher import Publisher
from tests.chaos.service import ServiceProcess
from tests.chaos.tape import recorded
from tests.chaos.viewer import Viewer
from tests.faults.proxy import Proxy

KEY = "emulator-key"
SPEAKERS_EVERY_S, SCRAPED_EVERY_S = 0.5, 5.0
PROMISES = ("transcripts_lost_total", "transcript_promises_broken_total")
"""Metrics that have to be 0."""


@dataclass
class World:
    """What there is to be broken.

    Attributes:
        lines: The proxy in front of the RTMP server, for each publisher.
        windows: The proxy in front of the WebSockets of viewers.
        excuses, withheld: See :class:`~tests.chaos.judge.Evidence`; faults add to them.
        broken: The promises that the metrics say were broken.
    """

    service: ServiceProcess
    database: Database
    emulator: Emulator
    stt: Proxy
    windows: Proxy
    http: aiohttp.ClientSession
    random: Random
    lines: dict[str, Proxy] = field(default_factory=dict)
    publishers: dict[str, Publisher] = field(default_factory=dict)
    viewers: list[Viewer] = field(default_factory=list)
    excuses: list[Span] = field(default_factory=list)
    withheld: list[Span] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)

    @property
    def slugs(self) -> list[str]:
        """The sessions."""
        return list(self.publishers)

    @property
    def is_live(self) -> bool:
        """Whether every session's audio flows."""
        return all(each.is_live for each in self.publishers.values())

    async def post(self, path: str, body: object) -> int:
        """Return the status of a request to the service."""
        async with self.http.post(f"{self.service.url}{path}", json=body) as response:
            await response.read()
            return response.status

    async def scrape(self) -> None:
        """Look whether a promise is broken by now. A service that is down says nothing."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self.http.get(f"{self.service.url}/metrics") as response:
                text = await response.text()
            for name in PROMISES:
                values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
                self.broken[name] = max(self.broken[name], round(sum(map(float, values))))

    async def evidence(self) -> Evidence:
        """Return what is known."""
        publishers = self.publishers.values()
        spoken = [each for publisher in publishers for each in publisher.spoken()]
        breaks = [span for publisher in publishers for span in publisher.unheard]
        rows = await self.database.finals()
        views = [viewer.view for viewer in self.viewers]
        return Evidence(spoken, rows, views, self.excuses + breaks, self.withheld)


@asynccontextmanager
async def running_world(
    folder: Path, ffmpeg: str, random: Random, *, sessions: int, viewers: int
) -> AsyncIterator[World]:
    """Run the whole system, publishers and viewers included, for the length of a block."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(running_database())
        # What each session said before is in the finals; its audio would fill the memory.
        emulator = Emulator(api_key=KEY, max_sessions=100, kept_audio_s=0.0, kept_sessions=20)
        await stack.enter_async_context(emulator)
        stt = await stack.enter_async_context(Proxy.to("127.0.0.1", emulator.port))
        service = ServiceProcess(_settings(database, stt, folder), folder / "service.log")
        stack.push_async_callback(service.close)
        windows = await stack.enter_async_context(Proxy.to("127.0.0.1", service.port))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
        connector = aiohttp.TCPConnector(limit=0)
        http = aiohttp.ClientSession(timeout=timeout, connector=connector)
        await stack.enter_async_context(http)
        world = World(service, database, emulator, stt, windows, http, random)
        await service.start()
        for number in range(sessions):
            await _add_session(world, stack, f"session-{number}", ffmpeg, viewers)
        await stack.enter_async_context(_going(world))
        yield world


def _settings(database: Database, stt: Proxy, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database.dsn,
        "DATA_DIR": str(folder / "data"),
        # It answers with the url of the host that it was asked by: the proxy.
        "GLADIA_API_URL": f"http://127.0.0.1:{stt.port}",
        "GLADIA_API_KEY": KEY,
        "SPEAKER_LAG_MS": "0",
        "LOG_FORMAT": "json",
    }


async def _add_session(
    world: World, stack: AsyncExitStack, slug: str, ffmpeg: str, viewers: int
) -> None:
    tape = await asyncio.to_thread(recorded, ffmpeg, world.random)
    line = await stack.enter_async_context(Proxy.to("127.0.0.1", world.service.rtmp_port))
    status = await world.post("/api/realtime/transcribe/start", {"sessionSlug": slug})
    assert status == 201, f"start answered {status}"
    world.lines[slug] = line
    world.publishers[slug] = Publisher(slug, tape, line.port)
    url = f"http://127.0.0.1:{world.windows.port}/api/realtime/transcribe"
    world.viewers += [
        Viewer(url, slug, Random(world.random.random()), is_rude=number == viewers - 1)
        for number in range(viewers)
    ]


@asynccontextmanager
async def _going(world: World) -> AsyncIterator[None]:
    """Run all that goes on by itself, until the block is left."""
    going: list[Awaitable[None]] = [each.run() for each in world.publishers.values()]
    going += [each.run(world.http) for each in world.viewers]
    going += [_report_speakers(world, slug) for slug in world.slugs]
    going.append(_scrape(world))
    tasks = [asyncio.ensure_future(each) for each in going]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        if faulty := [each for each in ends if isinstance(each, Exception)]:
            raise ExceptionGroup("the harness itself failed", faulty)


async def _report_speakers(world: World, slug: str) -> None:
    for number in range(10**9):
        name = ("Alice", "Bob", "Carol")[number // 10 % 3]
        report = {"sessionSlug": slug, "identity": f"{name.lower()}:1", "name": name}
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(2.0):
                await world.post("/api/active-speaker", report)
        await asyncio.sleep(SPEAKERS_EVERY_S)


async def _scrape(world: World) -> None:
    while True:
        await asyncio.sleep(SCRAPED_EVERY_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(SCRAPED_EVERY_S):
                await world.scrape()

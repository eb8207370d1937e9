"""A service with healthy sessions, spoken to and watched all the time, beside sick ones.

What is measured, from outside: how long after a sound was sent what was heard of it reaches
the viewer, by the first draft of each utterance. The provider waits for a word before it;
that is part of each figure, and the same in all of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import psutil

from realtime_core.app import Service, running
from realtime_core.settings import load
from tests.e2e.river import KEY
from tests.faults.decoders import decoders
from tests.faults.lives import emulator_process
from tests.faults.speaking import Speech, speak
from tests.rtmp.peer import peer

HEALTHY = ("ann", "bob")
LEAST_S, ENOUGH, MOST_S = 1.8, 6, 10.0
"""A phase lasts until there is something to take a median of, and no longer than that."""
SETTINGS = {
    "port": 0,
    "rtmp_internal_port": 0,
    "database_url": "none",
    "gladia_api_key": KEY,
    "ffmpeg_retries": 100,  # a phase lasts as long as it needs to
    "ffmpeg_retry_delay_s": 0.1,
    "publish_grace_s": 1,
    "stt_drain_timeout_s": 1,
    "stop_grace_s": 2,
}


@dataclass
class Watched:
    """A healthy session: how late first drafts came, and where its finals ended."""

    lags_s: list[float] = field(default_factory=list)
    ended_at_s: list[float] = field(default_factory=list)

    async def watch(self, socket: aiohttp.ClientWebSocketResponse, began_at: float) -> None:
        """Note what comes; the session clock began with the first sound."""
        async for raw in socket:
            message = json.loads(raw.data)
            if message["type"] != "transcript":
                continue
            if message["isFinal"]:
                self.ended_at_s.append(message["endedAt"])
            elif message["rev"] == 1:
                now_s = asyncio.get_running_loop().time() - began_at
                self.lags_s.append(now_s - message["endedAt"])


@dataclass(frozen=True)
class Figures:
    """One phase, over all healthy sessions.

    Attributes:
        median_s, worst_s: From a sound to what is read of it; infinite if nothing came.
        ingest_mean_ms: From a message of the provider to bytes for the viewers.
        turn_worst_ms: How late the event loop ran a timer.
    """

    utterances: int
    median_s: float
    worst_s: float
    ingest_mean_ms: float
    turn_worst_ms: float


class Ward:
    """A service with healthy and sick sessions."""

    def __init__(
        self, service: Service, emulator: str, http: aiohttp.ClientSession, said: Speech
    ) -> None:
        self.service, self.said = service, said
        self._emulator, self._http = emulator, http
        self._watched = {slug: Watched() for slug in HEALTHY}
        self._decoders: set[int] = set()

    @asynccontextmanager
    async def healthy(self) -> AsyncIterator[None]:
        """Speak to the healthy sessions and watch them, for the length of a block."""
        async with AsyncExitStack() as stack:
            for slug in HEALTHY:
                began_at = await stack.enter_async_context(self.speaking(slug))
                url = f"{self.service.url}/api/realtime/transcribe"
                ws = self._http.ws_connect(url, params={"sessionSlug": slug})
                watching = self._watched[slug].watch(await stack.enter_async_context(ws), began_at)
                await stack.enter_async_context(in_background(watching))
            await self.measured()
            yield

    @asynccontextmanager
    async def speaking(self, slug: str) -> AsyncIterator[float]:
        """Start a session and speak to it in real time; yield when it began."""
        await self.start(slug)
        async with peer(self.service.rtmp_port) as one:
            await one.publish(slug)
            began_at = asyncio.get_running_loop().time()
            async with in_background(speak(one, self.said)):
                yield began_at

    async def start(self, slug: str) -> None:
        url = f"{self.service.url}/api/realtime/transcribe/start"
        async with self._http.post(url, json={"sessionSlug": slug}) as response:
            assert response.status == 201

    async def fault(self, slug: str, name: str, **params: object) -> None:
        """Let the provider fail a session, again and again."""
        fault = {"name": name, "session": slug, "times": None, **params}
        async with self._http.post(f"{self._emulator}/_control/faults", json=fault) as response:
            assert response.status == 201

    def look_at_decoders(self) -> None:
        """Take all that run now for well, or for somebody else's."""
        self._decoders = {each.pid for each in decoders()}

    def sick_decoders(self) -> list[psutil.Process]:
        return [each for each in decoders() if each.pid not in self._decoders]

    async def measured(self) -> Figures:
        """Measure for a while."""
        for watched in self._watched.values():
            watched.lags_s.clear()
        ingest = self.service.metrics.ingest_broadcast_latency
        count, total_s = ingest.count, ingest.total_s
        worst_turn_s = await worst_turn(lambda: len(self._lags_s()) >= ENOUGH)
        lags_s = self._lags_s()
        return Figures(
            len(lags_s),
            median(lags_s or [inf]),
            max(lags_s, default=inf),
            (ingest.total_s - total_s) / max(ingest.count - count, 1) * 1000,
            worst_turn_s * 1000,
        )

    def _lags_s(self) -> list[float]:
        return [lag for each in self._watched.values() for lag in each.lags_s]

    def finals(self, slug: str) -> list[float]:
        """Return where the finals of a healthy session ended, on its clock."""
        return self._watched[slug].ended_at_s


async def worst_turn(has_enough: Callable[[], bool]) -> float:
    """Return how late the event loop ran a timer at worst, until a phase is over."""
    loop = asyncio.get_running_loop()
    since, worst = loop.time(), 0.0
    while (began := loop.time()) < since + (LEAST_S if has_enough() else MOST_S):
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - began - 0.01)
    return worst


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert ended is None or isinstance(ended, asyncio.CancelledError), ended


@asynccontextmanager
async def ward_of(said: Speech, folder: Path) -> AsyncIterator[Ward]:
    """Run a service and its provider; nothing is stored."""
    async with emulator_process() as emulator, aiohttp.ClientSession() as http:
        values = SETTINGS | {"data_dir": folder, "gladia_api_url": emulator}
        async with running(await asyncio.to_thread(load, **values)) as service:
            yield Ward(service, emulator, http, said)

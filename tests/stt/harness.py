"""A bridge at work beside a fake provider, and what it told its session."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiohttp

from realtime_core.metrics import Metrics
from realtime_core.model import AudioGap, SpeechHeard, SttEvent, SttStatus
from realtime_core.stt.config import GladiaConfig, Waits
from realtime_core.stt.gladia import GladiaBridge
from tests.stt.fake_gladia import API_KEY, FakeGladia

E = TypeVar("E", bound=SttEvent)

# Real sockets need real, small waits.
QUICK = Waits(probe_s=0.02, settle_s=0.05, recover_s=0.1, poll_s=0.01, tick_s=0.01)


def at_once() -> Iterator[float]:
    return itertools.repeat(0.0)


class Pauses:
    """A maker of pauses that takes none, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def __call__(self) -> Iterator[float]:
        for number in itertools.count():
            self.taken.append(number)
            yield 0.0


class Running:
    """A bridge whose ``run`` is under way."""

    def __init__(self, bridge: GladiaBridge, metrics: Metrics) -> None:
        self.bridge, self.metrics = bridge, metrics
        self.events: list[SttEvent] = []
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(bridge.run(self._emit))
        self.task.add_done_callback(lambda _task: self._changed.set())

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def heard(self) -> list[SpeechHeard]:
        return self.of(SpeechHeard)

    @property
    def gaps(self) -> list[AudioGap]:
        return self.of(AudioGap)

    @property
    def statuses(self) -> list[bool]:
        return [status.available for status in self.of(SttStatus)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for events."""
        while not condition():
            assert not self.task.done()
            self._changed.clear()
            await self._changed.wait()

    async def finish(self) -> None:
        """End the audio and wait for the end."""
        self.bridge.end()
        await self.task

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def _emit(self, event: SttEvent) -> None:
        self.events.append(event)
        self._changed.set()


def config(gladia: FakeGladia, **options: Any) -> GladiaConfig:
    return GladiaConfig(**{"api_url": gladia.url, "api_key": API_KEY, **options})


@asynccontextmanager
async def bridged(gladia: FakeGladia | None, **options: Any) -> AsyncIterator[Running]:
    """Run a bridge for the length of a block; what still runs then is cancelled.

    Beside something else than the fake, ``config`` has to say where that is.
    """
    options = {"session": "weekly", "delays": at_once, "slow_delays": at_once} | options
    options = {"waits": QUICK} | options
    if gladia is not None:
        options = {"config": config(gladia)} | options
    metrics = Metrics()
    async with aiohttp.ClientSession() as http:
        running = Running(GladiaBridge(metrics=metrics, http=http, **options), metrics)
        try:
            yield running
        finally:
            if not running.task.done():
                running.task.cancel()
                with suppress(asyncio.CancelledError):
                    await running.task


def speech(seconds: float, *, first: int = 0) -> bytes:
    """Return audio in which every sample says where it is."""
    count = round(seconds * 16_000)
    return b"".join((n % 65_536).to_bytes(2, "little") for n in range(first, first + count))

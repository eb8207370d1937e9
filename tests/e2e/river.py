"""The whole service for a test: real RTMP, FFmpeg, PostgreSQL and WebSockets; Gladia emulated."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gladia_emulator.scripted import silence, tone
from gladia_emulator.server import Emulator
from realtime_core.app import Service, running
from realtime_core.processes import child_process
from realtime_core.settings import load

KEY = "emulator-key"
PAUSE_S = 0.8


def write_tones(path: Path, *frequencies_hz: int, each_s: float = 1.2) -> Path:
    """Write a recording in which each "utterance" is a tone, with pauses between them."""
    pcm = silence(PAUSE_S)
    for frequency_hz in frequencies_hz:
        pcm += tone(frequency_hz, each_s) + silence(PAUSE_S)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm)
    return path


@dataclass
class Viewer:
    """A viewer's connection and all it saw."""

    socket: aiohttp.ClientWebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read until a message fits; return it."""
        async for raw in self.socket:
            message: dict[str, Any] = json.loads(raw.data)
            self.messages.append(message)
            if condition(message):
                return message
        raise AssertionError(f"closed with {self.socket.close_code} before it came")

    async def to_the_end(self) -> list[dict[str, Any]]:
        """Read until the service closes the connection; return everything."""
        async for raw in self.socket:
            self.messages.append(json.loads(raw.data))
        return self.messages

    @property
    def finals(self) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["type"] == "transcript" and m["isFinal"]]

    @property
    def drafts(self) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["type"] == "transcript" and not m["isFinal"]]


@dataclass
class River:
    """A running service and its emulated provider."""

    service: Service
    emulator: Emulator
    http: aiohttp.ClientSession
    ffmpeg: str

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        async with self.http.post(f"{self.service.url}{path}", json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(f"{self.service.url}{path}", headers=headers) as response:
            return response.status, await response.text()

    async def start(self, slug: str) -> str:
        """Start a session; return its RTMP URL."""
        status, answer = await self.post("/api/realtime/transcribe/start", {"sessionSlug": slug})
        assert status in (200, 201), answer
        return str(answer["rtmpUrl"])

    @asynccontextmanager
    async def viewer(self, slug: str, **query: str) -> AsyncIterator[Viewer]:
        url = f"{self.service.url}/api/realtime/transcribe"
        async with self.http.ws_connect(url, params={"sessionSlug": slug, **query}) as socket:
            yield Viewer(socket)

    async def publish(self, recording: Path, url: str, *options: str) -> None:
        """Publish a recording with FFmpeg, as fast as real time, to its end."""
        argv = [self.ffmpeg, "-nostdin", "-loglevel", "error", "-re", *options]
        argv += ["-i", str(recording), "-vn", "-c:a", "aac", "-ar", "44100", "-ac", "2"]
        async with child_process([*argv, "-f", "flv", url], env={}, grace_s=1.0) as process:
            await process.stdout.read()
        assert process.returncode == 0, process.complaints.lines()


@asynccontextmanager
async def running_river(
    dsn: str, ffmpeg: str, data_dir: Path, recognizer: str = "scripted", **settings: Any
) -> AsyncIterator[River]:
    """Run the whole system for the length of a block."""
    defaults: dict[str, Any] = {
        "port": 0,
        "rtmp_internal_port": 0,
        "database_url": dsn,
        "data_dir": data_dir,
        "gladia_api_key": KEY,
        "speaker_lag_ms": 0,
        "batch_max_wait_s": 0.2,
    }
    emulated = Emulator(api_key=KEY, recognizer=recognizer)
    async with emulated as emulator, aiohttp.ClientSession() as http:
        values = defaults | {"gladia_api_url": emulator.url} | settings
        async with running(await asyncio.to_thread(load, **values)) as service:
            yield River(service, emulator, http, ffmpeg)


async def gathered(*awaitables: Any) -> list[Any]:
    """Run things side by side; the first failure ends the rest."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_awaited(each)) for each in awaitables]
    return [task.result() for task in running]


async def _awaited(awaitable: Any) -> Any:
    return await awaitable

"""``realtime-core`` as a process of its own, for tests that stop, kill and restart it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil

from gladia_emulator.server import Emulator
from realtime_core.processes import Child, child_process
from tests.e2e.river import KEY, Viewer

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def command(*arguments: str, **environment: str) -> AsyncIterator[Child]:
    """Run ``realtime-core`` with nothing in its environment but what is given."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environment}
    argv = [sys.executable, "-m", "realtime_core", *arguments]
    async with child_process(argv, env=env, grace_s=10.0) as child:
        yield child


class Served:
    """A served process, once it said that it is ready."""

    def __init__(self, child: Child, ready: Mapping[str, object]) -> None:
        self.child, self.url = child, str(ready["url"])
        self.process = psutil.Process(child.pid)

    def children(self, name: str) -> list[psutil.Process]:
        return [each for each in self.process.children(recursive=True) if name in each.name()]


@asynccontextmanager
async def serving(
    emulator: Emulator, dsn: str, data_dir: Path, **environment: str
) -> AsyncIterator[Served]:
    settings = {
        "PORT": "0",
        "RTMP_INTERNAL_PORT": "0",
        "DATABASE_URL": dsn,
        "DATA_DIR": str(data_dir),
        "GLADIA_API_URL": emulator.url,
        "GLADIA_API_KEY": KEY,
        "LOG_FORMAT": "json",
        "BATCH_MAX_WAIT_S": "60",  # only what stopping flushes is stored
    }
    async with command("serve", **(settings | environment)) as child:
        async for line in child.stdout:
            message = json.loads(line)
            if message["message"] == "Ready":
                yield Served(child, message)
                child.signal_group(signal.SIGTERM)  # unless it is gone
                return
        raise AssertionError(child.complaints.lines())


@asynccontextmanager
async def published(
    served: Served, ffmpeg: str, recording: Path, http: aiohttp.ClientSession
) -> AsyncIterator[Viewer]:
    """Start a session, watch it and publish to it until the block is left."""
    start = f"{served.url}/api/realtime/transcribe/start"
    async with http.post(start, json={"sessionSlug": "weekly"}) as response:
        rtmp_url = (await response.json())["rtmpUrl"]
    argv = [ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1"]
    argv += ["-i", str(recording), "-c:a", "aac", "-f", "flv", rtmp_url]
    watch = f"{served.url}/api/realtime/transcribe?sessionSlug=weekly"
    async with (
        http.ws_connect(watch) as socket,
        child_process(argv, env={}, grace_s=0.5),
    ):
        yield Viewer(socket)

"""The three processes of the load around the real service: nothing is lost, all in a second."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from realtime_core.processes import Child, child_process
from tests.e2e.served import ROOT, command
from tests.eventually import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow, pytest.mark.timeout(60)]

ROOMS = ("room-0", "room-1")
SECONDS = 4
SECOND_NS = 1_000_000_000


class Load:
    """A process of the load."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def hear(self) -> dict[str, Any]:
        line = await self._child.stdout.readline()
        assert line, self._child.complaints.lines()
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self, word: str) -> None:
        self._child.stdin.write(f"{word}\n".encode())

    async def ask(self, word: str) -> dict[str, Any]:
        self.tell(word)
        return await self.hear()


@asynccontextmanager
async def load(name: str, **options: object) -> AsyncIterator[Load]:
    argv = [sys.executable, "-m", f"bench.load.{name}"]
    for option, value in options.items():
        argv += [f"--{option.replace('_', '-')}", str(value)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    async with child_process(argv, env=env, grace_s=5.0) as child:
        yield Load(child)
    assert child.returncode == 0, child.complaints.lines()


@asynccontextmanager
async def service(stt_port: int, data_dir: Path) -> AsyncIterator[str]:
    settings = {
        "PORT": "0",
        "RTMP_INTERNAL_PORT": "0",
        "DATABASE_URL": "none",
        "DATA_DIR": str(data_dir),
        "GLADIA_API_URL": f"http://127.0.0.1:{stt_port}",
        "GLADIA_API_KEY": "any",
        "LOG_FORMAT": "json",
    }
    async with command("serve", **settings) as child:
        async for line in child.stdout:
            message = json.loads(line)
            if message["message"] == "Ready":
                yield str(message["url"])
                child.signal_group(signal.SIGTERM)
                return
        raise AssertionError(child.complaints.lines())


async def started(url: str) -> int:
    """Start the sessions; return the RTMP port."""
    rtmp_url = ""
    async with aiohttp.ClientSession() as http:
        for slug in ROOMS:
            start = f"{url}/api/realtime/transcribe/start"
            async with http.post(start, json={"sessionSlug": slug}) as response:
                rtmp_url = str((await response.json())["rtmpUrl"])
    return urlsplit(rtmp_url).port or 0


def _latencies_ns(sent: Sequence[Sequence[int]], heard: Sequence[Sequence[int]]) -> list[int]:
    """Pair beeps, which are fewer here than there are tones."""
    arrived = {beep[0]: beep[1] for beep in heard}
    return [arrived[tone] - left_ns for _number, tone, left_ns in sent]


async def test_all_beeps_and_all_stamps_arrive(tmp_path: Path) -> None:
    count = len(ROOMS)
    async with AsyncExitStack() as stack:
        stt = await stack.enter_async_context(load("stt", rooms=count))
        url = await stack.enter_async_context(service((await stt.hear())["port"], tmp_path))
        rtmp_port = await started(url)
        publish = await stack.enter_async_context(
            load("publish", port=rtmp_port, rooms=count, seconds=SECONDS, spread_s=0.1)
        )
        view = await stack.enter_async_context(
            load("view", port=urlsplit(url).port, rooms=count, per_room=2)
        )
        assert await view.hear() == {"viewers": 2 * count}
        await publish.hear()
        publish.tell("go")
        published = await publish.hear()
        seen = await everything_seen(stt, view)
        heard = await stt.ask("report")
    for slug in ROOMS:
        sent, came = published["rooms"][slug], heard["rooms"][slug]
        assert sent["failed"] is None
        assert [beep[1] for beep in sent["beeps"]] == [0, 1, 2, 3]
        assert len(came["beeps"]) == 4
        assert came["tornBeeps"] == 0
        assert all(0 < each < SECOND_NS for each in _latencies_ns(sent["beeps"], came["beeps"]))
        assert seen["byRoom"][slug]["stamps"] == [came["stampsSent"]] * 2
        assert came["stampsSent"] > 2 * SECONDS
    assert 0 < seen["latencyMs"]["max"] < 1_000


async def everything_seen(stt: Load, view: Load) -> dict[str, Any]:
    """Return what the viewers saw when they have been hung up on: the sessions have drained."""
    seen: dict[str, Any] = {}

    async def is_over() -> bool:
        seen.update(await view.ask("report"))
        return int(sum(seen["closed"].values())) == 2 * len(ROOMS)

    await eventually(is_over, within_s=20)
    return seen

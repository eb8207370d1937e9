"""Resources come back (promise 7), whatever sessions, publishers, viewers and Gladia do.

Two hundred sessions and more live and die in random ways, seeded: half decode with FFmpeg
processes, half inside the process. A first part of them warms everything up; what the
process has after it is what it must have again after the rest.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import re
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from realtime_core.app import Service, running
from realtime_core.captioner import Captioner
from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.inprocess import InprocessDecoder
from realtime_core.hub.rooms import Room
from realtime_core.logs import get_logger
from realtime_core.processes import Child
from realtime_core.rtmp.connection import Connection as RtmpConnection
from realtime_core.session import Session
from realtime_core.settings import load
from realtime_core.stt.connection import Connection as SttConnection
from realtime_core.stt.gladia import GladiaBridge
from tests.e2e.river import KEY
from tests.eventually import eventually
from tests.faults.lives import PUBLISHERS, TROUBLE, World, emulator_process
from tests.faults.speaking import Speech, speech

pytestmark = [
    pytest.mark.alone, pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow,
    pytest.mark.timeout(150),
]  # fmt: skip

log = get_logger("tests")

WARM_UP, MEASURED, AT_ONCE = 120, 120, 24
PER_SESSION = (
    Session, Captioner, FfmpegDecoder, InprocessDecoder, GladiaBridge, SttConnection,
    RtmpConnection, Room, Child,
)  # fmt: skip
GAUGES = (
    "sessions", "rtmp_connections", "rtmp_publishers", "stt_connections", "viewers",
    "viewer_buffered_bytes", "decoder_queue_seconds", "stt_unacknowledged_seconds",
    "http_posts_waiting", "journal_rows",
)  # fmt: skip
SETTINGS = {
    "port": 0,
    "rtmp_internal_port": 0,
    "gladia_api_key": KEY,
    "publish_grace_s": 0.4,
    "session_idle_timeout_s": 0.6,
    "stt_drain_timeout_s": 0.8,
    "draft_timeout_s": 0.5,
    "ffmpeg_retries": 1,
    "ffmpeg_retry_delay_s": 0.1,
    "batch_max_wait_s": 0.1,
    "max_sessions": AT_ONCE // 2,
    "stop_grace_s": 2,
    "database_pool_size": 1,
}


@dataclass(frozen=True)
class Footprint:
    """What this process holds."""

    tasks: Counter[str]
    files: int
    children: int
    threads: Counter[str]
    memory_bytes: int


def footprint(emulator: str) -> Footprint:
    gc.collect()
    if sys.platform == "linux":  # what the allocator keeps is held by nobody
        ctypes.CDLL(None).malloc_trim(0)
    process = psutil.Process()
    # A loop's executor grows to a bound as it is used.
    threads = [each for each in threading.enumerate() if not each.name.startswith("asyncio_")]
    # Idle connections to the provider's API are kept for the next session, for some seconds.
    ports = [each.raddr[-1] for each in process.net_connections() if each.status == "ESTABLISHED"]
    return Footprint(
        tasks=Counter(without_numbers(task.get_name()) for task in asyncio.all_tasks()),
        files=process.num_fds() - ports.count(urlsplit(emulator).port or 0),
        children=len(process.children(recursive=True)),
        threads=Counter(without_numbers(each.name) for each in threads),
        memory_bytes=process.memory_info().rss,
    )


def without_numbers(name: str) -> str:
    return re.sub(r"[0-9]+", "N", name)


def held_for_sessions() -> Counter[str]:
    """Count what belongs to single sessions and is still known to the garbage collector."""
    gc.unfreeze()  # what the services have frozen is not listed
    gc.collect()
    return Counter(
        type(each).__name__ for each in gc.get_objects() if isinstance(each, PER_SESSION)
    )


def not_zero(service: Service) -> dict[str, float]:
    """Return the gauges that ought to be 0 without sessions, and are not."""
    service.registry.refresh_metrics()
    samples = [each for family in service.metrics.registry.collect() for each in family.samples]
    return {
        each.name: each.value for each in samples if each.name in GAUGES and round(each.value, 6)
    }


@asynccontextmanager
async def world(dsn: str, folder: Path, said: Speech) -> AsyncIterator[World]:
    """Run two services that decode in the two ways, for the length of a block."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(emulator_process())
        connector = aiohttp.TCPConnector(force_close=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        services = []
        for decoder in ("ffmpeg", "inprocess"):
            values = SETTINGS | {"decoder": decoder, "data_dir": folder / decoder}
            values |= {"database_url": dsn, "gladia_api_url": emulator}
            settings = await asyncio.to_thread(load, **values)
            services.append(await stack.enter_async_context(running(settings)))
        yield World(services, said, emulator, http)


async def lead(lives: World, numbers: range) -> Footprint:
    """Lead so many sessions to their end, some at a time; return what is left behind."""
    waiting = iter(numbers)

    async def one_after_another() -> None:
        for number in waiting:
            await lives.live(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            _ = tasks.create_task(one_after_another())
    await eventually(lambda: not any(not_zero(each) for each in lives.services))
    await eventually(lambda: not any(each.live for each in lives.services))
    return footprint(lives.emulator)


async def test_after_200_sessions_the_process_holds_what_it_held_before(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    said = await asyncio.to_thread(speech, ffmpeg, 440, 660)
    async with world(postgres_dsn, tmp_path, said) as lives:
        before = await lead(lives, range(WARM_UP))
        after = await lead(lives, range(WARM_UP, WARM_UP + MEASURED))
        kept = held_for_sessions()
    log.info("Led", before=before, after=after)  # to be seen with -rP
    # The watch of a registry may still hold the session it looked at last; Child: the emulator.
    assert max(kept.values(), default=0) <= len(lives.services), kept
    assert (after.tasks, after.threads) == (before.tasks, before.threads)
    assert (after.files, after.children) == (before.files, before.children)
    assert after.memory_bytes < 1.1 * before.memory_bytes
    every = {each.__name__ for each in PUBLISHERS} | {str(each["name"]) for each in TROUBLE}
    assert every | {"frozen"} <= set(lives.happened)

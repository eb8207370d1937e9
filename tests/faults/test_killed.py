"""A service that is killed, stopped at a bad time, or has no disk loses no final that was seen."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gladia_emulator.server import Emulator
from tests.e2e.river import KEY
from tests.e2e.served import ROOT, Served, serving
from tests.eventually import eventually
from tests.faults.meetings import (
    Audience,
    meeting,
    missing,
    stored,
    until_readyz,
    until_stored,
)
from tests.postgres import proxy_of, through

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]

SLUGS = ("weekly", "daily")
KILLS = 5
SOON = {"BATCH_MAX_WAIT_S": "0.05"}
DEADLINE_S = 1.5
LEAVING_S = 5.5
"""Most that leaving takes after the deadline; closing the pool has five seconds."""


@asynccontextmanager
async def lines_of(served: Served) -> AsyncIterator[list[dict[str, Any]]]:
    """Collect what it logs until the block is left."""
    lines: list[dict[str, Any]] = []

    async def read() -> None:
        async for line in served.child.stdout:
            lines.append(json.loads(line))  # noqa: PERF401 - they are looked at meanwhile

    reading = asyncio.create_task(read())
    try:
        yield lines
    finally:
        reading.cancel()
        await asyncio.wait([reading])


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Have the system refuse each write of the process to a file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def in_a_hurry(folder: Path) -> dict[str, str]:
    """Have a service leave itself half a second more than STOP_GRACE_S, not ten, to stop."""
    hurry = "from realtime_core import cli\ncli.STOP_MARGIN_S = 0.5\n"
    (folder / "sitecustomize.py").write_text(hurry)
    return {"PYTHONPATH": f"{folder}:{ROOT / 'src'}"}


def said(lines: list[dict[str, Any]], level: str) -> list[str]:
    return [line["message"] for line in lines if line["level"] == level]


async def test_sigkill_at_any_moment_loses_no_final_that_a_viewer_saw(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    audience, moments = Audience(), random.Random(7)
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        proxy_of(postgres_dsn) as proxy,
    ):
        dsn = through(postgres_dsn, proxy.port)
        for number in range(KILLS):
            async with serving(emulator, dsn, tmp_path / "data", **SOON) as served:
                async with meeting(served.url, http, ffmpeg, tmp_path, audience, SLUGS):
                    # Each other time PostgreSQL is away, and the journal is all there is.
                    with proxy.cut() if number % 2 else nullcontext():
                        await audience.hear(1, *SLUGS)
                        await asyncio.sleep(moments.uniform(0, 0.7))
                        os.kill(served.child.pid, signal.SIGKILL)
                await served.child.gone()
        async with serving(emulator, dsn, tmp_path / "data", **SOON) as served:
            await until_stored(postgres_dsn, audience.finals)
    assert audience.seen.total() >= KILLS * len(SLUGS)
    assert missing(audience.finals, await stored(postgres_dsn)) == {}


async def test_a_full_disk_is_loud_and_viewers_and_the_table_miss_nothing(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    audience = Audience()
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        serving(emulator, postgres_dsn, tmp_path / "data", **SOON) as served,
        lines_of(served) as lines,
    ):
        async with meeting(served.url, http, ffmpeg, tmp_path, audience, SLUGS):
            await audience.hear(1, *SLUGS)
            with full_disk(served.child.pid):
                await until_readyz(served.url, http, "degraded", "journal")
                await audience.hear(2, *SLUGS)
                await until_stored(postgres_dsn, dict(audience.finals))
                assert "Journal cannot be used" in said(lines, "error")
            await until_readyz(served.url, http, "ready")
            served.child.signal_group(signal.SIGTERM)
        await eventually(lambda: served.child.returncode == 0)
    assert await stored(postgres_dsn) == audience.finals
    assert "Finals lost" not in said(lines, "error")


async def test_sigterm_while_postgresql_is_away_ends_in_time_and_the_next_start_stores_the_rest(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    audience = Audience()
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        proxy_of(postgres_dsn) as proxy,
    ):
        dsn = through(postgres_dsn, proxy.port)
        with proxy.cut():
            async with (
                serving(emulator, dsn, tmp_path / "data") as served,
                lines_of(served) as lines,
            ):
                async with meeting(served.url, http, ffmpeg, tmp_path, audience, SLUGS):
                    await audience.hear(1, *SLUGS)
                    served.child.signal_group(signal.SIGTERM)
                await eventually(lambda: served.child.returncode == 0)
        assert "Finals stay in the journal for the next start" in said(lines, "warning")
        async with serving(emulator, dsn, tmp_path / "data", **SOON):
            await until_stored(postgres_dsn, audience.finals)
    assert await stored(postgres_dsn) == audience.finals


async def test_a_drain_that_hangs_ends_at_the_deadline_with_what_was_seen_safe(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    audience, environment = Audience(), {"STOP_GRACE_S": "1", **in_a_hurry(tmp_path), **SOON}
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        proxy_of(postgres_dsn) as proxy,
    ):
        dsn = through(postgres_dsn, proxy.port)
        async with (
            serving(emulator, dsn, tmp_path / "data", **environment) as served,
            lines_of(served) as lines,
        ):
            with proxy.stalled():
                async with meeting(served.url, http, ffmpeg, tmp_path, audience, SLUGS):
                    await audience.hear(1, *SLUGS)
                    emulator.fault("freeze", times=None)
                    served.child.signal_group(signal.SIGTERM)
                    asked_at = asyncio.get_running_loop().time()
                await eventually(lambda: served.child.returncode is not None)
                took_s = asyncio.get_running_loop().time() - asked_at
        assert served.child.returncode == 130, "it did not end by itself"
        assert took_s < DEADLINE_S + LEAVING_S
        assert "Not stopped in time, what still runs is cut off" in said(lines, "error")
        assert "Finals stay in the journal for the next start" in said(lines, "warning")
        async with serving(emulator, dsn, tmp_path / "data", **SOON):
            await until_stored(postgres_dsn, audience.finals)

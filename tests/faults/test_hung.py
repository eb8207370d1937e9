"""Hung is dead (promise 8): nobody's captions wait for a process that will never go on."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import aiohttp
import pytest

from gladia_emulator.server import Emulator
from realtime_core.store.postgres import PostgresStore
from tests.e2e.river import KEY, write_tones
from tests.e2e.served import ROOT, Served, published, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
STALL_S = 2
PIPE_BYTES = 4096
LONG_LINE_BYTES = 1000

PROGRAM = """
import asyncio, os, re, signal, time, uvloop
from realtime_core.watchdog import watched_loop

def sleeps_on_the_loop():
    time.sleep(60)

def keeps_the_gil():
    re.match("(a+)+$", "a" * 60 + "b")  # for longer than the universe will last

async def is_alive():
    await asyncio.sleep(1.5)

async def main():
    async with watched_loop(1.0):
        {inside}
    {behind}

with asyncio.Runner(loop_factory={loop}) as runner:
    runner.run(main())
"""


def ran(inside: str, behind: str = "pass", loop: str = "None") -> subprocess.CompletedProcess[str]:
    """Run the program to its end; by itself it may take longer than the test has."""
    program = PROGRAM.format(inside=inside, behind=behind, loop=loop)
    argv = [sys.executable, "-c", program]
    return subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("loop", ["None", "uvloop.new_event_loop"])
@pytest.mark.parametrize("culprit", ["sleeps_on_the_loop", "keeps_the_gil"])
def test_a_stuck_loop_ends_the_process_with_a_stack_dump_that_names_the_culprit(
    culprit: str, loop: str
) -> None:
    ended = ran(f"{culprit}()", loop=loop)
    assert ended.returncode == 1
    assert "Timeout (0:00:01)!" in ended.stderr
    assert f"in {culprit}" in ended.stderr


def test_what_hangs_while_it_stops_is_ended_too() -> None:
    ended = ran("asyncio.get_running_loop().call_soon(sleeps_on_the_loop); await is_alive()")
    assert (ended.returncode, "in sleeps_on_the_loop" in ended.stderr) == (1, True)


def test_a_loop_that_turns_is_left_alone_and_so_is_what_follows() -> None:
    ended = ran("await is_alive()", behind="time.sleep(1.5)")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_process_that_was_stopped_for_less_goes_on() -> None:
    ended = ran("os.kill(os.getpid(), signal.SIGCONT); await is_alive()")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.ffmpeg
@pytest.mark.postgres
async def test_a_service_that_hung_is_ended_and_what_viewers_saw_is_stored_by_the_next(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with Emulator(api_key=KEY) as emulator, aiohttp.ClientSession() as http:
        async with (
            serving(emulator, postgres_dsn, tmp_path / "data", LOOP_STALL_S=str(STALL_S)) as served,
            published(served, ffmpeg, recording, http) as viewer,
        ):
            final = await viewer.until(lambda m: m["type"] == "transcript" and m["isFinal"])
            await hang(served)
        assert served.child.returncode == 1
        assert any("in _run_module_as_main" in line for line in served.child.complaints.lines())
        async with serving(emulator, postgres_dsn, tmp_path / "data") as again:
            again.child.signal_group(signal.SIGTERM)
            await again.child.gone()
    async with PostgresStore(postgres_dsn) as store:
        rows = await store.finals("weekly", limit=100)
    assert final["utteranceId"] in {row.utterance_id for row in rows}


async def hang(served: Served) -> None:
    """Let the whole process stand still for longer than it may, from outside."""
    os.kill(served.child.pid, signal.SIGSTOP)
    await asyncio.sleep(STALL_S + 0.5)
    os.kill(served.child.pid, signal.SIGCONT)
    async with asyncio.timeout(10):
        await served.child.gone()


@dataclass
class Unread:
    """A service whose standard output nobody reads once it is ready."""

    process: asyncio.subprocess.Process
    url: str
    stdout: TextIO

    @property
    def unread_bytes(self) -> int:
        answer = fcntl.ioctl(self.stdout, termios.FIONREAD, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def last_lines(self) -> list[dict[str, Any]]:
        """Read what is left to the end."""
        return [json.loads(line) for line in self.stdout]


@asynccontextmanager
async def serving_unread(data_dir: Path) -> AsyncIterator[Unread]:
    read_fd, write_fd = os.pipe()
    fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    environment = {"PORT": "0", "RTMP_INTERNAL_PORT": "0", "DATABASE_URL": "none"}
    environment |= {"DATA_DIR": str(data_dir), "GLADIA_API_URL": "http://127.0.0.1:9"}
    argv = [sys.executable, "-m", "realtime_core", "serve"]
    with os.fdopen(read_fd) as stdout:
        process = await asyncio.create_subprocess_exec(
            *argv, env=ENVIRONMENT | environment, stdout=write_fd
        )
        os.close(write_fd)
        try:
            ready = await asyncio.to_thread(last_of, stdout, "Ready")
            yield Unread(process, ready["url"], stdout)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def last_of(lines: TextIO, message: str) -> dict[str, Any]:
    """Read until a message comes, and no further."""
    found: dict[str, Any] = {}
    while found.get("message") != message:
        found = json.loads(lines.readline())
    return found


async def start_and_stop(http: aiohttp.ClientSession, url: str) -> None:
    """Let the service log some lines."""
    for verb in ("start", "stop"):
        path = f"{url}/api/realtime/transcribe/{verb}"
        async with http.post(path, json={"sessionSlug": "weekly"}) as response:
            assert response.status in (200, 201)


@pytest.mark.ffmpeg
async def test_a_standard_output_that_nobody_reads_holds_up_neither_work_nor_the_end(
    tmp_path: Path,
) -> None:
    timeout = aiohttp.ClientTimeout(total=5)
    async with serving_unread(tmp_path) as served, aiohttp.ClientSession(timeout=timeout) as http:
        while served.unread_bytes < PIPE_BYTES - LONG_LINE_BYTES:
            await start_and_stop(http, served.url)
        for _ in range(20):
            await start_and_stop(http, served.url)
        async with http.get(f"{served.url}/metrics") as response:
            assert "log_lines_dropped_total 0.0" in await response.text()  # they wait
        served.process.terminate()
        async with asyncio.timeout(15):
            assert await served.process.wait() == 0


@pytest.mark.ffmpeg
async def test_at_a_normal_end_all_lines_are_written_to_a_reader_who_is_late(
    tmp_path: Path,
) -> None:
    async with serving_unread(tmp_path) as served, aiohttp.ClientSession() as http:
        for _ in range(20):
            await start_and_stop(http, served.url)
        served.process.terminate()
        lines = await asyncio.to_thread(served.last_lines)
        assert await served.process.wait() == 0
    assert [line["message"] for line in lines].count("Received transcription start request") == 20
    assert lines[-1]["message"] == "Stopping"

"""What is measured: for each server its command, its environment, and how a session is started."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.errors import NotStarted, Unavailable
from bench.process import ROOT, python_path, server_process
from realtime_core.decode.locate import find
from realtime_core.errors import ConfigurationError

ORIGINAL = ROOT / "bench" / "original"
KEY = "bench-key"
READY_WITHIN_S = 30.0
LOOK_EVERY_S = 0.02
STARTS_AT_A_TIME = 16
LOG_LINES_TOLD = 10
LAG = re.compile(r'^event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to run, and what it is to talk to.

    Attributes:
        stt_port: The speech-to-text stub's.
        database_url: For servers that store.
        folder: A fresh one, for data and log.
    """

    port: int
    rtmp_port: int
    stt_port: int
    database_url: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return what all servers are told."""
        return {
            "PORT": str(self.port),
            "RTMP_INTERNAL_PORT": str(self.rtmp_port),
            "GLADIA_API_URL": f"http://127.0.0.1:{self.stt_port}",
            "GLADIA_API_KEY": KEY,
            "FFMPEG_PATH": ffmpeg(),
        }


async def _nothing() -> None:
    """There is nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that can be measured.

    Attributes:
        argv: The command.
        environment: What it is told besides what all are told.
        prepare: Installs what is missing, once and outside of what is measured.
        stores: Whether it writes finals to a database.
    """

    name: str
    argv: Callable[[], list[str]]
    environment: Callable[[Place], Mapping[str, str]]
    prepare: Callable[[], Awaitable[None]] = _nothing
    stores: bool = True


class Running:
    """A server that is ready."""

    def __init__(self, pid: int, place: Place, http: aiohttp.ClientSession) -> None:
        self.pid, self._http = pid, http
        self._url = f"http://127.0.0.1:{place.port}"

    async def start_sessions(self, rooms: int) -> None:
        """Start the sessions ``room-0`` and so on.

        Raises:
            NotStarted: It refused one.
        """
        turns = asyncio.Semaphore(STARTS_AT_A_TIME)
        await asyncio.gather(*(self._start(f"room-{each}", turns) for each in range(rooms)))

    async def lag(self) -> dict[float, float]:
        """Return its event loop's lag: how often it did not exceed each bound, in seconds.

        Empty when it shows none.
        """
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(f"{self._url}/metrics") as response:
                found = LAG.findall(await response.text())
            return {float(bound): float(count) for bound, count in found}
        return {}

    async def is_ready(self) -> bool:
        """Whether it says that it is."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(f"{self._url}/healthz") as response:
                return response.status == 200
        return False

    async def _start(self, slug: str, turns: asyncio.Semaphore) -> None:
        url = f"{self._url}/api/realtime/transcribe/start"
        async with turns, self._http.post(url, json={"sessionSlug": slug}) as response:
            if not response.ok:
                raise NotStarted(f"start of {slug} answered {response.status}")


@asynccontextmanager
async def running(server: Server, place: Place) -> AsyncIterator[Running]:
    """Run a server for the length of a block, from when it is ready.

    Raises:
        NotStarted: It ended, or was not ready in time.
    """
    argv, env = await asyncio.to_thread(_asked, server, place)
    timeout = aiohttp.ClientTimeout(total=READY_WITHIN_S)
    async with (
        server_process(argv, env, place.folder) as process,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        ready = Running(process.pid, place, http)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await ready.is_ready():
                    if process.returncode is not None:
                        raise NotStarted(_last_words(server, place, process.returncode))
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise NotStarted(_last_words(server, place, None)) from None
        yield ready


def _asked(server: Server, place: Place) -> tuple[list[str], dict[str, str]]:
    """Look programs up on the disk, and return the command and its environment."""
    return server.argv(), {**place.environment(), **server.environment(place)}


def _last_words(server: Server, place: Place, status: int | None) -> str:
    how = "was not ready in time" if status is None else f"ended with status {status}"
    lines = (place.folder / "server.log").read_text(errors="replace").splitlines()
    return "\n".join([f"{server.name} {how}:", *lines[-LOG_LINES_TOLD:]])


def ffmpeg() -> str:
    """Return the FFmpeg that all servers use.

    Raises:
        Unavailable: There is none.
    """
    try:
        return find()
    except ConfigurationError as exc:
        raise Unavailable(str(exc)) from exc


def _ours(decoder: str) -> Server:
    def environment(place: Place) -> Mapping[str, str]:
        # Everything that users run is on; only what would refuse the load is raised, because
        # the ladder looks for the limits.
        return {
            "PYTHONPATH": python_path(),
            "HOST": "127.0.0.1",
            "AUTH_MODE": "none",
            "DECODER": decoder,
            "DATABASE_URL": place.database_url,
            "DATA_DIR": str(place.folder / "data"),
            "MAX_SESSIONS": "10000",
            "MAX_VIEWERS": "100000",
            "RTMP_MAX_CONNECTIONS": "10000",
            "ADMIT_LOOP_LAG_MS": "0",
            "ADMIT_FREE_MEMORY_MB": "0",
            "LOG_LEVEL": "info",
            "LOG_FORMAT": "json",
        }

    return Server(
        f"ours-{decoder}", lambda: [sys.executable, "-m", "realtime_core", "serve"], environment
    )


def _original_command() -> list[str]:
    return [_found("node"), str(ORIGINAL / "server" / "index.js")]


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise Unavailable(
            f"{program} is not on the PATH: the original runs on Node.js 20 or later with npm; "
            "install it, or measure without: --servers ours-ffmpeg,ours-inprocess"
        )
    return path


async def _install_original() -> None:
    """Install the original's packages when they are missing.

    Raises:
        Unavailable: There is no Node.js, or the packages cannot be had.
    """
    _found("node")
    if (ORIGINAL / "node_modules").is_dir():
        return
    argv = [_found("npm"), "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
    npm = await asyncio.create_subprocess_exec(
        *argv, cwd=ORIGINAL, env=dict(os.environ), stdout=sys.stderr
    )
    if await npm.wait() != 0:
        raise Unavailable(f"npm ci failed in {ORIGINAL.relative_to(ROOT)}; see above")


def _original(name: str, *, flags_first: bool) -> Server:
    def environment(_place: Place) -> Mapping[str, str]:
        return {"NODE_ENV": "production", "FFMPEG_FLAGS_FIRST": str(flags_first).lower()}

    return Server(name, _original_command, environment, _install_original, stores=False)


COMPARED = (
    _ours("ffmpeg"),
    _ours("inprocess"),
    # In the command as it is written FFmpeg's low-latency flags come too late to work, and the
    # first audio takes 5 s. To its favour it is measured as it was meant.
    _original("original", flags_first=True),
)
"""What a ladder measures unless told otherwise."""
SERVERS = {
    server.name: server
    for server in (*COMPARED, _original("original-as-written", flags_first=False))
}

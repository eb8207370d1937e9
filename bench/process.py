"""The harness's own children: the server that is measured, and the load that talks by lines."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from bench.errors import BenchError
from bench.evidence import T, understood
from bench.machine import tree

ROOT = Path(__file__).parents[1]
PORTS = range(12_000, 22_000)
"""Below those that the kernel gives to clients."""
LINE_BYTES = 64 * 2**20
STOP_WITHIN_S = 3.0


class Speaker:
    """A process of the load: it says a line of JSON when it is ready, and answers words."""

    def __init__(self, name: str, process: Process) -> None:
        self.name, self.pid, self._process = name, process.pid, process

    async def hear(self, kind: type[T], *, within_s: float) -> T:
        """Return the next thing it says.

        Raises:
            BenchError: It said nothing in time, or it ended.
        """
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchError(f"{self.name} said nothing for {within_s:g} s") from None
        if not line:
            raise BenchError(f"{self.name} ended with status {await self._process.wait()}")
        return understood(line, kind)

    def tell(self, word: str) -> None:
        """Say a word to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())

    async def ask(self, word: str, kind: type[T], *, within_s: float = 20.0) -> T:
        """Say a word to it, and return its answer."""
        self.tell(word)
        return await self.hear(kind, within_s=within_s)


@asynccontextmanager
async def load_process(name: str, *options: str) -> AsyncIterator[Speaker]:
    """Run ``python -m bench.load.<name>`` for the length of a block."""
    argv = [sys.executable, "-m", f"bench.load.{name}", *options]
    async with speaking(name, argv) as speaker:
        yield speaker


@asynccontextmanager
async def speaking(name: str, argv: Sequence[str]) -> AsyncIterator[Speaker]:
    """Run any program that talks by lines for the length of a block."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path()}
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=PIPE, stdout=PIPE, env=env, cwd=ROOT, limit=LINE_BYTES, start_new_session=True
    )
    try:
        yield Speaker(name, process)
    finally:
        await _end(process)


@asynccontextmanager
async def server_process(
    argv: Sequence[str], env: Mapping[str, str], folder: Path
) -> AsyncIterator[Process]:
    """Run a server for the length of a block, in a folder of its own, which holds its log."""
    with await asyncio.to_thread((folder / "server.log").open, "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], **env},
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """Ask a process to end; kill it, and all below it, when it has not."""
    below = [each for each in tree(process.pid) if each.pid != process.pid]
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        _kill(below, process)
    await process.wait()


def _kill(below: Sequence[psutil.Process], process: Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    for each in below:
        with suppress(psutil.NoSuchProcess):  # it is not fooled by a number used anew
            each.kill()


def python_path() -> str:
    """Return where Python finds the service and the load."""
    return f"{ROOT / 'src'}{os.pathsep}{ROOT}"


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    found: list[int] = []
    first = PORTS.start + os.getpid() * 7 % len(PORTS)
    for port in range(first, PORTS.stop + len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found

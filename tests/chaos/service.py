"""The service as a process that is killed, stopped and started again in the same place."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import IO

import psutil

from realtime_core.processes import Child, child_process

ROOT = Path(__file__).parents[2]
READY_WITHIN_S, STOPPED_WITHIN_S = 60.0, 45.0
PORTS = range(12_000, 22_000)
"""Below those that the kernel gives to clients, so that nobody takes one during a restart."""
ORPHANS_GONE_WITHIN_S = 5.0
LOG_BYTES = 64 * 2**20


class ServiceProcess:
    """``realtime-core serve``, one process after the other.

    Args:
        settings: Its environment, the ports apart.
        log: Takes its standard output, up to a bound.

    Attributes:
        port, rtmp_port: The same for every process.
        starts: How many processes there were.
        errors: Its log lines of level error and above, counted.
        is_up: Whether it has said that it is ready, and was not ended since.
        orphans: How many decoders outlived a service that was killed.
    """

    def __init__(self, settings: Mapping[str, str], log: Path) -> None:
        self.port, self.rtmp_port = free_ports(2)
        ports = {"PORT": str(self.port), "RTMP_INTERNAL_PORT": str(self.rtmp_port)}
        python_path = f"{ROOT / 'src'}"
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": python_path, **settings, **ports}
        self._log_path, self._log_bytes = log, 0
        self._stack = AsyncExitStack()
        self._child: Child | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self.starts, self.is_up = 0, False
        self.errors: Counter[str] = Counter()
        self.orphans = 0

    @property
    def url(self) -> str:
        """Where it listens for HTTP."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start a process and wait until it is ready.

        Raises:
            RuntimeError: It did not become ready.
        """
        self._ready.clear()
        argv = [sys.executable, "-m", "realtime_core", "serve"]
        context = child_process(argv, env=self._env, grace_s=5.0)
        self._child = await self._stack.enter_async_context(context)
        self.starts += 1
        self._reading = asyncio.create_task(self._read(self._child), name="service/log")
        waits = [self._reading, asyncio.create_task(self._ready.wait())]
        await asyncio.wait(waits, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        waits[1].cancel()
        if not self._ready.is_set():
            raise RuntimeError(f"not ready: {self._child.complaints.lines()}")
        self.is_up = True

    async def kill(self) -> None:
        """End it with SIGKILL. Its decoders have to die with it."""
        decoders = self.decoders()
        self.signal(signal.SIGKILL)
        await self._gone()
        _, left = await asyncio.to_thread(psutil.wait_procs, decoders, ORPHANS_GONE_WITHIN_S)
        self.orphans += len(left)

    async def stop(self) -> int | None:
        """Ask it to end; return its exit status, which is None if it had to be killed."""
        child = self._child
        assert child is not None
        self.signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_WITHIN_S):
                await asyncio.gather(*filter(None, [self._reading]))
                await child.gone()
        status = child.returncode
        await self._gone()
        return status

    async def close(self) -> None:
        """Leave no process behind. May be called twice."""
        if self._child is not None:
            self.signal(signal.SIGKILL)
            await self._gone()

    def signal(self, number: int) -> None:
        """Send a signal to it, and not to its children."""
        self.is_up = self.is_up and number not in (signal.SIGKILL, signal.SIGTERM)
        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, number)

    def decoders(self) -> list[psutil.Process]:
        """Return its FFmpeg processes."""
        with suppress(psutil.NoSuchProcess):
            if self._child is not None:
                children = psutil.Process(self._child.pid).children(recursive=True)
                return [each for each in children if "ffmpeg" in each.name()]
        return []

    async def _gone(self) -> None:
        self.is_up, self._child = False, None
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._stack.aclose()

    async def _read(self, child: Child) -> None:
        with await asyncio.to_thread(self._log_path.open, "ab") as file:
            async for line in child.stdout:
                self._keep(file, line)
                with suppress(ValueError):
                    self._understand(json.loads(line))

    def _keep(self, file: IO[bytes], line: bytes) -> None:
        self._log_bytes += len(line)
        if self._log_bytes <= LOG_BYTES:
            file.write(line)
            file.flush()

    def _understand(self, entry: Mapping[str, object]) -> None:
        if entry["message"] == "Ready":
            self._ready.set()
        if entry.get("level") in ("error", "critical"):
            self.errors[str(entry["message"])] += 1


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

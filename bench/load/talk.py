"""How a process of the load is talked to: commands on its input, a line of JSON for each."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence

STDIN = 0
LOOK_EVERY_S = 0.01


def say(**line: object) -> None:
    """Print one line of JSON, at once."""
    print(json.dumps(line), flush=True)


class Commands:
    """One-word lines from a pipe, the standard input; its end is the command ``quit``."""

    def __init__(self, fd: int = STDIN) -> None:
        self.fd = fd
        self._open = b""

    def read(self) -> list[str]:
        """Return the commands that have come; waits when nothing has."""
        if not (data := os.read(self.fd, 4_096)):
            return ["quit"]
        *lines, self._open = (self._open + data).split(b"\n")
        return [line.decode(errors="replace").strip() for line in lines if line.strip()]


async def obey(commands: Commands, answers: dict[str, Callable[[], dict[str, object]]]) -> None:
    """Answer commands until ``quit``; unknown ones are told so."""
    loop, heard = asyncio.get_running_loop(), asyncio.Queue[str](maxsize=100)

    def hear() -> None:
        for command in commands.read():
            heard.put_nowait(command)

    loop.add_reader(commands.fd, hear)
    try:
        while (command := await heard.get()) != "quit":
            answer = answers.get(command)
            say(**answer() if answer else {"error": f"no such command: {command}"})
    finally:
        loop.remove_reader(commands.fd)


def spread_ms(values_ns: Sequence[int]) -> dict[str, float | None]:
    """Return the median, the 99th percentile and the most of some durations, in milliseconds."""
    if not values_ns:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(values_ns)
    last = len(ordered) - 1
    points = {"p50": last // 2, "p99": last * 99 // 100, "max": last}
    return {name: round(ordered[index] / 1e6, 3) for name, index in points.items()}


class LoopLag:
    """How late this process's own loop runs a timer: what it adds to what it measures."""

    def __init__(self) -> None:
        self.lags_ns: list[int] = []

    def take(self) -> list[int]:
        """Return what was seen, and begin anew."""
        lags_ns, self.lags_ns = self.lags_ns, []
        return lags_ns

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            due_ns = time.monotonic_ns() + round(LOOK_EVERY_S * 1e9)
            await asyncio.sleep(LOOK_EVERY_S)
            self.lags_ns.append(max(0, time.monotonic_ns() - due_ns))

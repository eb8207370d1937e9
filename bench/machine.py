"""What the machine and a tree of processes on it use, read from the kernel."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Reading:
    """The processor time that was used up to a moment, in seconds.

    Attributes:
        at_s: The moment, by the monotonic clock.
        trees_s: By name of a process tree.
        busy_s: The whole machine's, all processors together.
    """

    at_s: float
    trees_s: dict[str, float]
    busy_s: float

    def cores_since(self, before: Reading) -> dict[str, float]:
        """Return how many cores each tree took since an earlier reading."""
        passed_s = self.at_s - before.at_s
        return {
            name: round((used_s - before.trees_s[name]) / passed_s, 4)
            for name, used_s in self.trees_s.items()
        }

    def busy_cores_since(self, before: Reading) -> float:
        """Return how many cores of the machine were busy since an earlier reading."""
        return (self.busy_s - before.busy_s) / (self.at_s - before.at_s)


def read(trees: dict[str, int]) -> Reading:
    """Read the clocks of process trees, which are given by the process ids of their roots."""
    used = {name: tree_cpu_s(pid) for name, pid in trees.items()}
    return Reading(time.monotonic(), used, _busy_s())


def tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process and all below it, of those that ended too.

    A child's time is its own until its parent has waited for it; from then on it is the
    parent's ``children_*`` time. So each second is counted once.
    """
    total = 0.0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of children
    return total


def tree_pss_bytes(pid: int) -> int:
    """Return the memory of a process tree; what several processes share is divided by them."""
    total = 0
    for process in tree(pid):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            total += process.memory_full_info().pss
    return total


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it; nothing when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cores() -> int:
    """Return how many processors this machine has for us."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, object]:
    """Return what a reader has to know of the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memoryMb": psutil.virtual_memory().total // MEBIBYTE,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load1": round(os.getloadavg()[0], 2),
    }


def _busy_s() -> float:
    times = psutil.cpu_times()
    # Guests are in `user` already; what the host stole was neither ours nor idle.
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()

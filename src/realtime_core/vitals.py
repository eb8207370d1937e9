"""What the process measures of itself: how late its event loop runs, how much memory is left."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path

from realtime_core.capacity import Capacity, Shortage
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics

LAG_EVERY_S = 0.1
MEMORY_EVERY = 20
"""Memory is looked at with each twentieth measurement of the loop's lag."""

ROOT = Path("/")
# Limit and use, by the version of the control groups; a container sees its own here.
GROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
    ),
)
AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)
INACTIVE_FILE = re.compile(r"^(?:total_)?inactive_file (\d+)", re.MULTILINE)

log = get_logger("vitals")


def free_bytes(root: Path = ROOT) -> int | None:
    """Return the memory that is left to this machine or container; None when nobody knows.

    What caches hold counts as left: the kernel gives it back.
    """
    known = [_machine_free(root), *(_group_free(root, *names) for names in GROUPS)]
    return min((each for each in known if each is not None), default=None)


async def watch_vitals(
    capacity: Capacity, metrics: Metrics, free: Callable[[], int | None] = free_bytes
) -> None:
    """Measure for as long as it runs; say in the log when the process is full, and no more.

    Args:
        free: Returns the memory that is left; called in a thread.
    """
    loop = asyncio.get_running_loop()
    before = None
    for look in itertools.count():
        due = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lag_s = max(loop.time() - due, 0.0)
        metrics.loop_lag.observe(lag_s)
        capacity.lagged(lag_s)
        if look % MEMORY_EVERY == 0:
            capacity.has_free(await asyncio.to_thread(free))
        before = _tell(before, capacity.shortage(), metrics)


def _tell(before: Shortage | None, now: Shortage | None, metrics: Metrics) -> Shortage | None:
    for shortage in Shortage:
        metrics.capacity_short.labels(shortage.value).set(float(now is shortage))
    if now is not None and before is None:
        log.warning("Full: new sessions are refused", short_of=now.value)
    elif now is None and before is not None:
        log.info("No longer full: new sessions are admitted")
    return now


def _machine_free(root: Path) -> int | None:
    found = AVAILABLE.search(_text(root / "proc/meminfo"))
    return int(found[1]) * 1024 if found else None


def _group_free(root: Path, limit: str, used: str, statistics: str) -> int | None:
    most, taken = _text(root / limit).strip(), _text(root / used).strip()
    if not (most.isdecimal() and taken.isdecimal()):  # "max" is no limit
        return None
    cached = INACTIVE_FILE.search(_text(root / statistics))
    return max(0, int(most) - int(taken) + (int(cached[1]) if cached else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # not this kind of system
        return ""

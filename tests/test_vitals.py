import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime_core.capacity import Capacity, Shortage
from realtime_core.metrics import Metrics
from realtime_core.vitals import free_bytes, watch_vitals
from tests.virtual_time import in_virtual_time

MIB = 2**20


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_machine_without_limits_has_what_its_kernel_says(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    2048 kB\n",
            "sys/fs/cgroup/memory.max": "max\n",
            "sys/fs/cgroup/memory.current": f"{MIB}\n",
        },
    )
    assert free_bytes(root) == 2 * MIB


@pytest.mark.parametrize(
    ("limit", "used", "statistics", "cached"),
    [
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ],
)
def test_a_container_has_what_its_limit_leaves_and_its_caches_hold(
    tmp_path: Path, limit: str, used: str, statistics: str, cached: str
) -> None:
    root = machine(
        tmp_path,
        {
            "proc/meminfo": "MemAvailable: 9999999 kB\n",
            f"sys/fs/cgroup/{limit}": f"{512 * MIB}\n",
            f"sys/fs/cgroup/{used}": f"{500 * MIB}\n",
            f"sys/fs/cgroup/{statistics}": f"anon 5\n{cached} {100 * MIB}\nactive_file 7\n",
        },
    )
    assert free_bytes(root) == 112 * MIB


def test_a_system_that_does_not_say_has_nobody_knows_how_much(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) is None


def test_this_machine_has_memory_left() -> None:
    left = free_bytes()
    assert left is None or left > MIB


def test_a_full_process_says_so_once_and_when_it_is_over() -> None:
    metrics, capacity = Metrics(), Capacity(least_free_bytes=MIB)
    left = iter([0] * 3 + [2 * MIB] * 1000)
    said: list[bool] = []

    async def main() -> None:
        watching = asyncio.create_task(watch_vitals(capacity, metrics, lambda: next(left)))
        for _ in range(200):
            await asyncio.sleep(0.1)
            said.append('capacity_short{of="memory"} 1.0' in metrics.exposition().decode())
        watching.cancel()

    with capture_logs() as lines:
        in_virtual_time(main())
    assert [line["event"] for line in lines] == [
        "Full: new sessions are refused",
        "No longer full: new sessions are admitted",
    ]
    assert lines[0]["short_of"] == Shortage.MEMORY.value
    assert any(said)
    assert not said[-1]


async def test_the_lag_of_a_loop_that_is_held_up_is_measured() -> None:
    metrics, capacity = Metrics(), Capacity(most_lag_s=0.01)
    watching = asyncio.create_task(watch_vitals(capacity, metrics))
    await asyncio.sleep(0)
    time.sleep(0.15)  # noqa: ASYNC251 - this is what is measured
    await asyncio.sleep(0.05)
    watching.cancel()
    lag_s = metrics.registry.get_sample_value("event_loop_lag_seconds_sum")
    assert lag_s is not None
    assert lag_s > 0.03

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench import machine
from bench.machine import Reading

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
FAMILY = """
import subprocess, sys
burn = sys.argv[1]
subprocess.run([sys.executable, "-c", burn], check=True)  # has ended, and was waited for
child = subprocess.Popen([sys.executable, "-c", burn + "\\nprint(1, flush=True)\\ninput()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
input()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """A process with a child that lives and one that has ended, which burnt 0.1 s each."""
    argv = [sys.executable, "-c", FAMILY, BURN.format(seconds=0.1)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.mark.slow
def test_a_tree_has_used_what_its_children_used_dead_or_alive(family: int) -> None:
    assert len(machine.tree(family)) == 2
    assert 0.2 <= machine.tree_cpu_s(family) < 1.0


@pytest.mark.slow
def test_memory_of_a_tree_is_that_of_all_its_processes(family: int) -> None:
    child = machine.tree(family)[1].pid
    assert machine.tree_pss_bytes(family) > machine.tree_pss_bytes(child) > machine.MEBIBYTE


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert machine.tree_cpu_s(process.pid) == 0.0
    assert machine.tree_pss_bytes(process.pid) == 0


def test_cores_are_what_was_used_in_the_time_that_passed() -> None:
    before = Reading(10.0, {"server": 1.0, "load": 0.5}, 100.0)
    after = Reading(14.0, {"server": 3.0, "load": 0.9}, 106.0)
    assert after.cores_since(before) == {"server": 0.5, "load": 0.1}
    assert after.busy_cores_since(before) == 1.5


def test_a_reading_holds_all_trees() -> None:
    reading = machine.read({"us": os.getpid()})
    assert reading.trees_s["us"] > 0
    assert reading.busy_s > 0


def test_the_machine_is_described() -> None:
    described = machine.describe()
    assert described["cores"] == machine.cores() >= 1
    assert {"cpu", "memoryMb", "system", "python", "load1"} <= described.keys()

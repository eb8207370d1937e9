import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.processes import (
    LINE_CHARACTERS,
    LINES_KEPT,
    Child,
    LastLines,
    Output,
    child_process,
)
from tests.eventually import eventually

SHELL = "/bin/sh"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = psutil.Process().children(recursive=True)  # those of other tests in this process
    yield
    assert [e for e in psutil.Process().children(recursive=True) if e not in before] == []


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def talk() -> tuple[bytes, int | None]:
    async with child_process(["/bin/cat"], env={}, grace_s=5) as child:
        child.stdin.write(b"hello\n")
        answer = await child.stdout.readline()
    return answer, child.returncode


async def test_a_child_leaves_when_its_input_is_closed() -> None:
    assert await talk() == (b"hello\n", 0)


def test_it_works_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == (b"hello\n", 0)


async def test_a_stubborn_child_is_killed() -> None:
    async with child_process([SHELL, "-c", STUBBORN], env={}, grace_s=0.05) as child:
        await child.stdout.readline()
    assert child.returncode == -signal.SIGKILL


async def test_what_a_child_started_goes_with_it() -> None:
    script = "sleep 1000 >/dev/null 2>&1 & echo $!; exec sleep 1000"
    async with child_process([SHELL, "-c", script], env={}, grace_s=0.05) as child:
        grandchild = int(await child.stdout.readline())
        assert is_running(grandchild)
    await eventually(lambda: not is_running(grandchild))
    assert child.returncode == -signal.SIGTERM


async def test_an_error_in_the_block_ends_the_child() -> None:
    with pytest.raises(ValueError, match="ours"):
        async with child_process(["/bin/cat"], env={}, grace_s=5) as child:
            raise ValueError("ours")
    assert child.returncode == 0


async def test_being_cancelled_twice_kills_at_once_and_leaves_no_zombie() -> None:
    children: list[Child] = []

    async def hold() -> None:
        async with child_process([SHELL, "-c", STUBBORN], env={}, grace_s=60) as child:
            await child.stdout.readline()
            children.append(child)
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await eventually(lambda: children)
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert children[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_being_cancelled_while_it_starts_leaves_no_child(turns: int) -> None:
    task = asyncio.create_task(talk())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


@pytest.mark.parametrize("path", [os.environ["PATH"], "/nowhere"], ids=["setpriv", "python"])
async def test_a_child_dies_with_a_parent_that_was_killed(path: str) -> None:
    source = Path(__file__).parent.parent / "src"
    script = (
        "import asyncio; from realtime_core.processes import child_process\n"
        "async def main():\n"
        "    async with child_process(['/bin/sh', '-c', 'echo $$; exec sleep 1000'], env={},"
        " grace_s=9) as child:\n"
        "        print((await child.stdout.readline()).decode(), flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    parent = subprocess.Popen(  # noqa: ASYNC220 - it has to be killed, and so is not ours
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(source), "PATH": path},
    )
    assert parent.stdout
    with parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    await eventually(lambda: not is_running(child))


async def test_a_flood_of_complaints_does_not_block_the_child() -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo last >&2; echo done"
    env = {"PATH": os.environ["PATH"]}
    async with child_process([SHELL, "-c", script], env=env, grace_s=5) as child:
        assert await child.stdout.readline() == b"done\n"
    assert child.complaints.received_bytes == 3_000_006
    assert child.complaints.lines() == ["x" * LINE_CHARACTERS, "last"]


async def test_output_that_nobody_reads_does_not_hold_up_the_end() -> None:
    script = "head -c 3000000 /dev/zero; echo over >&2"
    env = {"PATH": os.environ["PATH"]}
    begin = time.monotonic()
    async with child_process([SHELL, "-c", script], env=env, grace_s=30) as child:
        pass
    assert child.returncode == 0
    assert time.monotonic() - begin < 10


async def test_a_child_sees_no_environment_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    async with child_process(["/usr/bin/env"], env={"LC_ALL": "C"}, grace_s=5) as child:
        assert await child.stdout.read() == b"LC_ALL=C\n"


async def test_output_can_be_taken_as_it_comes() -> None:
    heard, ended = bytearray(), asyncio.Event()
    output = Output(heard.extend, ended.set)
    async with child_process(["/bin/cat"], env={}, grace_s=5, output=output) as child:
        child.stdin.write(b"hello\n")
        await eventually(lambda: heard)
        child.stdin.close()
        await ended.wait()
    assert bytes(heard) == b"hello\n"
    assert child.returncode == 0


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("missing", [AttributeError, PermissionError])
def test_where_the_kernel_tells_no_exits_a_thread_does(
    monkeypatch: pytest.MonkeyPatch,
    loop: Callable[[], asyncio.AbstractEventLoop],
    missing: type[Exception],
) -> None:
    def refuse(_pid: int) -> int:
        raise missing

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(talk()) == (b"hello\n", 0)


@pytest.mark.alone
async def test_the_loop_goes_on_while_children_start_from_a_large_process() -> None:
    ballast = bytearray(200_000_000)
    ballast[::4096] = bytes([1]) * len(
        ballast[::4096]
    )  # a page that was never written costs nothing
    before_s = time.thread_time()
    for _ in range(5):
        await talk()
    # Copying its tables takes 10 ms and more for each start.
    spent_s = time.thread_time() - before_s
    assert spent_s < 5 * 0.005
    assert len(ballast) == 200_000_000


async def test_a_program_that_does_not_exist_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError, match="/nowhere/program"):
        async with child_process(["/nowhere/program"], env={}, grace_s=5):
            raise AssertionError


text_lines = st.text(st.characters(exclude_characters="\n", categories=["L", "N"]), min_size=1)


@given(st.lists(text_lines, max_size=30), st.integers(1, 40), st.booleans())
def test_the_last_lines_are_the_same_whatever_the_pieces(
    lines: list[str], piece: int, ended: bool
) -> None:
    text = "\n".join(lines).encode() + b"\n" * ended
    last = LastLines()
    for at in range(0, len(text), piece):
        last.receive(text[at : at + piece])
    assert last.lines() == lines[-LINES_KEPT:]


def test_a_line_without_end_takes_bounded_memory() -> None:
    last = LastLines()
    for _ in range(1_000):
        last.receive(b"x" * 1_000)
    assert last.lines() == ["x" * LINE_CHARACTERS]

"""Child processes that leave nothing behind: no orphan, no zombie, no full pipe.

A child gets a session of its own, so that its group can be signalled as one, and on Linux
a parent-death signal, so that it does not outlive a service that was killed. There is no
``preexec_fn``: it is unsafe where threads run.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from realtime_core.logs import get_logger

LINES_KEPT = 10
LINE_CHARACTERS = 300
READ_BYTES = 16_384
# After SIGKILL only a child in an uninterruptible system call is still there.
LAST_WAIT_S = 5.0

# What `setpriv` does, where it is missing: PR_SET_PDEATHSIG and PR_SET_NO_NEW_PRIVS.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; prctl = ctypes.CDLL(None).prctl;"
    "prctl(1, 9, 0, 0, 0); prctl(38, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)

log = get_logger("processes")


class LastLines:
    """The last lines of a text that comes in pieces of any size; long lines are clipped."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._open = b""
        self.received_bytes = 0

    def receive(self, text: bytes) -> None:
        """Take the next piece."""
        self.received_bytes += len(text)
        *whole, rest = (self._open + text).split(b"\n")
        self._lines.extend(_clipped(line) for line in whole if line.strip())
        self._open = rest[: 4 * LINE_CHARACTERS]  # a character has at most four bytes

    def lines(self) -> list[str]:
        """Return what is kept, a line that has not ended included."""
        open_line = [_clipped(self._open)] if self._open.strip() else []
        return [*self._lines, *open_line][-LINES_KEPT:]


def _clipped(line: bytes) -> str:
    return line.decode(errors="replace").strip()[:LINE_CHARACTERS]


class Child:
    """A running program: write to ``stdin``, read ``stdout``; its stderr is always drained.

    Attributes:
        complaints: The last lines of its stderr, complete once the block has been left.
    """

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.pid, self.stdin, self.stdout = process.pid, process.stdin, process.stdout
        self.complaints = LastLines()
        self._listening = asyncio.create_task(
            _drain(process.stderr, self.complaints.receive), name=f"child-{self.pid}/stderr"
        )

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def signal_group(self, number: int) -> None:
        """Send a signal to the child and to all it started; no-op when they are gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def gone(self) -> None:
        """Throw away what is left of its output, and return when nobody writes any more."""
        await asyncio.gather(
            _drain(self.stdout, lambda _output: None), self._listening, self._process.wait()
        )


@asynccontextmanager
async def child_process(
    argv: Sequence[str], *, env: Mapping[str, str], grace_s: float
) -> AsyncIterator[Child]:
    """Run a program for the length of a block and leave no process behind.

    On the way out, however it came, the child's input is closed; a child that has not left
    after ``grace_s`` seconds is terminated with its group, and after as long again killed.
    Cancelling a second time skips the courtesy, never the kill. Nobody may be reading
    ``stdout`` when the block is left; what is still in it is thrown away.

    Args:
        argv: The program as a path, and its arguments.
        env: Its whole environment; nothing is inherited.
        grace_s: How long each of the two hints may take to work.

    Raises:
        OSError: The program could not be started.
    """
    command = await asyncio.to_thread(_command, argv)
    # In a task of its own, because a fork cannot be taken back half way.
    birth = asyncio.create_task(_start(command, dict(env)), name="child/start")
    try:
        await asyncio.wait({birth})
        yield birth.result()
    finally:
        await _finish(birth, grace_s)


async def _start(command: Sequence[str], env: dict[str, str]) -> Child:
    # Not `process_group`: uvloop does not know it.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env, start_new_session=True
    )
    return Child(process)


async def _finish(birth: asyncio.Task[Child], grace_s: float) -> None:
    """See the child out; each cancellation meanwhile kills it, and is passed on at the end."""
    ending = asyncio.create_task(_see_out(birth, grace_s), name="child/end")
    cancelled = False
    while not ending.done():
        try:
            await asyncio.wait({ending})
        except asyncio.CancelledError:
            cancelled = True
            if _succeeded(birth):
                birth.result().signal_group(signal.SIGKILL)
    ending.result()
    if cancelled:
        raise asyncio.CancelledError


def _succeeded(birth: asyncio.Task[Child]) -> bool:
    return birth.done() and not birth.cancelled() and birth.exception() is None


async def _see_out(birth: asyncio.Task[Child], grace_s: float) -> None:
    await asyncio.wait({birth})
    if not _succeeded(birth):
        return  # there is none, and the caller has been told
    child = birth.result()
    child.stdin.close()
    gone = asyncio.create_task(child.gone(), name=f"child-{child.pid}/gone")
    for number in (signal.SIGTERM, signal.SIGKILL):
        await asyncio.wait({gone}, timeout=grace_s)
        if not gone.done():
            child.signal_group(number)
    await asyncio.wait({gone}, timeout=LAST_WAIT_S)
    if not gone.done():
        log.error("Child process survives SIGKILL", pid=child.pid)
        gone.cancel()
    # What it started may have left the pipes and stayed.
    child.signal_group(signal.SIGKILL)


async def _drain(stream: asyncio.StreamReader, receive: Callable[[bytes], None]) -> None:
    while text := await stream.read(READ_BYTES):
        receive(text)


def _command(argv: Sequence[str]) -> list[str]:
    # What stands before the program would start whether the program can or not.
    if not os.access(argv[0], os.X_OK):
        raise FileNotFoundError(f"{argv[0]} is not a program that may be run")
    return [*_dying_with_parent(), *argv]


@functools.cache
def _dying_with_parent() -> tuple[str, ...]:
    """Return the words to put before a command so that it gets SIGKILL when we die."""
    if sys.platform != "linux":
        return ()
    setpriv = shutil.which("setpriv")
    # Busybox has a program of that name without the option.
    if setpriv and "busybox" not in os.path.realpath(setpriv):
        return (setpriv, "--pdeathsig", "KILL", "--no-new-privs", "--")
    return (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT)

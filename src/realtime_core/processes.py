"""Child processes that leave nothing behind: no orphan, no zombie, no full pipe.

A child gets a session of its own, so that its group can be signalled as one, and on Linux
a parent-death signal, so that it does not outlive a service that was killed. There is no
``preexec_fn``: it is unsafe where threads run.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast

from realtime_core.logs import get_logger
from realtime_core.spawn import Spawned, spawn, when_gone

LINES_KEPT = 10
LINE_CHARACTERS = 300
# After SIGKILL only a child in an uninterruptible system call is still there.
LAST_WAIT_S = 5.0

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


class Output(asyncio.Protocol):
    """One output of a program, handed on piece by piece as it comes.

    Attributes:
        over: Nobody writes to it any more.
    """

    def __init__(
        self, receive: Callable[[bytes], None], at_end: Callable[[], None] = lambda: None
    ) -> None:
        self._receive, self._at_end = receive, at_end
        self._transport: asyncio.ReadTransport | None = None
        self.over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what reads."""
        self._transport = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Hand a piece on."""
        self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the end."""
        self.over.set()
        self._at_end()

    def resume(self) -> None:
        """Read on, where a stream that nobody reads has stopped it."""
        if self._transport and not self.over.is_set() and not self._transport.is_closing():
            self._transport.resume_reading()

    def discard(self) -> None:
        """Throw away all that still comes, and tell nobody of the end."""
        self._receive, self._at_end = lambda _piece: None, lambda: None
        self.resume()

    def close(self) -> None:
        """Take no more, whoever still writes."""
        if self._transport:
            self._transport.close()


class Child:
    """A running program: write to ``stdin``, read ``stdout``; its stderr is always drained.

    Attributes:
        stdout: Empty where the output goes elsewhere.
        complaints: The last lines of its stderr, complete once the block has been left.
    """

    stdin: asyncio.StreamWriter

    def __init__(self, spawned: Spawned, output: Output | None) -> None:
        self._spawned, self._process = spawned, spawned.process
        self.pid = spawned.process.pid
        self.stdout, self.complaints = asyncio.StreamReader(), LastLines()
        self._output = output or Output(self.stdout.feed_data, self.stdout.feed_eof)
        self._stderr = Output(self.complaints.receive)
        self._exited = asyncio.Event()

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    async def connect(self) -> None:
        """Begin to listen to it."""
        loop = asyncio.get_running_loop()
        _, stdin, stdout, stderr = self._spawned
        # A protocol for streams, of which no more than its flow control is used.
        writing, flow = await loop.create_unix_connection(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sock=stdin
        )
        self.stdin = asyncio.StreamWriter(writing, flow, None, loop)
        reading, _ = await loop.create_unix_connection(lambda: self._output, sock=stdout)
        self.stdout.set_transport(reading)  # it pauses what nobody reads
        await loop.create_unix_connection(lambda: self._stderr, sock=stderr)
        when_gone(self._process, self._has_exited)

    def signal_group(self, number: int) -> None:
        """Send a signal to the child and to all it started, if any is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def gone(self) -> None:
        """Throw away what is left of its output, and return when nobody writes any more."""
        self._output.discard()
        for each in (self._output.over, self._stderr.over, self._exited):
            await each.wait()

    def forget(self) -> None:
        """Close what is still open of its pipes."""
        self.stdin.transport.abort()
        self._output.close()
        self._stderr.close()

    def _has_exited(self) -> None:
        self._process.poll()
        self.stdin.close()
        self._exited.set()


@asynccontextmanager
async def child_process(
    argv: Sequence[str], *, env: Mapping[str, str], grace_s: float, output: Output | None = None
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
        output: Who takes the program's output, in place of ``stdout``.

    Raises:
        OSError: The program could not be started.
    """
    # In a task of its own, because a fork cannot be taken back half way.
    birth = asyncio.create_task(_start(argv, dict(env), output), name="child/start")
    try:
        await asyncio.wait({birth})
        yield birth.result()
    finally:
        await _finish(birth, grace_s)


async def _start(argv: Sequence[str], env: dict[str, str], output: Output | None) -> Child:
    child = Child(await asyncio.to_thread(spawn, argv, env), output)
    try:
        await child.connect()
    except BaseException:
        child.signal_group(signal.SIGKILL)
        raise
    return child


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
        child.forget()
    # What it started may have left the pipes and stayed.
    child.signal_group(signal.SIGKILL)

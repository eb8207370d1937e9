"""Starting a program cheaply, and hearing of its end.

Python's :class:`subprocess.Popen` lends its memory to the child (vfork) until that runs its
program: 0.2 ms. Event loops copy the tables of that memory (fork): measured in a process of
150 MB, uvloop stood still for 10 to 30 ms at each start.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from socket import socket, socketpair
from subprocess import Popen
from typing import NamedTuple

# What `setpriv` does, where it is missing: PR_SET_PDEATHSIG and PR_SET_NO_NEW_PRIVS.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; prctl = ctypes.CDLL(None).prctl;"
    "prctl(1, 9, 0, 0, 0); prctl(38, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Spawned(NamedTuple):
    """A process, and our ends of what it reads and writes."""

    process: Popen[bytes]
    stdin: socket
    stdout: socket
    stderr: socket


def spawn(argv: Sequence[str], env: Mapping[str, str]) -> Spawned:
    """Start a program in a session of its own; blocks for a moment.

    It dies with the thread that calls this: the threads of the loop's own pool stay as long as
    the loop, but not every thread does.

    Raises:
        OSError: The program could not be started.
    """
    # Sockets, because uvloop 0.23 closes a pipe's descriptor twice: the second time it may be one
    # that another thread has just opened.
    with ExitStack() as theirs, ExitStack() as ours:
        pairs = [socketpair() for _ in range(3)]
        ends = [ours.enter_context(end) for end, _ in pairs]
        stdin, stdout, stderr = (theirs.enter_context(end).fileno() for _, end in pairs)
        process = Popen(
            _command(argv), 0, None, stdin, stdout, stderr, env=env, start_new_session=True
        )
        ours.pop_all()
    return Spawned(process, *ends)


def when_gone(process: Popen[bytes], tell: Callable[[], None]) -> None:
    """Have the running loop call ``tell`` once the process can be waited for without waiting."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old or a locked-up one
        arguments = (process, loop, tell)
        threading.Thread(target=_wait, args=arguments, name="child/wait", daemon=True).start()
        return

    def gone() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        tell()

    loop.add_reader(descriptor, gone)


def _wait(process: Popen[bytes], loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
    process.wait()
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(tell)


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

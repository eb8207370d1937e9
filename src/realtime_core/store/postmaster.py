"""Who serves a folder of PostgreSQL's: its pid file, and whether that tells the truth."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from realtime_core.logs import get_logger

log = get_logger("store")


def is_served(folder: Path) -> bool:
    """Whether a living PostgreSQL serves ``folder``. Blocks for less than a millisecond."""
    pid = _pid(folder)
    return pid is not None and _serves(pid, folder) is True


def forget_stranger(folder: Path) -> None:
    """Remove the pid file if the process that it names is alive and is something else.

    After a restart of the machine or the container the number may be anybody's: who starts
    PostgreSQL would take it for running, and PostgreSQL would refuse to start. A file that
    names a dead process is PostgreSQL's to judge: parts of it may live.
    """
    pid = _pid(folder)
    if pid is not None and _serves(pid, folder) is False:
        log.warning("Stale pid file of the embedded PostgreSQL removed", pid=pid)
        (folder / "postmaster.pid").unlink(missing_ok=True)


def _pid(folder: Path) -> int | None:
    try:
        return int((folder / "postmaster.pid").read_text().partition("\n")[0])
    except (OSError, ValueError):  # there is none, or it is being written
        return None


def _serves(pid: int, folder: Path) -> bool | None:
    """Whether the process is the PostgreSQL of ``folder``; None when there is no such process."""
    import psutil  # comes with the embedded PostgreSQL

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            _bury(pid)
            return None
        return str(folder.resolve()) in process.cmdline()
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # negative: no server's
        return None
    except psutil.AccessDenied:
        return True  # it is what PostgreSQL would take it for


def _bury(pid: int) -> None:
    """Let go of a dead process, if that is ours to do: in a container without an init it is."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)

"""The folder that holds the journal and the embedded PostgreSQL: one process's at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime_core.errors import ConfigurationError
from realtime_core.store.journal_file import lock_file

LOCK = "lock"


@asynccontextmanager
async def claimed_folder(path: Path) -> AsyncIterator[Path]:
    """Make ``path`` if need be, and keep other processes out of it for a block.

    To be entered before anything in it is touched: a second service must not stop the
    first one's database when it finds the journal in use.

    Raises:
        ConfigurationError: Another process has it, or it cannot be written to.
    """
    descriptor = await asyncio.to_thread(_claim, path)
    try:
        yield path
    finally:
        await asyncio.to_thread(os.close, descriptor)


def _claim(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return lock_file(path / LOCK)
    except OSError as exc:
        raise ConfigurationError(
            f"DATA_DIR: {path} cannot be used as a folder to write to ({exc.strerror})"
        ) from exc

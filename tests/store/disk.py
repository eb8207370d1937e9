"""A full disk, for this process."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs


@contextmanager
def no_larger_file(path: Path) -> Iterator[None]:
    """Have the system refuse to make any file longer than ``path`` is now."""
    with _files_of_at_most(path.stat().st_size):
        yield


@contextmanager
def full_disk() -> Iterator[None]:
    """Have the system refuse each write to a file. Nothing is logged: that would be a file too."""
    with capture_logs(), _files_of_at_most(0):
        yield


@contextmanager
def _files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

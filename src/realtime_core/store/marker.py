"""Whether the sessions in a journal are as they were when it was last in use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CLEAN = b"clean"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MOST_BYTES = 100


class Marker:
    """The text of an open file: which boot of the machine uses the journal, or ``clean``.

    What a killed process wrote is in the page cache, and lost only with the machine. So the
    records can be relied on after a proper end, and as long as the machine has not booted
    anew; and never after one was not kept. Any other text means that they cannot, and so does
    a text that could not be written.

    All but :meth:`clear` belong to a thread.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._boot_id = _boot_id()

    def vouches(self) -> bool:
        """Whether the records can be relied on."""
        return os.pread(self._descriptor, MOST_BYTES, 0) in (CLEAN, self._boot_id)

    def set_in_use(self) -> None:
        """Note that they can as long as the machine runs."""
        self._write(self._boot_id)

    def set_clean(self) -> None:
        """Note that they can: all is on the disk, and nobody writes any more."""
        self._write(CLEAN)

    def clear(self) -> None:
        """Note that they cannot. One system call, which works on a full disk."""
        os.ftruncate(self._descriptor, 0)

    def _write(self, text: bytes) -> None:
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)
            os.fsync(self._descriptor)


def _boot_id() -> bytes:
    try:
        return BOOT_ID.read_bytes().strip()
    except OSError:
        return b"unknown"  # not Linux: a machine that went down is not noticed

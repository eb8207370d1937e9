"""Log lines on their way to standard output, without the event loop waiting for its reader.

A pipe that nobody reads is full after 64 KiB, and then a write waits for ever. So a line is
made where it is logged, and written by a thread. What no longer fits between the two is
dropped, counted, and said in its place once there is room again.
"""

from __future__ import annotations

import logging
import os
from contextvars import Context
from logging.handlers import QueueHandler, QueueListener
from queue import Full, Queue

Lines = Queue[object]
"""Of text, and what the standard library puts in to end the thread."""

LINES_WAITING = 5_000
"""About a megabyte of ordinary lines, and ten seconds of what Railway takes."""
FLUSH_TIMEOUT_S = 2.0


class QueuedLines(QueueHandler):
    """Takes log records and never waits; a thread of its own writes them, in order.

    The interpreter flushes and closes it at its end, which waits for the reader, but not
    for longer than ``flush_timeout_s``.

    Args:
        fd: An open file descriptor. It stays open.

    Attributes:
        queue: What waits for the writer.
        dropped: How many lines were not written, because there was no room, or no reader.
    """

    queue: Lines

    def __init__(
        self, fd: int, *, limit: int = LINES_WAITING, flush_timeout_s: float = FLUSH_TIMEOUT_S
    ) -> None:
        super().__init__(Queue(limit))
        self._writer, self._is_writing = _Writer(self.queue, fd), False
        self._flush_timeout_s = flush_timeout_s
        self._full = self._unsaid = 0

    @property
    def dropped(self) -> int:
        return self._full + self._writer.failed

    def start(self) -> None:
        """Begin to write."""
        self._writer.start()
        self._is_writing = True

    def prepare(self, record: logging.LogRecord) -> str:
        """Return the line, made here because the thread knows nothing of contexts."""
        return self.format(record)

    def enqueue(self, record: object) -> None:
        """Take a line, as :meth:`prepare` made it. The lock of the handler is held."""
        try:
            if self._unsaid:
                self.queue.put_nowait(self._gap())
                self._unsaid = 0
            self.queue.put_nowait(record)
        except Full:
            self._full += 1
            self._unsaid += 1

    def flush(self) -> None:
        """Return when all is written, or after a bound."""
        with self.queue.all_tasks_done:
            self.queue.all_tasks_done.wait_for(self._is_idle, self._flush_timeout_s)

    def close(self) -> None:
        """Let the thread end, unless it hangs; then it ends with the process."""
        if self._is_writing and self._is_idle():
            self._is_writing = False
            self._writer.stop()
        super().close()

    def _is_idle(self) -> bool:
        return not self.queue.unfinished_tasks

    def _gap(self) -> str:
        gap = {"msg": "Log lines dropped", "count": self._unsaid, "component": "logs"}
        level = {"levelno": logging.WARNING, "levelname": "WARNING"}
        # In a context of its own: it is not about the session whose line comes next.
        return Context().run(self.format, logging.makeLogRecord(gap | level))


class _Writer(QueueListener):
    """The thread. It is a daemon: at the end of the process nobody waits for it."""

    def __init__(self, lines: Lines, fd: int) -> None:
        super().__init__(lines)
        self._fd = fd
        self.failed = 0

    def handle(self, record: object) -> None:
        # Not through sys.stdout: its lock, held by a thread that hangs, is fatal at exit.
        rest = f"{record}\n".encode(errors="backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:  # the reader is gone
            self.failed += 1

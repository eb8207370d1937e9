import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from realtime_core.lines import QueuedLines


class Pipe:
    """Takes lines; nobody reads them before :meth:`read`."""

    def __init__(self, flush_timeout_s: float) -> None:
        read_fd, self._write_fd = os.pipe()
        self._reader = open(read_fd)  # noqa: SIM115 - closed by hang_up
        self.handler = QueuedLines(self._write_fd, limit=3, flush_timeout_s=flush_timeout_s)
        self.handler.start()

    def log(self, text: object) -> None:
        self.handler.handle(logging.makeLogRecord({"msg": text}))

    def block(self) -> None:
        """Let the writer hang, with a line in its hands."""
        os.set_blocking(self._write_fd, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self._write_fd, bytes(1))
        os.set_blocking(self._write_fd, True)
        self.log("blocked")
        while not self.handler.queue.empty():
            time.sleep(0.001)

    def read(self, lines: int) -> list[str]:
        return [self._reader.readline().strip("\0\n") for _ in range(lines)]

    def hang_up(self) -> None:
        self._reader.close()


@contextmanager
def piped(flush_timeout_s: float = 5.0) -> Iterator[Pipe]:
    pipe = Pipe(flush_timeout_s)
    try:
        yield pipe
    finally:
        pipe.hang_up()
        pipe.handler.flush()
        pipe.handler.close()
        os.close(pipe._write_fd)


def test_lines_of_all_threads_are_written_whole_and_in_order() -> None:
    def log_some(thread: int) -> None:
        for number in range(50):
            pipe.log(f"{thread} {number}")
            pipe.handler.flush()

    with piped() as pipe:
        threads = [threading.Thread(target=log_some, args=(each,)) for each in range(2)]
        for thread in threads:
            thread.start()
        lines = [tuple(map(int, line.split())) for line in pipe.read(100)]
        for thread in threads:
            thread.join()
    for each in range(2):
        assert [number for thread, number in lines if thread == each] == list(range(50))


def test_what_does_not_fit_is_dropped_counted_and_said_where_it_is_missing() -> None:
    with piped() as pipe:
        pipe.block()
        for number in range(10):
            pipe.log(number)
        assert pipe.handler.dropped == 10 - 3
        assert pipe.read(4) == ["blocked", "0", "1", "2"]
        pipe.log("there again")
        assert pipe.read(2) == ["Log lines dropped", "there again"]


def test_flushing_waits_for_a_reader_but_not_for_ever() -> None:
    with piped(flush_timeout_s=0.2) as pipe:
        pipe.log("read")
        pipe.handler.flush()
        assert pipe.read(1) == ["read"]
        pipe.block()
        began_at = time.monotonic()
        pipe.handler.flush()
        pipe.handler.close()
        assert 0.2 <= time.monotonic() - began_at < 5
        assert pipe.read(1) == ["blocked"]


def test_a_reader_that_has_left_costs_its_lines_only(capfd: pytest.CaptureFixture[str]) -> None:
    with piped() as pipe:
        pipe.hang_up()
        pipe.log("nobody hears this")
        pipe.handler.flush()
        assert pipe.handler.dropped == 1
    assert capfd.readouterr().err == ""


def test_closing_twice_is_closing_once() -> None:
    with piped() as pipe:
        pipe.log("last")
        pipe.handler.flush()
        pipe.handler.close()
        pipe.handler.close()
        assert pipe.read(1) == ["last"]

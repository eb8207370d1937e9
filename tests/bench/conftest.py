"""The sound, made once; and commands through a pipe, as the load's processes get them."""

import os
from collections.abc import Iterator

import pytest

from bench.load import sound
from bench.load.sound import Sound
from bench.load.talk import Commands


@pytest.fixture(scope="session")
def beeps() -> Sound:
    return sound.load()


class Line:
    """The other end of a process's standard input."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.commands = Commands(self._reading)

    def say(self, text: str) -> None:
        os.write(self._writing, text.encode())

    def hang_up(self) -> None:
        os.close(self._writing)
        self._writing = -1

    def close(self) -> None:
        for fd in (self._reading, self._writing):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()

"""Reading in pairs: when it begins and ends, and what the kernel makes of it."""

import asyncio
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_core.metrics import Metrics
from realtime_core.rtmp import gathering
from realtime_core.rtmp.cadence import BUSY_TIMES, MEASURED_FRAMES
from realtime_core.rtmp.gathering import LOOK_EVERY_S, MOST_HELD_S, Gatherer, PairedReads
from tests.virtual_time import in_virtual_time

FRAME_BYTES = 400
APART_S = 0.021


class Wire(asyncio.Transport):
    """A transport over a socket that only notes what it is asked for."""

    def __init__(self, connection: Any = None) -> None:
        super().__init__({"socket": connection or self})
        self.asked: list[int] = []
        self.is_closed = False

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        self.asked.append(value)

    def is_closing(self) -> bool:
        return self.is_closed


class Loop:
    """Says how busy the loop is, for a gatherer that runs."""

    def __init__(self) -> None:
        self.metrics, self.busy = Metrics(), 0.9
        self._worked_s = self._asked_at = 0.0
        self.gatherer = Gatherer(self.metrics, self._work)

    async def turn(self, *, busy: float) -> None:
        self.busy = busy
        await asyncio.sleep((BUSY_TIMES + 1) * gathering.MEASURE_EVERY_S + 0.01)

    def _work(self) -> float:
        now = asyncio.get_running_loop().time()
        self._worked_s += (now - self._asked_at) * self.busy
        self._asked_at = now
        return self._worked_s


@pytest.fixture(autouse=True)
def possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "IS_POSSIBLE", True)


def regular(gatherer: Gatherer, wire: Wire) -> PairedReads:
    """Return reads whose frames are known."""
    reads, now = PairedReads(gatherer, wire), asyncio.get_running_loop().time()
    for number in range(MEASURED_FRAMES + 1):
        reads.saw(number * 21)
        reads.came(FRAME_BYTES, now)
    return reads


def read(reads: PairedReads) -> None:
    reads.came(2 * FRAME_BYTES, asyncio.get_running_loop().time())


def test_a_quiet_service_waits_for_nothing() -> None:
    async def main() -> None:
        loop, wire = Loop(), Wire()
        loop.gatherer.start()
        await loop.turn(busy=0.1)
        read(regular(loop.gatherer, wire))
        assert wire.asked == []
        assert loop.metrics.registry.get_sample_value("rtmp_gathering") == 0
        assert loop.metrics.registry.get_sample_value("event_loop_busy_ratio") == pytest.approx(0.1)
        loop.gatherer.stop()

    in_virtual_time(main())


def test_a_busy_one_waits_for_pairs_until_it_has_time_again() -> None:
    async def main() -> None:
        loop, wire = Loop(), Wire()
        loop.gatherer.start()
        await loop.turn(busy=0.9)
        assert loop.metrics.registry.get_sample_value("rtmp_gathering") == 1
        reads = regular(loop.gatherer, wire)
        assert wire.asked == [FRAME_BYTES * 3 // 2]
        await loop.turn(busy=0.1)
        read(reads)
        assert wire.asked[1:] == [1]
        assert loop.metrics.registry.get_sample_value("rtmp_gathering") == 0
        loop.gatherer.stop()

    in_virtual_time(main())


def test_a_frame_whose_second_does_not_come_is_read_in_time() -> None:
    async def main() -> None:
        loop, wire = Loop(), Wire()
        loop.gatherer.start()
        await loop.turn(busy=0.9)
        reads = regular(loop.gatherer, wire)
        await asyncio.sleep(APART_S + MOST_HELD_S - 0.001)
        assert wire.asked == [FRAME_BYTES * 3 // 2]
        await asyncio.sleep(LOOK_EVERY_S + 0.002)
        assert wire.asked[1:] == [1]
        read(reads)
        assert wire.asked[-1] == FRAME_BYTES * 3 // 2
        loop.gatherer.stop()
        assert wire.asked[-1] == 1

    in_virtual_time(main())


def test_who_reads_in_time_is_not_hurried() -> None:
    async def main() -> None:
        loop, wires = Loop(), [Wire(), Wire()]
        loop.gatherer.start()
        await loop.turn(busy=0.9)
        steady, _ = [regular(loop.gatherer, wire) for wire in wires]
        for _ in range(10):
            await asyncio.sleep(2 * APART_S)
            read(steady)
        assert [wire.asked[-1] for wire in wires] == [FRAME_BYTES * 3 // 2, 1]
        loop.gatherer.stop()

    in_virtual_time(main())


@pytest.mark.parametrize("is_closed", [False, True])
def test_an_end_gives_the_kernel_back_what_was_asked_unless_the_socket_is_gone(
    is_closed: bool,
) -> None:
    async def main() -> None:
        loop, wire = Loop(), Wire()
        loop.gatherer.start()
        await loop.turn(busy=0.9)
        reads = regular(loop.gatherer, wire)
        wire.is_closed = is_closed
        reads.close()
        reads.close()
        read(reads)
        assert wire.asked[1:] == ([] if is_closed else [1])
        loop.gatherer.stop()
        loop.gatherer.stop()

    in_virtual_time(main())


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def is_readable(connection: socket.socket, within_s: float) -> bool:
    return bool(select.select([connection], [], [], within_s)[0])


def test_the_kernel_wakes_us_for_two_frames_for_one_in_a_hurry_and_for_the_end(
    line: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = line

    async def main() -> None:
        loop = Loop()
        loop.gatherer.is_on = True
        reads = regular(loop.gatherer, Wire(ours))
        theirs.sendall(bytes(FRAME_BYTES))
        assert not is_readable(ours, 0.02)
        theirs.sendall(bytes(FRAME_BYTES))
        assert is_readable(ours, 5)
        assert len(ours.recv(4096)) == 2 * FRAME_BYTES
        theirs.sendall(bytes(FRAME_BYTES))
        assert not is_readable(ours, 0.02)
        reads.hurry()
        assert is_readable(ours, 5)
        assert len(ours.recv(4096)) == FRAME_BYTES
        read(reads)
        theirs.close()
        assert is_readable(ours, 5)

    in_virtual_time(main())

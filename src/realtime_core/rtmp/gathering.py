"""Audio read two frames at a time while the process is busy, so that load makes pieces bigger.

A frame that comes alone wakes the loop, FFmpeg and the way to speech-to-text for itself. Two that
are read together share all of that, down to the acknowledgement. The first of them waits in the
kernel, which wakes us when there is as much as we asked for (SO_RCVLOWAT): a frame that waits
costs nothing. While the loop has time, nothing waits.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from itertools import takewhile

from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.rtmp.cadence import BusySwitch, Cadence

MEASURE_EVERY_S = 1.0
MOST_HELD_S = 0.025
"""So long after a frame is due it is waited for, and :data:`LOOK_EVERY_S` more at most."""
LOOK_EVERY_S = 0.005

# Where less is asked for, Linux looks whether that is there already; others may not.
IS_POSSIBLE = sys.platform == "linux"

log = get_logger("rtmp")


class Gatherer:
    """Decides for a whole server whether its publishes are read in pairs.

    Building one starts nothing.

    Args:
        worked_s: Returns the processor time of the loop's thread.

    Attributes:
        is_on: Whether the loop is so busy that they are.
    """

    def __init__(self, metrics: Metrics, worked_s: Callable[[], float] = time.thread_time) -> None:
        self.is_on = False
        self._metrics, self._worked_s = metrics, worked_s
        self._switch = BusySwitch()
        # In the order of their time, nearly: publishes differ by few milliseconds.
        self._due: dict[PairedReads, float] = {}
        self._measuring: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure how busy the running loop is, until :meth:`stop`."""
        self._measure_later()

    def stop(self) -> None:
        """Let nothing wait any more. May be called twice."""
        if self._measuring is not None:
            self._measuring.cancel()
        self.turn(on=False)

    def turn(self, *, on: bool) -> None:
        """Begin or end to read in pairs, until the next measurement."""
        if on == self.is_on:
            return
        self.is_on = on
        self._metrics.rtmp_gathering.set(float(on))
        log.debug("RTMP gathering", on=on)
        if on:
            self._look()
            return
        if self._looking is not None:
            self._looking.cancel()
        for reads in tuple(self._due):
            reads.hurry()

    def expect(self, reads: PairedReads, due_at: float) -> None:
        """Have ``reads`` hurry when it has not read until ``due_at``."""
        self._due.pop(reads, None)  # to the end of the row
        self._due[reads] = due_at

    def forget(self, reads: PairedReads) -> None:
        """Expect nothing of it."""
        self._due.pop(reads, None)

    def _measure_later(self) -> None:
        loop = asyncio.get_running_loop()
        since = (loop.time(), self._worked_s())
        self._measuring = loop.call_later(MEASURE_EVERY_S, self._measure, *since)

    def _measure(self, since_at: float, worked_before_s: float) -> None:
        passed_s = asyncio.get_running_loop().time() - since_at
        share = (self._worked_s() - worked_before_s) / passed_s
        self._metrics.loop_busy.set(share)
        self.turn(on=self._switch.measured(share) and IS_POSSIBLE)
        self._measure_later()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for reads, _ in tuple(takewhile(lambda each: each[1] <= now, self._due.items())):
            reads.hurry()
        self._looking = loop.call_later(LOOK_EVERY_S, self._look)


class PairedReads:
    """One connection's reading: by the frame, or by the pair of frames.

    Attributes:
        saw: To be told of each frame, by its timestamp in milliseconds.
    """

    def __init__(self, gatherer: Gatherer, transport: asyncio.Transport) -> None:
        self._gatherer, self._transport = gatherer, transport
        self._socket = transport.get_extra_info("socket")
        self._cadence = Cadence()
        self._least_bytes = 1
        self._is_over = False
        self.saw = self._cadence.saw

    def came(self, size_bytes: int, now: float) -> None:
        """Note that so much was read, and decide how much is to be there the next time."""
        cadence = self._cadence
        cadence.came(size_bytes)
        if not self._gatherer.is_on:
            return
        if cadence.pair_bytes and not self._is_over:
            self._ask_for(cadence.pair_bytes)
            self._gatherer.expect(self, now + cadence.apart_s + MOST_HELD_S)
        else:
            self.hurry()

    def hurry(self) -> None:
        """Read whatever comes, or is there, at once."""
        self._gatherer.forget(self)
        self._ask_for(1)

    def close(self) -> None:
        """Read by the frame from now on. May be called twice."""
        self._is_over = True
        self.hurry()

    def _ask_for(self, least_bytes: int) -> None:
        # A descriptor that the transport has closed may be another's by now.
        if least_bytes != self._least_bytes and not self._transport.is_closing():
            self._least_bytes = least_bytes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)

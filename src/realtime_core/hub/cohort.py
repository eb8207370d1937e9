"""Some listeners of one session, and one pass over them for each frame.

Most of what a pass costs is the kernel's. What is ours to save is looking at a listener at
all: touching the objects of each of 3,000 connections, cold in the processor's cache, costs
more than everything else here. So a pass goes over bare file descriptors, of those whose
transport holds nothing; only a listener that is behind is looked at and goes through its
transport, so that its bytes stay in order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from realtime_core.hub.wire import CloseCode


class Listener(Protocol):
    """What the hub needs of a connection, and no more."""

    @property
    def descriptor(self) -> int | None:
        """A non-blocking socket, past the transport; None when all must go through that.

        It stays open, and is nobody else's, until the listener has left.
        """

    def buffered_bytes(self) -> int:
        """Return how much was written and is not yet with the operating system."""

    def write(self, frame: bytes) -> None:
        """Hand bytes to the transport. Never waits, never raises."""

    def attend(self, fell_behind: Callable[[Listener], None]) -> None:
        """From now on call this when, after a write of anybody's, bytes wait in the transport."""

    def hang_up(self, code: CloseCode) -> None:
        """Close, after what was written, within a bounded time. Never waits, never raises."""


class Cohort:
    """Listeners who are written to in one go, and what may wait for each."""

    def __init__(self) -> None:
        self._limits: dict[Listener, int] = {}
        # Everybody is in one of these two. Whoever is in the first has nothing waiting.
        self._direct: dict[int, Listener] = {}
        self._indirect: dict[Listener, None] = {}

    def __len__(self) -> int:
        return len(self._limits)

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._limits)

    def __contains__(self, listener: object) -> bool:
        return listener in self._limits

    def welcome(self, listener: Listener, frame: bytes, limit: int) -> None:
        """Count a listener in, and write its first frame, which comes on top of its limit."""
        self._limits[listener] = max(limit + len(frame), self._limits.get(listener, 0))
        self._fall_behind(listener)  # until it has been looked at
        listener.attend(self._fall_behind)
        listener.write(frame)

    def forget(self, listener: Listener) -> bool:
        """Count a listener out; say whether it was in."""
        self._indirect.pop(listener, None)
        if listener.descriptor is not None:
            self._direct.pop(listener.descriptor, None)
        return self._limits.pop(listener, None) is not None

    def spread(self, frame: bytes) -> list[Listener]:
        """Write to all that keep up; return those that do not."""
        crowded = self._look_at_those_behind(frame) if self._indirect else []
        size, late = len(frame), []
        for descriptor in self._direct:
            try:
                written = os.write(descriptor, frame)
            except OSError:  # the kernel has no room, or the peer is gone: the transport sees to it
                late.append((descriptor, 0))
            else:
                if written != size:
                    late.append((descriptor, written))
        for descriptor, written in late:
            self._direct[descriptor].write(frame[written:])
        return crowded

    def _look_at_those_behind(self, frame: bytes) -> list[Listener]:
        """Write to them, but for those that have caught up: they are written to directly now."""
        crowded = []
        for listener in tuple(self._indirect):
            waiting, descriptor = listener.buffered_bytes(), listener.descriptor
            # Not counting this frame: one that is larger than the limit is nobody's fault.
            if waiting > self._limits[listener]:
                crowded.append(listener)
            elif waiting or descriptor is None:
                listener.write(frame)
            else:
                del self._indirect[listener]
                self._direct[descriptor] = listener
        return crowded

    def _fall_behind(self, listener: Listener) -> None:
        if listener in self._limits:
            self._indirect[listener] = None
            if listener.descriptor is not None:
                self._direct.pop(listener.descriptor, None)

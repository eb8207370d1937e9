"""A fault proxy that breaks a WebSocket at a byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from tests.faults.proxy import Link, Proxy, Streams, Way

UPGRADE = b"GET "


class Fault(Enum):
    """How a connection ends at the byte."""

    RESET = "reset"
    HALF_CLOSED = "half-closed"
    STALLED = "stalled"


@dataclass
class Cut:
    """What is to happen to the next WebSocket that comes so far.

    Attributes:
        at: How many bytes, handshake included, are passed on that way before it.
    """

    fault: Fault
    way: Way
    at: int
    struck: bool = False


class Scissors(Proxy):
    """Strikes one cut, and then the next that it is given; leaves plain HTTP alone.

    Attributes:
        next_cut: What strikes the next WebSocket that comes to its byte.
    """

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        super().__init__(connect)
        self.next_cut: Cut | None = None
        self._sockets: set[Link] = set()

    async def _pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        link, way = self._whose(reader)
        passed = 0
        async for piece in super()._pieces(reader):
            if way is Way.TO_SERVER and not passed and piece.startswith(UPGRADE):
                self._sockets.add(link)
            cut = self._due(link, way, passed, passed + len(piece))
            if cut is not None:
                cut.struck = True
                yield piece[: cut.at - passed]
                await self._strike(cut.fault, link)
                return  # which half-closes
            passed += len(piece)
            yield piece

    def _due(self, link: Link, way: Way, passed: int, reached: int) -> Cut | None:
        cut = self.next_cut
        if cut is None or cut.struck or link not in self._sockets:
            return None
        return cut if cut.way is way and passed <= cut.at <= reached else None

    async def _strike(self, fault: Fault, link: Link) -> None:
        if fault is Fault.RESET:
            link.reset()
        elif fault is Fault.STALLED:
            await asyncio.Event().wait()  # until the client has enough and hangs up

    def _whose(self, reader: asyncio.StreamReader) -> tuple[Link, Way]:
        return next(
            (link, way) for link in self.links for way in Way if link.readers[way] is reader
        )

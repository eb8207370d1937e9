"""A TCP proxy that breaks the connections which go through it, on purpose.

Put it in front of any server: PostgreSQL, the speech-to-text socket, RTMP, viewers. The
faults are context managers, or single blows; without one it passes everything on unchanged.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import TracebackType
from typing import Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
CHUNK = 65_536


class Way(Enum):
    """Which of a connection's two directions."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class Link:
    """One client's connection and ours to the server.

    Attributes:
        loses_answer: Whether the next the server says is to be a reset instead.
        finished: The directions that were half-closed; what still comes there goes nowhere.
    """

    def __init__(self, client: Streams, server: Streams) -> None:
        self.readers = {Way.TO_SERVER: client[0], Way.TO_CLIENT: server[0]}
        self.writers = {Way.TO_SERVER: server[1], Way.TO_CLIENT: client[1]}
        self.loses_answer = False
        self.finished: set[Way] = set()

    def reset(self) -> None:
        """End both sides with RST; what was under way is gone."""
        for writer in self.writers.values():
            abort(writer)

    def half_close(self, way: Way) -> None:
        """Tell one side that the other has nothing more to say; the way back stays open."""
        self.finished.add(way)
        # uvloop raises for a transport that is closed, asyncio for a peer that has reset it.
        if not self.writers[way].is_closing():
            with suppress(OSError):
                self.writers[way].write_eof()


class Proxy:
    """Listens on a port of the loopback interface and passes bytes on to a server.

    Entering listens; leaving resets what is still connected. ``Proxy.to`` and
    ``Proxy.to_unix`` make one.

    Attributes:
        links: The open connections.
        accepted: How many connections were passed on so far.
        refused: How many connections were cut before they were passed on.
    """

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self.links: set[Link] = set()
        self.accepted = self.refused = 0
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._delay_s = 0.0
        self._bytes_per_s = float("inf")
        self._request: bytes | None = None
        self._lost = asyncio.Event()

    @classmethod
    def to(cls, host: str, port: int) -> Self:
        """Return a proxy for a TCP server."""
        return cls(lambda: asyncio.open_connection(host, port))

    @classmethod
    def to_unix(cls, path: str) -> Self:
        """Return a proxy for a server that listens on a Unix socket."""
        return cls(lambda: asyncio.open_unix_connection(path))

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._server is not None, "not entered"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def reset(self) -> None:
        """End all connections with RST; new ones are welcome."""
        for link in tuple(self.links):
            link.reset()

    def half_close(self, way: Way) -> None:
        """Half-close all connections."""
        for link in tuple(self.links):
            link.half_close(way)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Reset everything and refuse what is new: the server is gone."""
        self._is_cut = True
        self.reset()
        try:
            yield
        finally:
            self._is_cut = False

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Pass nothing on, and close nothing: a black hole. Afterwards nothing is missing."""
        self._flowing.clear()
        try:
            yield
        finally:
            self._flowing.set()

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Pass each piece on so much later than its predecessor or its arrival."""
        self._delay_s = seconds
        try:
            yield
        finally:
            self._delay_s = 0.0

    @contextmanager
    def slow(self, bytes_per_s: float) -> Iterator[None]:
        """Pass on no more than this per connection and direction."""
        self._bytes_per_s = bytes_per_s
        try:
            yield
        finally:
            self._bytes_per_s = float("inf")

    @contextmanager
    def answer_lost(self, request: bytes) -> Iterator[asyncio.Event]:
        """Reset the first connection that sends ``request``, in place of the server's answer.

        The server has done what it was asked, and its client does not know. Yields an
        event that is set when it has happened.
        """
        self._request, self._lost = request, asyncio.Event()
        try:
            yield self._lost
        finally:
            self._request = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Streams) -> None:
        try:
            if self._is_cut:
                raise ConnectionRefusedError
            server = await self._connect()
        except OSError:
            self.refused += 1
            abort(client[1])
            return
        self.accepted += 1
        link = Link(client, server)
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as pumps:
                for way in Way:
                    _ = pumps.create_task(self._pump(link, way))
        finally:
            self.links.discard(link)
            link.reset()

    async def _pump(self, link: Link, way: Way) -> None:
        """Pass one direction on until it ends; a broken connection ends both."""
        with suppress(ConnectionError):
            async for piece in self._pieces(link.readers[way]):
                if self._loses(link, way, piece) or link.writers[way].is_closing():
                    break
                if way in link.finished:
                    continue
                link.writers[way].write(piece)
                await link.writers[way].drain()
            else:
                link.half_close(way)
                return
        link.reset()

    async def _pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        while piece := await reader.read(CHUNK):
            await asyncio.sleep(self._delay_s + len(piece) / self._bytes_per_s)
            await self._flowing.wait()
            yield piece

    def _loses(self, link: Link, way: Way, piece: bytes) -> bool:
        if way is Way.TO_CLIENT:
            if link.loses_answer:
                self._lost.set()
            return link.loses_answer
        # A request is taken to be in one piece: it is small, and the path is one machine.
        if self._request is not None and self._request in piece:
            self._request, link.loses_answer = None, True
        return False


def abort(writer: asyncio.StreamWriter) -> None:
    """Close the socket so that the peer sees RST, not the end of the stream."""
    peer = writer.get_extra_info("socket")
    if not writer.is_closing() and peer.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()

"""One WebSocket as the hub sees it: bytes to a socket, and an end in bounded time.

Frames go past aiohttp's writer: to the transport, or, while that holds nothing, by the hub
straight to the socket. All of them write whole frames at once and from the event loop's
thread, and compression, which would hold a frame over an ``await``, is off. aiohttp itself
writes only the upgrade, before, and a close frame, after; so no frame can land inside another.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress

from aiohttp import WebSocketError, WSMessage, web

from realtime_core.hub import wire
from realtime_core.hub.cohort import Listener
from realtime_core.hub.wire import CloseCode

SEND_BUFFER_BYTES = 65_536
"""What the kernel may hold for one viewer. Left alone it grows to megabytes."""


class Viewer:
    """A listener of the hub.

    Its owner waits for the client in :meth:`receive`. Hanging up ends that wait, and the
    owner then calls :meth:`close`: so whoever hangs up waits for nothing.

    Args:
        limit_bytes: What may wait in the transport before an answer does not fit.

    Attributes:
        closed_with: The code with which we hung up; None while we have not.
        descriptor: The socket's, our own copy: closed by :meth:`close` and not by the transport,
            so that it is never another connection's. None before :meth:`open`, and when all has
            to go through the transport.
    """

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport, *, limit_bytes: int
    ) -> None:
        self.closed_with: CloseCode | None = None
        self.descriptor: int | None = None
        self._ws, self._transport, self._limit_bytes = ws, transport, limit_bytes
        self._fell_behind: Callable[[Listener], None] | None = None
        self._patience: asyncio.Timeout | None = None
        self._violation: int | None = None

    def open(self) -> None:
        """Keep the kernel from taking megabytes for it, and open the way past the transport."""
        sock = self._transport.get_extra_info("socket")
        with suppress(OSError):  # it is gone; reading will say so
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if self._transport.get_extra_info("sslcontext") is None:
                self.descriptor = _copied(sock.fileno())

    def buffered_bytes(self) -> int:
        """Return what waits in the transport."""
        return self._transport.get_write_buffer_size()

    def attend(self, fell_behind: Callable[[Listener], None]) -> None:
        """Call this from now on when bytes wait in the transport after a write."""
        self._fell_behind = fell_behind

    def write(self, frame: bytes) -> None:
        """Hand bytes to the transport. Never waits, never raises."""
        # uvloop raises on a write to a transport that is closed.
        if not self._transport.is_closing():
            self._transport.write(frame)
            if self._fell_behind is not None and self._transport.get_write_buffer_size():
                self._fell_behind(self)

    def ping(self) -> None:
        """Ask whether the client is still there; the answer comes by :meth:`receive`."""
        if self.closed_with is None:
            self.write(wire.PING_FRAME)

    def cut_off(self) -> None:
        """End a connection whose peer is gone, without a goodbye."""
        self._transport.abort()

    def answer(self, frame: bytes) -> None:
        """Write an answer; hang up on a client that keeps asking and does not read."""
        if self.closed_with is not None:
            return
        if self.buffered_bytes() > self._limit_bytes:
            self.hang_up(CloseCode.TOO_SLOW)
        else:
            self.write(frame)

    def tell(self, message: wire.ServerMessage) -> None:
        """Write a message as an answer."""
        self.answer(wire.frame(message.encode()))

    def hang_up(self, code: CloseCode) -> None:
        """Write nothing more and have the owner close. The first code counts."""
        if self.closed_with is not None:
            return
        self.closed_with = code
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def receive(self, timeout_s: float) -> WSMessage | None:
        """Return what the client sends; None after ``timeout_s``, or when we hang up."""
        try:
            async with asyncio.timeout(timeout_s) as self._patience:
                message = None if self.closed_with else await self._ws.receive()
        except TimeoutError:
            return None
        finally:
            self._patience = None
        if message is not None and isinstance(message.data, WebSocketError):
            self._violation = message.data.code  # aiohttp closed with it, and forgot it
        return message

    async def close(self) -> int:
        """Say goodbye, free the socket, and return the code with which it was closed.

        What was written goes first; a peer that does not read it within the WebSocket's
        ``timeout`` is cut off.
        """
        try:
            code = self.closed_with or CloseCode.NORMAL
            await self._ws.close(code=code, message=code.reason, drain=False)
        finally:
            # Closing would wait for as long as the peer does not read.
            self._transport.abort()
            self.release()
        return int(self.closed_with or self._violation or self._ws.close_code or 1005)

    def release(self) -> None:
        """Close the way past the transport. May be called twice."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _copied(descriptor: object) -> int | None:
    """Return a copy of a file descriptor; None when there are too few to spare one."""
    if not isinstance(descriptor, int):  # a loop without sockets
        return None
    copy = os.dup(descriptor)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if copy < most // 2:  # the other half is for those that come
        return copy
    os.close(copy)
    return None


class Pace:
    """Says when somebody sends too fast: ``burst`` at once, ``per_s`` in the long run.

    Args:
        now: Seconds on a clock that only goes forward; the same in :meth:`allows`.
    """

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._left, self._at = float(burst), now

    def allows(self, now: float) -> bool:
        """Count one message and say whether it is within the pace."""
        self._left = min(self._left + (now - self._at) * self._per_s, self._burst) - 1
        self._at = now
        return self._left >= 0

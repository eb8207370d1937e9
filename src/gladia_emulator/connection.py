"""One WebSocket of a session, with ways to break it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from gladia_emulator.session import LiveSession
from gladia_emulator.tasks import Timer

log = logging.getLogger(__name__)

OUTBOX_MESSAGES = 10_000
WRITE_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
MOST_FRAME_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


class Connection:
    """A bounded outbox and the task that writes it; reading happens in :meth:`run`.

    A client that does not read is cut off once the outbox is full or a write takes too long.
    """

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._ws, self._transport = ws, transport
        self._outbox: asyncio.Queue[str | _Close] = asyncio.Queue(OUTBOX_MESSAGES)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._thaw = Timer(self._melt)
        self._ending = self._says_goodbye = False

    def send(self, text: str) -> None:
        """Send a text frame; never waits."""
        if not self._ending:
            self._put(text)

    def close(self, code: int, reason: str = "") -> None:
        """Close after what was sent before; a frozen connection is cut instead."""
        if self._ending:
            return
        if not self._thawed.is_set():
            self.abort()
            return
        self._ending = self._says_goodbye = True
        self._put(_Close(code, reason))

    def abort(self) -> None:
        """Cut it without a word; what was not written yet is lost."""
        self._ending, self._says_goodbye = True, False
        self._transport.abort()

    def freeze(self, seconds: float | None) -> None:
        """Neither read nor write for so long; None: until it is closed or cut."""
        self._thawed.clear()
        self._transport.pause_reading()
        if seconds is not None:
            self._thaw.restart(seconds)

    async def run(self, session: LiveSession) -> None:
        """Serve ``session`` until the connection ends."""
        session.attach(self)
        writer = asyncio.create_task(self._write(), name="emulator/writer")
        client_code = None
        try:
            client_code = await self._read(session)
        finally:
            session.detach(self, client_code)
            self._thaw.stop()
            await self._end(writer)

    async def _end(self, writer: asyncio.Task[None]) -> None:
        try:
            if self._says_goodbye:
                await asyncio.wait([writer], timeout=2 * CLOSE_TIMEOUT_S)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, session: LiveSession) -> int | None:
        while True:
            message = await self._ws.receive()
            match message.type:
                case WSMsgType.BINARY:
                    await session.receive_audio(message.data)
                case WSMsgType.TEXT:
                    await session.receive_text(message.data)
                case WSMsgType.CLOSE:
                    return None if self._ending else int(message.data or 0)
                case WSMsgType.ERROR:
                    if _too_big(message.data):
                        session.sent_too_much()
                    return None
                case _:
                    return None

    async def _write(self) -> None:
        # The client may be gone at any time; the reader sees to that.
        with suppress(ConnectionError):
            while True:
                item = await self._outbox.get()
                await self._thawed.wait()
                if isinstance(item, _Close):
                    await self._ws.close(code=item.code, message=item.reason.encode())
                    return
                await self._write_in_time(item)

    async def _write_in_time(self, text: str) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._ws.send_str(text)
        except TimeoutError:
            log.warning("Client does not read, cutting it off")
            self.abort()

    def _put(self, item: str | _Close) -> None:
        try:
            self._outbox.put_nowait(item)
        except asyncio.QueueFull:
            log.warning("Client reads too slowly, cutting it off")
            self.abort()

    def _melt(self) -> None:
        self._transport.resume_reading()
        self._thawed.set()


def _too_big(error: object) -> bool:
    # The library has closed already; the response's close code is the client's answer to that.
    return isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG

"""A WebSocket server that sends the very bytes a test gives it, and hangs up only when told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.utils import accept_key


def upgraded(request: bytes) -> bytes:
    """Return the answer that opens the WebSocket which ``request`` asks for."""
    _, _, rest = request.partition(b"Sec-WebSocket-Key: ")
    key = rest.split(b"\r\n")[0].decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


class RawProvider:
    """Answers the handshake with ``behind`` behind it, in pieces, and then reads if told to."""

    def __init__(self, behind: bytes = b"", piece: int = 10**6) -> None:
        self._behind, self._piece = behind, piece
        self.may_read, self.may_leave = asyncio.Event(), asyncio.Event()
        self.heard = bytearray()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = upgraded(await reader.readuntil(b"\r\n\r\n")) + self._behind
        for at in range(0, len(answer), self._piece):
            writer.write(answer[at : at + self._piece])
            await writer.drain()
            await asyncio.sleep(0)
        await self.may_read.wait()
        while data := await reader.read(2**16):
            self.heard += data
        await self.may_leave.wait()
        writer.close()


@asynccontextmanager
async def serving(provider: RawProvider, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve for the length of a block, which gets the url."""
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/?token=secret-0"
    finally:
        provider.may_read.set()
        provider.may_leave.set()
        server.close()
        await server.wait_closed()

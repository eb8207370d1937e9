"""A publisher on a real socket, as good or as bad as a test wants it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime_core.rtmp import amf
from realtime_core.rtmp.amf import Value
from realtime_core.rtmp.messages import Message, MessageType
from tests.rtmp.talk import SERVER_HANDSHAKE_BYTES, messages_in
from tests.rtmp.vectors import ASC, CONNECT, CREATE, HANDSHAKE, frame, full, publish

ACKNOWLEDGEMENT = bytes.fromhex("02000000 000004 03 00000000")


class Peer:
    """One TCP connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.heard = b""

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    def ask(self, key: str, already_said: int = 0) -> None:
        """Say all that leads to a publish, without what has been said before."""
        self.say((HANDSHAKE + CONNECT + CREATE + publish(key))[already_said:])

    async def publish(self, key: str) -> None:
        """Come as far as a live publish: the acknowledgement closes the server's answer."""
        self.ask(key)
        while ACKNOWLEDGEMENT not in self.heard:
            received = await self._reader.read(65_536)
            assert received, "hung up on"
            self.heard += received

    def play(self, frames: int, start: int = 0) -> None:
        """Send a configuration and frames."""
        audio = (full(4, 23 * i, frame(372, i)) for i in range(start, start + frames))
        self.say(full(4, 0, ASC) + b"".join(audio))

    async def refused(self, key: str) -> Value:
        """Ask for a publish that is refused; return the code that says why."""
        self.ask(key)
        await self.until_hung_up_on()
        return self.last_status()

    async def until_hung_up_on(self) -> bytes:
        """Return all that was ever received, once the server has ended the connection."""
        with contextlib.suppress(ConnectionError):
            while received := await self._reader.read(65_536):
                self.heard += received
        return self.heard

    def messages(self) -> list[Message]:
        return messages_in(self.heard[SERVER_HANDSHAKE_BYTES:])

    def last_status(self) -> Value:
        """Return the code of the last onStatus that came."""
        commands = [m for m in self.messages() if m.type_id == MessageType.COMMAND]
        status = amf.decode(commands[-1].payload)[-1]
        assert isinstance(status, dict)
        return status["code"]

    def leave(self) -> None:
        """Send a FIN."""
        self._writer.close()

    def half_close(self) -> None:
        """Send a FIN, and go on listening."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Send a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@asynccontextmanager
async def peer(port: int, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """Connect for the length of a block."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

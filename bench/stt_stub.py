"""A provider that costs next to nothing: it acknowledges audio, and notes how old it came."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop
from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask
from websockets.utils import accept_key

PIECE_BYTES = 682
STAMP = struct.Struct("d")
"""Each piece begins with the time at which it was sent, by the monotonic clock."""


class Stub(asyncio.Protocol):
    """The little of Gladia that a stream without faults sees."""

    ages_s: list[float]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport, self._buffer = cast(asyncio.Transport, transport), bytearray()
        self._open, self._count = False, 0

    def data_received(self, data: bytes) -> None:
        """Answer all that is complete."""
        self._buffer += data
        if not self._open and b"\r\n\r\n" in self._buffer:
            self._greet()
        while self._open and (frame := self._next_frame()) is not None:
            self._answer(*frame)

    def _greet(self) -> None:
        if self._buffer.startswith(b"POST"):
            if not self._buffer.endswith(b"}"):
                return  # its body is still on its way
            port = self._transport.get_extra_info("sockname")[1]
            body = json.dumps({"id": "s", "url": f"ws://127.0.0.1:{port}/?token=t"}).encode()
            self._transport.write(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        else:
            key = self._buffer.lower().index(b"sec-websocket-key:") + len("sec-websocket-key:")
            self._transport.write(upgraded(bytes(self._buffer[key:].split(b"\r\n")[0].strip())))
            self._open = True
        self._buffer.clear()

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Return opcode and payload of a client's frame, which is masked."""
        if len(self._buffer) < 6:
            return None
        length, at = self._buffer[1] & 127, 2
        if length == 126:
            length, at = int.from_bytes(self._buffer[2:4], "big"), 4
        if len(self._buffer) < at + 4 + length:
            return None
        mask, payload = self._buffer[at : at + 4], self._buffer[at + 4 : at + 4 + length]
        opcode = self._buffer[0] & 15
        del self._buffer[: at + 4 + length]
        return opcode, apply_mask(payload, mask)

    def _answer(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.CLOSE:
            self._transport.write(Frame(Opcode.CLOSE, payload).serialize(mask=False))
            self._transport.close()
        elif opcode == Opcode.BINARY:
            now = time.monotonic()
            for at in range(0, len(payload), PIECE_BYTES):
                Stub.ages_s.append(now - STAMP.unpack_from(payload, at)[0])
            start, self._count = self._count, self._count + len(payload)
            text = acknowledgement(start, self._count)
            self._transport.write(Frame(Opcode.TEXT, text).serialize(mask=False))


def upgraded(key: bytes) -> bytes:
    """Return the answer that opens a WebSocket."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(key.decode()).encode()
    )


def acknowledgement(start: int, end: int) -> bytes:
    """Return what Gladia says to a chunk, as long as Gladia says it."""
    return (
        b'{"type":"audio_chunk","session_id":"45463597-20b7-4af7-b3b3-f5fb778203ab",'
        b'"created_at":"2026-10-10T14:35:28.387Z","acknowledged":true,"error":null,'
        b'"data":{"byte_range":[%d,%d],"time_range":[%.5f,%.5f]}}'
        % (start, end, start / 32_000, end / 32_000)
    )


def serve(pipe: Pipe) -> None:
    """Run the stub; tell its port, and the ages of all pieces each time it is asked."""

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(Stub, "127.0.0.1", 0)

        def tell() -> None:
            if pipe.recv():
                pipe.send(Stub.ages_s)
                Stub.ages_s = []
            else:
                ended.set()

        async with server:
            loop.add_reader(pipe.fileno(), tell)
            pipe.send(server.sockets[0].getsockname()[1])
            await ended.wait()

    Stub.ages_s = []
    uvloop.run(main())

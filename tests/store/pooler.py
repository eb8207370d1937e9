"""A connection pooler in transaction mode that is as unhelpful as one may be.

It has three connections to PostgreSQL per client and changes to the next one whenever no
transaction is open, so whatever a client leaves in a session is not there when it returns.
"""

import asyncio
import struct
from contextlib import suppress
from itertools import cycle
from types import TracebackType
from typing import Self

from tests.faults.proxy import Streams, abort

SSL_REQUEST = 80_877_103
IDLE = b"I"
# Not two: a client that always makes two steps would find itself where it was.
SERVERS = 3


class TransactionPooler:
    """Listens on a port of the loopback interface; the server must ask for no password.

    Attributes:
        changes: How many times a client was moved to another connection.
    """

    def __init__(self, socket_path: str) -> None:
        self.changes = 0
        self._socket_path = socket_path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        servers: list[Streams] = []
        try:
            startup = await read_startup(reader, writer)
            for _ in range(SERVERS):
                servers.append(await asyncio.open_unix_connection(self._socket_path))
                servers[-1][1].write(startup)
            greetings = [await read_until_ready(server[0]) for server in servers]
            writer.write(greetings[0])
            for server in cycle(servers):
                await self._lend(reader, writer, server)
                self.changes += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for _, each in servers:
                abort(each)
            abort(writer)

    async def _lend(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Streams
    ) -> None:
        """Connect the client to a server until that says that no transaction is open."""
        asking = asyncio.ensure_future(forward(reader, server[1]))
        try:
            state = b""
            while state != IDLE:
                kind, message = await read_message(server[0])
                if kind == b"Z":
                    state = message[5:6]
                if state == IDLE:
                    # Before the client hears of it, so that its next word goes elsewhere.
                    asking.cancel()
                    await asyncio.wait([asking])
                writer.write(message)
        finally:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!ii", head)
        if code != SSL_REQUEST:
            return head + await reader.readexactly(length - 8)
        writer.write(b"N")


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


async def read_until_ready(reader: asyncio.StreamReader) -> bytes:
    messages = b""
    kind = b""
    while kind != b"Z":
        kind, message = await read_message(reader)
        messages += message
    return messages

"""Clients that take too long, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from realtime_core.aio import TaskSet
from realtime_core.web import errors
from realtime_core.web.errors import read_json
from realtime_core.web.patience import Patience
from realtime_core.web.routes import application

SHORT_S = 0.2
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo:
    """Answers with the body; ``/wait`` answers when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._show), web.post("/", self._echo), web.get("/wait", self._wait)]

    async def _show(self, _request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await read_json(request))

    async def _wait(self, _request: web.Request) -> web.Response:
        await self.go_on.wait()
        return web.Response(text="at last")


@asynccontextmanager
async def served(echo: Echo, next_header_s: float = 60.0) -> AsyncIterator[int]:
    patience = Patience(first_header_s=SHORT_S, next_header_s=next_header_s)
    runner = web.AppRunner(application([echo], patience.middleware))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.server is not None
    tasks = TaskSet("test")
    _ = tasks.start(patience.run(runner.server, every_s=0.02), "patience")
    try:
        yield runner.addresses[0][1]
    finally:
        await tasks.close()
        await runner.cleanup()


@asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def cut(reader: asyncio.StreamReader) -> None:
    """Return when the server has cut the connection."""
    with suppress(ConnectionResetError):
        assert await reader.read() == b""


@pytest.mark.parametrize("header", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_who_never_ends_its_first_header_is_cut(header: bytes) -> None:
    async with served(Echo()) as port, connected(port) as (reader, writer):
        writer.write(header)
        await cut(reader)


async def test_who_drips_a_second_header_is_cut_too() -> None:
    async with (
        served(Echo(), next_header_s=SHORT_S) as port,
        connected(port) as (reader, writer),
    ):
        writer.write(GET + b"GET / HTTP/1.1\r\nX-Slow: ")
        assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
        await cut(reader)


async def test_a_request_under_way_has_all_the_time_it_needs() -> None:
    echo = Echo()
    async with served(echo) as port, connected(port) as (reader, writer):
        writer.write(GET.replace(b"/ ", b"/wait ", 1))
        async with connected(port) as (silent, _):
            await cut(silent)  # for so long the other one is left alone
        echo.go_on.set()
        assert await reader.readuntil(b"at last")


async def test_a_body_that_does_not_come_is_answered_with_408(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "BODY_TIMEOUT_S", SHORT_S)
    async with served(Echo()) as port, connected(port) as (reader, writer):
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(head + b"Content-Length: 9\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")

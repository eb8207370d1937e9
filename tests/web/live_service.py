"""The WebSocket endpoint on a real port, with small working stand-ins for what it needs."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime_core.access import ANYBODY, Identity, Role
from realtime_core.errors import RequestError
from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.model import SessionState
from realtime_core.web.errors import errors_as_json
from realtime_core.web.live import PATH, Gate, Limits, LiveRoutes, SessionControl
from realtime_core.web.missed import Missed
from tests.web.fake_table import FakeTable

Message = dict[str, Any]
SUBSCRIBE = {"type": "subscribe", "sessionSlug": "weekly"}


@dataclass
class FakeControl:
    """Sessions that are nothing but a room in the hub.

    Attributes:
        may_end: Cleared, starts and stops take until it is set.
        reports: What speakers reported: slug, identity, name, timestamp.
        reporters: Who reported it, and whether they may report only themselves.
    """

    hub: Hub
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    reports: list[tuple[object, ...]] = field(default_factory=list)
    reporters: list[tuple[str, bool]] = field(default_factory=list)

    async def start(
        self, slug: str, options: Mapping[str, object]
    ) -> tuple[Mapping[str, Any], bool]:
        await self.may_end.wait()
        if "bad" in options:
            raise RequestError(400, "invalid_request", "bad is not an option", "bad")
        self.started.append((slug, options))
        self.hub.open(slug, "e2", SessionState.WAITING_FOR_EGRESS)
        return {"sessionSlug": slug, "rtmpUrl": f"rtmp://localhost/live/{slug}"}, True

    async def stop(self, slug: str) -> Mapping[str, Any]:
        await self.may_end.wait()
        if slug == "broken":
            raise ZeroDivisionError
        return {"sessionSlug": slug, "finals": 3}

    def report_speaker(
        self, slug: str, report: Mapping[str, object], client: str, *, is_own: bool = False
    ) -> None:
        self.reports.append((slug, *report.values()))
        self.reporters.append((client, is_own))


@dataclass
class FakeGate:
    """Admits everybody, or whoever's token it knows to the session ``weekly``."""

    tokens: dict[str, Identity] | None = None

    def admit(self, token: str | None, slug: str, role: Role) -> Identity:
        if self.tokens is None:
            return ANYBODY
        identity = self.tokens.get(token or "")
        if identity is None:
            raise RequestError(401, "unauthorized", "a token is needed", "token")
        if identity.role < role or slug != "weekly":
            raise RequestError(403, "forbidden", "not with this token", "token")
        return identity


_is_a_control: type[SessionControl] = FakeControl
_is_a_gate: type[Gate] = FakeGate


@dataclass
class LiveService:
    """The endpoint, and what stands around it."""

    hub: Hub
    metrics: Metrics
    control: FakeControl
    gate: FakeGate
    live: LiveRoutes
    runner: web.AppRunner

    @property
    def port(self) -> int:
        port: int = self.runner.addresses[0][1]
        return port

    @property
    def sockets(self) -> int:
        """How many connections the server holds, those that are being closed included."""
        return len(self.runner.server.connections) if self.runner.server else 0

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}?{query}"

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @asynccontextmanager
    async def client(
        self, query: str = "", *, origin: str | None = None, sock: socket.socket | None = None
    ) -> AsyncIterator[ClientConnection]:
        headers = {"Origin": origin} if origin else {}
        async with connect(
            self.url(query),
            proxy=None,
            additional_headers=headers,
            close_timeout=2,
            ping_interval=None,
            sock=sock,
        ) as client:
            yield client


@asynccontextmanager
async def live_service(
    *,
    tokens: dict[str, Identity] | None = None,
    origins: Sequence[str] = (),
    max_viewers: int = 1000,
    limits: Limits | None = None,
    buffer_bytes: int = 262_144,
    history_size: int = 200,
    seq: int = 0,
    table: FakeTable | None = None,
) -> AsyncIterator[LiveService]:
    """Serve, with the session ``weekly`` live; nobody is left when it ends."""
    metrics = Metrics()
    hub = Hub(metrics, viewer_buffer_bytes=buffer_bytes, history_size=history_size)
    hub.open("weekly", "e1", SessionState.LIVE, seq=seq)
    control, gate = FakeControl(hub), FakeGate(tokens)
    control.may_end.set()
    live = LiveRoutes(
        hub,
        control,
        gate,
        metrics,
        allowed_origins=origins,
        max_viewers=max_viewers,
        limits=limits or Limits(),
        missed=Missed(table, table.flush, table.zero_at, metrics).read if table else None,
    )
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes(live.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield LiveService(hub, metrics, control, gate, live, runner)
        await live.close()
        assert len(live) == 0
    finally:
        await runner.cleanup()


async def say(client: ClientConnection, **message: object) -> None:
    await client.send(json.dumps(message))


async def hear(client: ClientConnection) -> Message:
    message: Message = json.loads(await client.recv())
    return message


async def close_code(client: ClientConnection) -> int | None:
    """Read to the end and return the code with which the server closed."""
    with suppress(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code


def upgrade_request(query: str) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {PATH}?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def narrow_socket(service: LiveService) -> socket.socket:
    """Connect a socket whose kernel takes little for a client that does not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", service.port))
    return sock

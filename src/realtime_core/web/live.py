"""``GET /api/realtime/transcribe``: the WebSocket on which captions are read and steered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from realtime_core.aio import TaskSet
from realtime_core.errors import RequestError
from realtime_core.hub.replay import Lack, Older
from realtime_core.hub.rooms import Hub
from realtime_core.hub.wire import CloseCode
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.web.conversation import Conversation
from realtime_core.web.house import Gate, House, Limits, ReadMissed, SessionControl
from realtime_core.web.viewer import Viewer

__all__ = ["Gate", "Limits", "LiveRoutes", "ReadMissed", "SessionControl"]

PATH = "/api/realtime/transcribe"

MESSAGE_BYTES = 8192
MOST_BUFFERED_BYTES = 64 * 1024 * 1024
"""What may wait for all viewers together before a history from the table is not added."""
COUNT_EVERY_S = 0.1
LOST = 1006
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
STANDARD = Limits()
# Clients close with any code they like; a metric's label may not be any.
COUNTED_CODES = frozenset({1001, 1005, LOST, 1007, 1009, *CloseCode})

log = get_logger("live")


class LiveRoutes:
    """The endpoint. :meth:`handle` serves one connection from start to end.

    Args:
        max_viewers: Most connections at a time; further ones are closed with 4429.
        allowed_origins: Whose pages may connect, each ``scheme://host[:port]``. What is no
            browser sends no Origin, and this does not hold it up.
        any_origin: Whether all others may, too, when ``allowed_origins`` is empty; else
            only pages of this service and of this machine.
        missed: Reads from the table what the hub has forgotten; None when nothing is stored.
    """

    def __init__(
        self,
        hub: Hub,
        control: SessionControl,
        gate: Gate,
        metrics: Metrics,
        *,
        allowed_origins: Collection[str] = (),
        any_origin: bool = True,
        max_viewers: int = 5000,
        limits: Limits = STANDARD,
        missed: ReadMissed | None = None,
    ) -> None:
        self._hub, self._missed = hub, missed
        reading = None if missed is None else self._read_missed
        undertakings, catching_up = TaskSet("live"), TaskSet("catch up")
        self._house = House(hub, control, gate, limits, undertakings, reading, catching_up)
        self._metrics, self._max_viewers = metrics, max_viewers
        self._origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)
        self._any_origin = any_origin
        self._conversations: set[Conversation] = set()
        self._one_left = asyncio.Event()
        self._closing = False
        self._counted_bytes, self._count_again_at = 0, 0.0

    def __len__(self) -> int:
        """How many connections are open, subscribed or not."""
        return len(self._conversations)

    def buffered_bytes(self) -> int:
        """Return what waits in transports, over all connections."""
        return sum(conversation.viewer.buffered_bytes() for conversation in self._conversations)

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [web.get(PATH, self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve a connection. It ends when the client leaves or is hung up on.

        Raises:
            RequestError: It may not be upgraded.
        """
        limits = self._house.limits
        ws = web.WebSocketResponse(
            timeout=limits.close_timeout_s,
            # Pings come to us: they count as messages, and answering them must not wait. The
            # heartbeat is ours, too: so aiohttp writes nothing while the hub does.
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=MESSAGE_BYTES,
        )
        self._check(request, ws)
        try:
            await ws.prepare(request)
        except ConnectionError:  # the client has left
            return web.Response()  # which nobody reads
        if request.transport is not None:  # it may have left by now
            viewer = Viewer(ws, request.transport, limit_bytes=limits.buffer_bytes)
            await self._converse(Conversation(self._house, viewer), request.query)
        return ws

    async def close(self) -> None:
        """Hang up on everybody with 4001, and return when they are gone, in bounded time.

        Starts and stops under way are cancelled. May be called twice.
        """
        self._closing = True
        self._hub.finish()  # whoever is owed the end of a session is not to come back
        for conversation in self._conversations:
            conversation.viewer.hang_up(CloseCode.SHUTTING_DOWN)
        while self._conversations:
            self._one_left.clear()
            await self._one_left.wait()
        await self._house.undertakings.close()
        await self._house.catching_up.close()

    async def _read_missed(self, slug: str, lack: Lack) -> Older | None:
        assert self._missed is not None
        older = await self._missed(slug, lack)
        # Viewers that do not read must not fill the memory with the table.
        if older is None or not self._has_room_for(older.size_bytes):
            return None
        self._counted_bytes += older.size_bytes
        return older

    def _has_room_for(self, size_bytes: int) -> bool:
        """Whether so much may be added to what waits. Counting that takes a look at everybody.

        So it is done seldom, what is given in between is taken for waiting, and only when that
        is too much it is done anew.
        """
        now = asyncio.get_running_loop().time()
        is_room = self._counted_bytes + size_bytes <= MOST_BUFFERED_BYTES
        if now >= self._count_again_at or not is_room:
            self._count_again_at = now + COUNT_EVERY_S
            self._counted_bytes = self.buffered_bytes()
        return self._counted_bytes + size_bytes <= MOST_BUFFERED_BYTES

    def _check(self, request: web.Request, ws: web.WebSocketResponse) -> None:
        origin = request.headers.get("Origin")
        if self._closing:
            raise RequestError(503, "shutting_down", "the service is shutting down, try again")
        if origin is not None and not self.may_connect(origin.lower(), request.host.lower()):
            raise RequestError(403, "forbidden_origin", "pages of this origin may not connect")
        if not ws.can_prepare(request):
            raise RequestError(426, "upgrade_required", "this path speaks WebSocket")

    def may_connect(self, origin: str, host: str) -> bool:
        """Whether a page of ``origin`` may connect to ``host``; both in lower case."""
        if self._origins:
            return origin in self._origins
        if self._any_origin:
            return True
        # Nothing else guards the service: a page from elsewhere must not reach it through
        # the browser of somebody who runs it.
        page = urlsplit(origin)
        return page.hostname is not None and (page.netloc == host or page.hostname in LOOPBACK)

    async def _converse(self, conversation: Conversation, query: Mapping[str, str]) -> None:
        self._admit(conversation)
        code = LOST
        try:
            conversation.begin(query)
            log.info("Client connected", session=conversation.slug)
            await conversation.go_on()
        finally:
            conversation.end()
            try:
                code = await conversation.viewer.close()
            finally:
                self._forget(conversation, code)

    def _forget(self, conversation: Conversation, code: int) -> None:
        self._conversations.discard(conversation)
        self._one_left.set()
        self._metrics.viewers_closed.labels(_label(code)).inc()
        log.info("WebSocket closed", session=conversation.slug, code=code)

    def _admit(self, conversation: Conversation) -> None:
        conversation.viewer.open()
        # Browsers do not show a page why an upgrade was refused; a close code they do.
        if self._closing:
            conversation.viewer.hang_up(CloseCode.SHUTTING_DOWN)
        elif len(self._conversations) >= self._max_viewers:
            conversation.viewer.hang_up(CloseCode.TOO_MANY)
        self._conversations.add(conversation)


def _label(code: int) -> str:
    return str(int(code)) if code in COUNTED_CODES else "other"

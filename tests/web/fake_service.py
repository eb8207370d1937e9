"""A service that serves the page and whose WebSocket does what the test says.

It runs in a thread of its own, because driving a browser blocks.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

T = TypeVar("T")
Message = dict[str, Any]

STATIC = Path(__file__).parents[2] / "src" / "realtime_core" / "web" / "static"
PATIENCE_S = 15.0
ABNORMAL = 1006
"""No close frame: the connection is simply gone."""


def ready(**changes: Any) -> Message:
    """The first message after subscribing."""
    message: Message = {
        "type": "ready",
        "sessionSlug": "weekly",
        "state": "live",
        "epoch": "epoch-1",
        "seq": 0,
        "drafts": [],
        "history": [],
    }
    return message | changes


def final(number: int, text: str, **changes: Any) -> Message:
    """Alice's utterance with this number in the session ``weekly``, five seconds to each."""
    message: Message = {
        "type": "transcript",
        "sessionSlug": "weekly",
        "utteranceId": f"u{number}",
        "text": text,
        "isFinal": True,
        "speaker": "Alice",
        "speakerId": "alice:1",
        "ts": 1_790_000_000_123,
        "seq": number,
        "rev": 1,
        "startedAt": number * 5.0,
        "endedAt": number * 5.0 + 2,
        "language": "en",
        "confidence": 0.9,
        "speakerConfidence": 1.0,
    }
    return message | changes


def draft(number: int, text: str, **changes: Any) -> Message:
    """What is known so far of the utterance with this number."""
    return final(number, text, **{"isFinal": False, **changes})


def bob(message: Message) -> Message:
    """The same, said by Bob."""
    return message | {"speaker": "Bob", "speakerId": "bob:1"}


class Viewer:
    """One connection of the page, from the service's side."""

    def __init__(self, service: FakeService, request: web.Request, subscribe: Message) -> None:
        self._service = service
        self._request = request
        self.socket = web.WebSocketResponse()
        self.subscribe = subscribe
        self.heard: queue.Queue[Message] = queue.Queue()

    def send(self, *messages: Message) -> None:
        for message in messages:
            self._service.run(self.socket.send_json(message))

    def cut(self, code: int) -> None:
        """End the connection with ``code``; without a word when it is 1006."""
        self._service.run(self._cut(code))

    async def _cut(self, code: int) -> None:
        if code != ABNORMAL:
            await self.socket.close(code=code)
        elif self._request.transport is not None:
            self._request.transport.abort()


class FakeService:
    """Answers each subscribe with the next of :attr:`answers`: a message, or a close code.

    Attributes:
        answers: What the next connections get; ``ready()`` when empty.
        sessions: What ``GET /api/realtime/sessions`` lists.
        secret: When set, lists and files want it as a bearer token.
    """

    def __init__(self) -> None:
        self.answers: deque[Message | int] = deque()
        self.sessions: list[Message] = []
        self.secret: str | None = None
        self.url = ""
        self._viewers: queue.Queue[Viewer] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-service")
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._listen())
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        self.run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the service's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def next_viewer(self) -> Viewer:
        """Wait for the next connection that has subscribed and been answered."""
        return self._viewers.get(timeout=PATIENCE_S)

    async def _listen(self) -> None:
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def _app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(_only_from_here)
        app.router.add_get("/", _page)
        app.router.add_get("/s/{slug}", _page)
        app.router.add_static("/static", STATIC)
        app.router.add_static("/tests", Path(__file__).parent / "js")
        app.router.add_get("/api/realtime/sessions", self._list)
        app.router.add_get("/api/realtime/sessions/{slug}/transcript", self._file)
        app.router.add_get("/api/realtime/transcribe", self._transcribe)
        return app

    async def _list(self, request: web.Request) -> web.Response:
        self._guard(request)
        return web.json_response({"sessions": self.sessions})

    async def _file(self, request: web.Request) -> web.Response:
        self._guard(request)
        return web.Response(text=f"a {request.query['format']} file")

    def _guard(self, request: web.Request) -> None:
        if self.secret and request.headers.get("Authorization") != f"Bearer {self.secret}":
            raise web.HTTPUnauthorized

    async def _transcribe(self, request: web.Request) -> web.WebSocketResponse:
        viewer = Viewer(self, request, {})
        await viewer.socket.prepare(request)
        viewer.subscribe = await viewer.socket.receive_json()
        await self._answer(viewer)
        self._viewers.put(viewer)
        async for message in viewer.socket:
            if message.type is WSMsgType.TEXT:
                viewer.heard.put(message.json())
        return viewer.socket

    async def _answer(self, viewer: Viewer) -> None:
        answer = self.answers.popleft() if self.answers else ready()
        if isinstance(answer, int):
            await viewer.socket.close(code=answer)
        else:
            await viewer.socket.send_json(answer)


async def _only_from_here(request: web.Request, response: web.StreamResponse) -> None:
    # The policy the real service sends: a page that needs more is broken.
    response.headers["Content-Security-Policy"] = "default-src 'self'"


async def _page(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")

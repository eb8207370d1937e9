"""A small Gladia Live v2 for tests of the bridge: it obeys the test, with faults as methods.

What it does by itself: gives out sessions, counts and acknowledges audio over all sockets of
a session, and closes with 1000 after ``stop_recording``. Everything else the test says.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

API_KEY = "k-5f1c0ffee"


@dataclass
class Answer:
    """How the next session request is answered instead of with a session."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class FakeSession:
    """One session. Attributes that begin with a verb are its habits, and may be changed.

    Attributes:
        audio: Everything that was counted, over all sockets.
        frames: The sizes of the chunks that were counted.
        stops: How often ``stop_recording`` came.
        closed_with: The codes with which the client closed sockets.
    """

    def __init__(self, gladia: FakeGladia, number: int, body: dict[str, Any]) -> None:
        self.id, self.token = f"stt-{number}", f"secret-{number}"
        self.body = body
        self.audio = bytearray()
        self.frames: list[int] = []
        self.texts: list[str] = []
        self.stops = self.sockets = 0
        self.closed_with: list[int | None] = []
        self.acknowledges = self.counts = self.answers_empty_chunks = True
        self.closes_after_stop = True
        self.refuses_audio = False
        self.last_words: list[tuple[Any, ...]] = []
        self.result: dict[str, Any] = {"status": "done", "result": None}
        self._gladia = gladia
        self._socket: web.WebSocketResponse | None = None
        self._request: web.Request | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()

    # What a test can wait for.

    async def connected(self, times: int = 1) -> None:
        await self._gladia.until(lambda: self.sockets >= times and self._socket is not None)

    async def heard(self, count: int) -> None:
        await self._gladia.until(lambda: len(self.audio) >= count)

    async def stopped(self, times: int = 1) -> None:
        await self._gladia.until(lambda: self.stops >= times)

    async def left(self) -> None:
        await self._gladia.until(lambda: bool(self.closed_with))

    # What a test can make it do.

    async def say(
        self, text: str, start_s: float, end_s: float, *, final: bool = False, number: int = 0
    ) -> None:
        await self.send(json.dumps(transcript(text, start_s, end_s, final=final, number=number)))

    async def hear_speech(self, at_s: float, *, start: bool = True) -> None:
        name = "speech_start" if start else "speech_end"
        await self.send(json.dumps({"type": name, "data": {"time": at_s, "channel": 0}}))

    async def send(self, text: str) -> None:
        assert self._socket is not None
        await self._socket.send_str(text)

    async def close(self, code: int) -> None:
        """Close the socket with a code."""
        assert self._socket is not None
        await self._socket.close(code=code)

    def cut(self) -> None:
        """Let the socket vanish without a word."""
        assert self._request is not None
        assert self._request.transport is not None
        self._socket = None
        self._request.transport.abort()

    def freeze(self) -> None:
        """Read nothing any more."""
        self._may_read.clear()

    # Its life.

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=2**20)
        await socket.prepare(request)
        self._socket, self._request = socket, request
        self.sockets += 1
        await self._gladia.changed()
        if (code := self._gladia.closes_at_once) is not None:
            await socket.close(code=code)
            return socket
        async for message in socket:
            await self._may_read.wait()
            if message.type is WSMsgType.BINARY:
                await self._take(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._obey(json.loads(message.data))
            await self._gladia.changed()
        self.closed_with.append(socket.close_code)
        await self._gladia.changed()
        return socket

    async def _obey(self, message: dict[str, Any]) -> None:
        self.texts.append(message["type"])
        if message["type"] == "audio_chunk":
            assert message["data"]["chunk"] == ""
            if self.answers_empty_chunks:
                await self._take(b"")
            return
        assert message == {"type": "stop_recording"}
        self.stops += 1
        if self.closes_after_stop:
            await self._finish()

    async def _take(self, chunk: bytes) -> None:
        if self.refuses_audio:
            refusal = {"acknowledged": False, "error": {"message": "no"}, "data": None}
            await self.send(json.dumps({"type": "audio_chunk", **refusal}))
            return
        if not self.counts:
            return
        start = len(self.audio)
        self.audio += chunk
        if chunk:
            self.frames.append(len(chunk))
        if self.acknowledges:
            await self.send(json.dumps(ack(start, len(self.audio))))

    async def _finish(self) -> None:
        await self.send(json.dumps({"type": "stop_recording", "acknowledged": True, "data": {}}))
        for text, start_s, end_s, number in self.last_words:
            await self.say(text, start_s, end_s, final=True, number=number)
        await self.close(WSCloseCode.OK)


class FakeGladia:
    """The provider: an HTTP server on a free port of this machine.

    Attributes:
        answers: Taken from the left for session requests, before sessions are given out.
        refused_handshakes: Statuses, taken from the left for sockets.
        closes_at_once: Every socket is closed with this code as soon as it is open.
        posts: The session requests as they came: headers, query, body.
    """

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.answers: deque[Answer] = deque()
        self.refused_handshakes: deque[int] = deque()
        self.closes_at_once: int | None = None
        self.posts: list[tuple[dict[str, str], dict[str, str], dict[str, Any]]] = []
        self.gets = 0
        self.socket_url: str | None = None
        self._condition = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v2/live", self._post)
        app.router.add_get("/v2/live", self._connect)
        app.router.add_get("/v2/live/{id}", self._get)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._runner is not None
        for session in self.sessions:
            session._may_read.set()
        await self._runner.cleanup()

    async def session(self, number: int = 0) -> FakeSession:
        """Wait for the n-th session to have a socket."""
        await self.until(lambda: len(self.sessions) > number)
        await self.sessions[number].connected()
        return self.sessions[number]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._condition:
            await self._condition.wait_for(condition)

    async def changed(self) -> None:
        async with self._condition:
            self._condition.notify_all()

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.posts.append((dict(request.headers), dict(request.query), body))
        await self.changed()
        if self.answers:
            answer = self.answers.popleft()
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        session = FakeSession(self, len(self.sessions), body)
        self.sessions.append(session)
        url = self.socket_url or f"ws://127.0.0.1:{self._port}/v2/live"
        document = {"id": session.id, "created_at": "", "url": f"{url}?token={session.token}"}
        return web.json_response(document, status=201)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if self.refused_handshakes:
            status = self.refused_handshakes.popleft()
            return web.Response(status=status, headers={"Location": str(request.url)})
        for session in self.sessions:
            if session.token == request.query["token"]:
                return await session.serve(request)
        return web.Response(status=403)

    async def _get(self, request: web.Request) -> web.Response:
        self.gets += 1
        for session in self.sessions:
            if session.id == request.match_info["id"]:
                return web.json_response(session.result)
        return web.Response(status=404)


def transcript(
    text: str, start_s: float, end_s: float, *, final: bool, number: int = 0
) -> dict[str, Any]:
    """Return a transcript as the provider sends it, leading spaces included."""
    words = [{"word": f" {text}", "start": start_s, "end": end_s, "confidence": 1}]
    utterance = {"text": f" {text}", "start": start_s, "end": end_s, "language": "en"}
    utterance |= {"confidence": 1, "channel": 0, "words": words}
    data = {"id": f"00_{number:08d}", "is_final": final, "utterance": utterance}
    return {"type": "transcript", "session_id": "s", "created_at": "", "data": data}


def ack(start: int, end: int) -> dict[str, Any]:
    """Return an acknowledgement as the provider sends it."""
    data = {"byte_range": [start, end], "time_range": [start / 32_000, end / 32_000]}
    return {"type": "audio_chunk", "acknowledged": True, "error": None, "data": data}

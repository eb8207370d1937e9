"""A plain client for the emulator's tests: it shows everything and decides nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from gladia_emulator.scripted import silence, tone
from gladia_emulator.server import Emulator

Message = dict[str, Any]

BYTES_PER_SECOND = 32_000
CHUNK_BYTES = 3_200
KEY = "emulator-key"
EVERYTHING = {
    "receive_partial_transcripts": True,
    "receive_lifecycle_events": True,
}
BODY: Message = {"endpointing": 0.3, "messages_config": EVERYTHING}
HELLO = tone(440, 1.2) + silence(0.5)
"""One utterance and the silence that ends it."""


def quick(**changes: Any) -> Emulator:
    """Return an emulator that does not make its clients wait."""
    usual: Message = {"final_delay_s": (0.0, 0.0), "close_delay_s": 0.0}
    return Emulator(**(usual | changes))


class Client:
    """One HTTP client; the key is sent unless a request says otherwise."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator, self.http = emulator, http

    async def request(
        self, method: str, path: str, *, key: str | None = KEY, **more: Any
    ) -> tuple[int, Any]:
        """Return status and body, parsed if it is JSON."""
        headers = {} if key is None else {"x-gladia-key": key}
        url = self.emulator.url + path
        async with self.http.request(method, url, headers=headers, **more) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json"
            return answer.status, json.loads(body) if is_json else body

    async def start(self, **changes: Any) -> Message:
        """Open a session and return the answer."""
        status, body = await self.request("POST", "/v2/live", json=BODY | changes)
        assert status == 201, body
        assert isinstance(body, dict)
        return body

    async def status_of(self, session_id: str) -> str:
        """Return a session's ``status``."""
        _, job = await self.request("GET", f"/v2/live/{session_id}")
        return str(job["status"])

    @asynccontextmanager
    async def socket(self, url: str) -> AsyncIterator[Socket]:
        """Connect to a session's url for the length of a block."""
        async with self.http.ws_connect(url, max_msg_size=0) as ws:
            yield Socket(ws)

    async def refusal_of(self, url: str) -> int:
        """Return the status with which a handshake is refused."""
        try:
            async with self.http.ws_connect(url):
                return 101
        except aiohttp.WSServerHandshakeError as exc:
            return exc.status


class Socket:
    """A WebSocket that keeps what it received.

    Attributes:
        got: Every message, oldest first; what is no JSON as ``{"type": "malformed"}``.
        close_code: Set when :meth:`until_closed` returns.
    """

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.got: list[Message] = []
        self.close_code: int | None = None

    async def say(self, pcm: bytes, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Send audio in chunks, as fast as it goes."""
        for start in range(0, len(pcm), chunk_bytes):
            await self.ws.send_bytes(pcm[start : start + chunk_bytes])

    async def stop(self) -> None:
        """Send ``stop_recording``."""
        await self.ws.send_json({"type": "stop_recording"})

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Receive until a message is ``wanted``, and return it."""
        while True:
            frame = await self.ws.receive(timeout=5)
            if frame.type is not aiohttp.WSMsgType.TEXT:
                raise AssertionError(f"closed with {self.ws.close_code} after {self.types}")
            self.got.append(parsed(frame.data))
            if wanted(self.got[-1]):
                return self.got[-1]

    async def until_type(self, *types: str) -> Message:
        """Receive until a message of one of these types."""
        return await self.until(lambda message: message["type"] in types)

    async def until_final(self) -> Message:
        """Receive until a final."""
        return await self.until(is_final)

    async def until_acknowledged(self, end: int) -> Message:
        """Receive until so many bytes of the session are acknowledged."""
        return await self.until(lambda message: range_of(message)[1] >= end)

    async def until_closed(self) -> int | None:
        """Receive until the socket is closed; return the code."""
        async with asyncio.timeout(10):
            async for frame in self.ws:
                self.got.append(parsed(frame.data))
        self.close_code = self.ws.close_code
        return self.close_code

    @property
    def types(self) -> list[str]:
        """The types received, acks of audio apart."""
        return [each["type"] for each in self.got if each["type"] != "audio_chunk"]

    @property
    def finals(self) -> list[Message]:
        """The data of all finals received."""
        return [each["data"] for each in self.got if is_final(each)]

    @property
    def drafts(self) -> list[Message]:
        """The data of all drafts received."""
        return [
            each["data"]
            for each in self.got
            if each["type"] == "transcript" and each["data"] and not each["data"]["is_final"]
        ]


def parsed(text: str) -> Message:
    """Return a message, or one that says that there was none."""
    try:
        message = json.loads(text)
    except ValueError:
        return {"type": "malformed"}
    assert isinstance(message, dict)
    return message


def is_final(message: Message) -> bool:
    """Whether this is a final."""
    return bool(message["type"] == "transcript" and message["data"] and message["data"]["is_final"])


def range_of(message: Message) -> tuple[int, int]:
    """Return the bytes that a message acknowledges; (0, 0) if it does not."""
    if message["type"] != "audio_chunk" or not message["acknowledged"]:
        return 0, 0
    start, end = message["data"]["byte_range"]
    return start, end

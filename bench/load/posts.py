"""The little HTTP that starts an STT session: requests with a length, answered as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

Answer = tuple[HTTPStatus, dict[str, Any]]
Route = Callable[[str, bytes], Answer]


class Posts(asyncio.Protocol):
    """One keep-alive connection.

    Args:
        route: Takes ``METHOD /path`` and the body.
        answer_s: How long an answer takes; stands for the way to the provider and back.
    """

    def __init__(self, route: Route, answer_s: float) -> None:
        self._route, self._answer_s = route, answer_s
        self._inbox = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        # uvloop's transports are none by inheritance.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes in pieces of any size."""
        self._inbox += data
        while (request := self._request()) is not None:
            status, body = self._route(*request)
            loop = asyncio.get_running_loop()
            loop.call_later(self._answer_s, self._answer, status, json.dumps(body).encode())

    def _request(self) -> tuple[str, bytes] | None:
        """Take one request from the inbox; None when it is not all there."""
        head, end, rest = self._inbox.partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._inbox = rest[length:]
        return first.rpartition(" ")[0], rest[:length]

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

"""Connections that never finish a request header are cut; aiohttp has no time limit for them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from realtime_core.web.errors import Handler

FIRST_HEADER_S = 10.0
NEXT_HEADER_S = 90.0
"""Longer than aiohttp keeps an idle connection, so only one that drips is cut."""
SWEEP_EVERY_S = 2.0


class Patience:
    """Knows since when each connection owes a complete request header.

    Its middleware notes requests; :meth:`run` cuts, for as long as it runs, whoever takes
    too long. A request under way, a WebSocket among them, owes nothing.
    """

    def __init__(
        self, *, first_header_s: float = FIRST_HEADER_S, next_header_s: float = NEXT_HEADER_S
    ) -> None:
        self._first_s, self._next_s = first_header_s, next_header_s
        # When the header is due; None while a request is under way. By connection.
        self._due_at: dict[object, float | None] = {}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a request is under way."""
        protocol = request.protocol
        self._due_at[protocol] = None
        try:
            return await handler(request)
        finally:
            self._due_at[protocol] = asyncio.get_running_loop().time() + self._next_s

    async def run(self, server: web.Server, *, every_s: float = SWEEP_EVERY_S) -> None:
        """Look at the server's connections again and again."""
        while True:
            await asyncio.sleep(every_s)
            self._sweep(server, asyncio.get_running_loop().time())

    def _sweep(self, server: web.Server, now: float) -> None:
        connections = server.connections
        first_due_at = now + self._first_s
        self._due_at = {each: self._due_at.get(each, first_due_at) for each in connections}
        for connection in connections:
            due_at = self._due_at[connection]
            if due_at is not None and now > due_at and connection.transport is not None:
                connection.transport.abort()

"""A viewer on a real socket, which comes back as the page does: with jitter, and where it was."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from random import Random

import aiohttp

from tests.chaos.view import View

ALIVE_S = 10.0
"""How often it asks whether the server is still there."""
FREEZES_EVERY_S, FREEZES_FOR_S = (20.0, 60.0), (2.0, 8.0)
OVER = (1000, 4404)


class Viewer:
    """Watches one session until the session, or the run, is over.

    Args:
        url: Of the WebSocket, without a query.
        is_rude: Whether it stops reading now and then.

    Attributes:
        view: What it shows, and all it saw.
        sockets: How many connections it had.
    """

    def __init__(self, url: str, slug: str, random: Random, *, is_rude: bool = False) -> None:
        self.view, self.sockets = View(slug), 0
        self._url, self._random, self._is_rude = url, random, is_rude
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Leave once the session is over."""
        self._ending.set()

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Watch. A session that is not there is waited for, until :meth:`end`."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                code = await self._watch(http)
                if code in OVER and self._ending.is_set():
                    return
            await asyncio.sleep(self._random.uniform(0.1, 1.0))

    async def _watch(self, http: aiohttp.ClientSession) -> int | None:
        socket = await http.ws_connect(self._url, params=self._query(), heartbeat=ALIVE_S)
        self.sockets += 1
        try:
            freeze_at = self._next_freeze()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self.view.take(json.loads(message.data), time.time())
                if self._is_rude and time.monotonic() > freeze_at:
                    await asyncio.sleep(self._random.uniform(*FREEZES_FOR_S))
                    freeze_at = self._next_freeze()
        finally:
            # Not a close handshake: the peer may be frozen.
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close()
        return socket.close_code

    def _next_freeze(self) -> float:
        return time.monotonic() + self._random.uniform(*FREEZES_EVERY_S)

    def _query(self) -> dict[str, str]:
        query = {"sessionSlug": self.view.slug}
        if self.view.epoch is not None:
            query |= {"since": str(self.view.seq), "epoch": self.view.epoch}
        return query

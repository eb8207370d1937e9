"""PCM on its way from the task that reads FFmpeg to whoever iterates."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator


class Outlet:
    """A bounded hand-off whose producer waits for room, so that nothing is lost here.

    One producer and one consumer, which iterates.
    """

    def __init__(self, most_pieces: int) -> None:
        self._most = most_pieces
        self._pieces: deque[bytes] = deque()
        self._closed = False
        self._came, self._went = asyncio.Event(), asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether a producer would have to wait."""
        return len(self._pieces) >= self._most

    async def put(self, pcm: bytes) -> None:
        """Add a piece, as soon as there is room."""
        while self.is_full:
            self._went.clear()
            await self._went.wait()
        self._pieces.append(pcm)
        self._came.set()

    def close(self) -> None:
        """Promise that nothing more comes; the consumer ends after the last piece."""
        self._closed = True
        self._came.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._closed:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        self._went.set()
        return self._pieces.popleft()

"""Waiting for the outside world in tests, bounded, without guessing how long it takes."""

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Return as soon as ``condition()`` is true.

    Only for effects that come from another process or socket and that nothing announces;
    what our own code does is awaited directly.
    """
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the effect announces itself to nobody
            await asyncio.sleep(0.005)

"""Waiting for the outside world in tests, bounded, without guessing how long it takes."""

import asyncio
import inspect
from collections.abc import Callable


async def eventually(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Return as soon as ``condition()``, awaited if it can be, is true.

    Only for effects that come from another process or socket and that nothing announces;
    what our own code does is awaited directly.
    """
    async with asyncio.timeout(within_s):
        while not await _answer(condition()):  # noqa: ASYNC110 - nothing announces the effect
            await asyncio.sleep(0.005)


async def _answer(said: object) -> object:
    return await said if inspect.isawaitable(said) else said

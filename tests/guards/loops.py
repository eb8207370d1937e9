"""Measuring something on each kind of event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest
import uvloop

Loop = Callable[[], asyncio.AbstractEventLoop]

on_each_loop = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def measured(loop: Loop, measure: Callable[[ExitStack], Awaitable[float]]) -> float:
    """Return what is measured; what it opened is closed when this returns."""

    async def main() -> float:
        with ExitStack() as stack:
            seen = await measure(stack)
        await asyncio.sleep(0)  # the transports close
        return seen

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main())

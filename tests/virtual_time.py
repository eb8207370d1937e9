"""An event loop whose clock jumps to the next timer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import async_solipsism

T = TypeVar("T")


def in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on a loop whose clock jumps to the next timer.

    There are no real sockets and no subprocesses there. A wait that nothing can end
    raises ``SleepForeverError`` instead of hanging the test.
    """
    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        return runner.run(main)

from __future__ import annotations

import asyncio

from aiohttp import WSMessage, web

from realtime_core.hub.rooms import Listener
from realtime_core.hub.wire import CloseCode
from realtime_core.web.viewer import Pace, Viewer
from tests.virtual_time import in_virtual_time

_is_a_listener: type[Listener] = Viewer


class SilentSocket(web.WebSocketResponse):
    """A WebSocket on which nothing ever comes."""

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109
        await asyncio.get_running_loop().create_future()
        raise AssertionError


def silent_viewer() -> Viewer:
    return Viewer(SilentSocket(), asyncio.Transport(), limit_bytes=100)


def test_patience_ends() -> None:
    async def main() -> float:
        assert await silent_viewer().receive(7) is None
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 7


def test_hanging_up_ends_the_wait_at_once() -> None:
    async def main() -> float:
        viewer = silent_viewer()
        asyncio.get_running_loop().call_later(1, viewer.hang_up, CloseCode.TOO_SLOW)
        assert await viewer.receive(7) is None
        assert await viewer.receive(7) is None
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == 1


def test_hanging_up_at_the_moment_when_patience_ends_is_no_error() -> None:
    async def main() -> None:
        viewer, loop = silent_viewer(), asyncio.get_running_loop()
        waiting = asyncio.ensure_future(viewer.receive(7))
        await asyncio.sleep(0)
        hung_up = loop.create_future()

        def hang_up() -> None:
            # The wait has timed out, and its task has not run since.
            viewer.hang_up(CloseCode.TOO_SLOW)
            hung_up.set_result(waiting.done())

        loop.call_at(7, hang_up)
        assert await hung_up is False
        assert await waiting is None

    in_virtual_time(main())


def test_the_first_code_counts() -> None:
    viewer = silent_viewer()
    viewer.hang_up(CloseCode.TOO_SLOW)
    viewer.hang_up(CloseCode.SHUTTING_DOWN)
    assert viewer.closed_with is CloseCode.TOO_SLOW


def test_a_pace_allows_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(2, 3, now=100.0)
    assert [pace.allows(100.0) for _ in range(4)] == [True, True, True, False]
    assert [pace.allows(102.0) for _ in range(4)] == [True, True, True, False]


def test_a_pause_does_not_save_up_more_than_a_burst() -> None:
    pace = Pace(2, 3, now=0.0)
    assert [pace.allows(1e6) for _ in range(4)] == [True, True, True, False]

"""The viewers against a server that says what a test tells it to."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer
from picows import WSHandshakeError

from bench.load.view import PATH, Crowd, watch
from tests.eventually import eventually


class Stage:
    """A server with viewers in it."""

    def __init__(self) -> None:
        self.sockets: dict[str, list[web.WebSocketResponse]] = {}
        self.requests: list[web.Request] = []
        self.is_closed = False
        app = web.Application()
        app.router.add_get(PATH, self._join)
        self.server = TestServer(app)

    async def say(self, slug: str, **message: Any) -> None:
        for socket in self.sockets[slug]:
            await socket.send_str(json.dumps(message))

    async def send_all_home(self) -> None:
        for sockets in self.sockets.values():
            for socket in sockets:
                await socket.close()

    async def _join(self, request: web.Request) -> web.StreamResponse:
        if self.is_closed:
            return web.Response(status=404)
        self.requests.append(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.setdefault(request.query["sessionSlug"], []).append(socket)
        async for _message in socket:
            pass
        return socket


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    async with stage.server:
        yield stage
        await stage.send_all_home()


async def _watching(stage: Stage, rooms: int = 2, per_room: int = 3) -> Crowd:
    crowd = Crowd()
    assert stage.server.port is not None
    await watch(crowd, stage.server.port, rooms, per_room)
    return crowd


def _stamp(slug: str, seq: int, age_ms: int = 0) -> str:
    return f"words and words @{slug}:{seq}:{time.monotonic_ns() - age_ms * 1_000_000}"


async def test_each_viewer_counts_the_stamps_it_saw(stage: Stage) -> None:
    crowd = await _watching(stage)
    for seq in range(4):
        await stage.say("room-0", type="transcript", text=_stamp("room-0", seq), words=[])
    await stage.say("room-1", text=_stamp("room-1", 0))
    await stage.say("room-1", text=_stamp("room-1", 0))
    await eventually(lambda: len(crowd.latencies_ns) == 4 * 3 + 2 * 3)
    assert crowd.report()["byRoom"] == {
        "room-0": {"viewers": 3, "stamps": [4, 4, 4]},
        "room-1": {"viewers": 3, "stamps": [1, 1, 1]},
    }


async def test_latency_is_from_stamp_to_arrival(stage: Stage) -> None:
    crowd = await _watching(stage, rooms=1, per_room=1)
    await stage.say("room-0", text=_stamp("room-0", 0, age_ms=5_000))
    await eventually(lambda: crowd.latencies_ns)
    assert 5_000 <= crowd.latencies_ns[0] / 1e6 < 6_000


async def test_history_and_status_are_no_transcripts(stage: Stage) -> None:
    crowd = await _watching(stage, rooms=1, per_room=1)
    old = {"type": "transcript", "text": _stamp("room-0", 7)}
    await stage.say("room-0", type="ready", history=[old], drafts=[old])
    await stage.say("room-0", type="status", state="live")
    await stage.say("room-0", text=_stamp("room-0", 8))
    await eventually(lambda: crowd.latencies_ns)
    assert crowd.viewers[0].stamps == {8}


async def test_a_mark_forgets_what_was_seen(stage: Stage) -> None:
    crowd = await _watching(stage, rooms=1, per_room=1)
    await stage.say("room-0", text=_stamp("room-0", 0))
    await eventually(lambda: crowd.latencies_ns)
    crowd.mark()
    report = crowd.report()
    assert report["received"] == 0
    assert report["byRoom"] == {"room-0": {"viewers": 1, "stamps": [0]}}
    assert report["latencyMs"] == {"p50": None, "p99": None, "max": None}


async def test_endings_are_counted_by_code(stage: Stage) -> None:
    crowd = await _watching(stage, rooms=1, per_room=3)
    polite, slow, _cut = stage.sockets["room-0"]
    await polite.close(code=WSCloseCode.OK)
    await slow.close(code=4008)
    transport = stage.requests[2].transport
    assert transport is not None
    transport.close()
    await eventually(lambda: crowd.closed.total() == 3)
    assert crowd.closed == {1000: 1, 4008: 1, 1006: 1}


async def test_a_server_that_refuses_viewers_fails_the_load(stage: Stage) -> None:
    stage.is_closed = True
    with pytest.raises(ExceptionGroup) as caught:
        await _watching(stage, rooms=1, per_room=1)
    assert caught.group_contains(WSHandshakeError)

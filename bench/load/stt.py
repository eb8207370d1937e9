"""The speech-to-text stub: Gladia Live v2 that recognises beeps and talks at a steady pace.

Run: ``python -m bench.load.stt --rooms 20``; it prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

import uvloop
from picows import WSUpgradeRequest, ws_create_server

from bench.load.gladia import CREATED_AT, Heard, Pace, Session
from bench.load.posts import Answer, Posts
from bench.load.talk import Commands, LoopLag, obey, say, spread_ms

HOST = "127.0.0.1"


class Stub:
    """All sessions, and what was heard of each room.

    Args:
        answer_s: How long the answer to a session request takes.
    """

    def __init__(self, rooms: int, pace: Pace, answer_s: float = 0.0) -> None:
        self.heard = {f"room-{n}": Heard() for n in range(rooms)}
        self._pace, self._answer_s = pace, answer_s
        self._sessions: dict[str, Session] = {}  # by token
        self._socket_port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve for the length of a block; the port is that of ``POST /v2/live``."""
        loop = asyncio.get_running_loop()
        posts = await loop.create_server(lambda: Posts(self._route, self._answer_s), HOST, 0)
        sockets = await ws_create_server(self._attach, HOST, 0, backlog=1_024)
        self._socket_port = _port(sockets)
        async with posts, sockets:
            yield _port(posts)

    def _route(self, request: str, body: bytes) -> Answer:
        if request.partition("?")[0] != "POST /v2/live":
            return HTTPStatus.NOT_FOUND, {"statusCode": 404, "message": f"Cannot {request}"}
        asked = json.loads(body)
        slug = asked["custom_metadata"]["sessionSlug"]
        heard = self.heard.setdefault(slug, Heard())
        session = Session(slug, heard, self._pace, asked.get("messages_config", {}))
        token = secrets.token_urlsafe(8)
        self._sessions[token] = session
        url = f"ws://{HOST}:{self._socket_port}/v2/live?token={token}"
        return HTTPStatus.CREATED, {"id": session.id, "created_at": CREATED_AT, "url": url}

    def _attach(self, request: WSUpgradeRequest) -> Session | None:
        session = self._sessions.get(request.path.decode().rpartition("token=")[2])
        return None if session is None or session.is_over else session


def _port(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def run(options: argparse.Namespace) -> None:
    """Serve until ``quit``. Loop lag is told since the report before."""
    pace = Pace(options.draft_every_s, options.drafts_per_final)
    stub, lag, before_s = Stub(options.rooms, pace, options.answer_ms / 1000), LoopLag(), _cpu_s()

    def report() -> dict[str, object]:
        rooms = {slug: heard.report() for slug, heard in stub.heard.items()}
        return {"rooms": rooms, "cpuS": _cpu_s() - before_s, "loopLagMs": spread_ms(lag.take())}

    async with stub.serving() as port:
        watching = asyncio.create_task(lag.watch())
        say(port=port)
        await obey(Commands(), {"report": report})
        watching.cancel()


def _cpu_s() -> float:
    return time.process_time()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.stt", description=__doc__)
    parser.add_argument("--rooms", type=int, default=1, help="that are reported though silent")
    parser.add_argument("--draft-every-s", type=float, default=0.3)
    parser.add_argument("--drafts-per-final", type=int, default=10)
    parser.add_argument("--answer-ms", type=float, default=0.0, help="that POST /v2/live takes")
    uvloop.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()

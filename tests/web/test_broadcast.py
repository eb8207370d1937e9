"""The broadcast endpoint on a real server, and our own transcripts through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from realtime_core.hub import wire
from realtime_core.hub.post import HttpBroadcaster
from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.model import SessionState, Word
from realtime_core.web.bearer import bearer_of
from realtime_core.web.broadcast import MOST_BODY_BYTES, BroadcastRoutes
from realtime_core.web.routes import application
from tests.hub.examples import FakeListener, draft, final

PATH = "/api/realtime/transcribe/broadcast"
SECRET = "a secret of thirty-two bytes or more"
LONG = "word " * 6_000  # 30 KB


class Site:
    """A hub with one open session and a viewer in it, behind the endpoint."""

    def __init__(self, secret: str | None = SECRET) -> None:
        self.metrics = Metrics()
        self.hub = Hub(self.metrics)
        self.hub.open("weekly", "e1", SessionState.LIVE)
        self.viewer = FakeListener()
        self.hub.join("weekly", self.viewer)
        self.server = TestServer(application([BroadcastRoutes(self.hub, secret)]))
        self.client = TestClient(self.server)

    async def post(
        self, body: bytes, *, secret: str = SECRET, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": content_type}
        # aiohttp's client warns of large bodies that are not files.
        async with self.client.post(PATH, data=BytesIO(body), headers=headers) as response:
            return response.status, await response.json()

    def count(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with made.client:
        yield made


@asynccontextmanager
async def broadcasting(site: Site) -> AsyncIterator[HttpBroadcaster]:
    url = str(site.server.make_url(PATH))
    async with (
        aiohttp.ClientSession() as http,
        HttpBroadcaster(url, SECRET, http, site.metrics) as broadcaster,
    ):
        yield broadcaster


def body(text: str = "Hello") -> bytes:
    return wire.transcript_message(final(1, text), sent_at_ms=5).encode()


async def test_what_is_posted_reaches_viewers(site: Site) -> None:
    assert await site.post(body()) == (202, {"delivered": 1})
    assert site.viewer.messages[-1] == json.loads(body())


async def test_a_final_of_30_kb_is_delivered(site: Site) -> None:
    assert await site.post(body(LONG)) == (202, {"delivered": 1})
    assert site.viewer.messages[-1]["text"] == LONG


async def test_a_body_has_a_limit(site: Site) -> None:
    limit = b" " * MOST_BODY_BYTES
    status, answer = await site.post(limit)
    assert (status, answer["error"]["code"]) == (400, "malformed_json")
    status, answer = await site.post(limit + b" ")
    assert (status, answer["error"]["code"]) == (413, "too_large")
    assert "1 MiB" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("secret", "content_type", "status", "code"),
    [
        ("wrong", "application/json", 401, "unauthorized"),
        ("\u00e9" * 36, "application/json", 401, "unauthorized"),
        (SECRET, "text/plain", 415, "unsupported_media_type"),
    ],
)
async def test_refusals_name_themselves(
    site: Site, secret: str, content_type: str, status: int, code: str
) -> None:
    # Larger than strangers may send: the secret is checked before anything is read.
    answered, answer = await site.post(body(LONG), secret=secret, content_type=content_type)
    assert (answered, answer["error"]["code"]) == (status, code)
    assert site.viewer.of_type("transcript") == []


async def test_a_token_that_is_no_utf_8_is_a_wrong_token(site: Site) -> None:
    reader, writer = await asyncio.open_connection(site.server.host, site.server.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
    writer.write(head.encode() + b"Authorization: Bearer \xe9\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"401"
    writer.close()
    await writer.wait_closed()


async def test_without_a_secret_the_endpoint_is_closed() -> None:
    site = Site(secret=None)
    async with site.client:
        status, answer = await site.post(body())
        assert (status, answer["error"]["code"]) == (503, "closed")


async def test_the_last_finals_by_http_reach_viewers_before_the_room_closes(site: Site) -> None:
    async with broadcasting(site) as broadcaster:
        for seq in range(1, 21):
            broadcaster.publish(final(seq, utterance=str(seq)))
        await broadcaster.settled("weekly")
        site.hub.close("weekly")
    assert [m["seq"] for m in site.viewer.of_type("transcript")] == list(range(1, 21))
    assert site.viewer.messages[-1]["state"] == "ended"
    assert broadcaster.lost_finals == 0


async def test_a_final_with_many_words_comes_through_by_http(site: Site) -> None:
    words = tuple(Word("extraordinarily", n, n + 0.5, 0.987, "alice:" * 10) for n in range(240))
    async with broadcasting(site) as broadcaster:
        broadcaster.publish(replace(final(1), words=words))
    assert len(site.viewer.messages[-1]["words"]) == 240


async def test_by_our_own_endpoint_nothing_is_counted_twice(site: Site) -> None:
    async with broadcasting(site) as broadcaster:
        broadcaster.publish(draft(1))
        broadcaster.publish(final(2, rev=2))
    assert len(site.viewer.of_type("transcript")) == 2
    assert site.count("transcript_drafts_total") == site.count("transcript_finals_total") == 1


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"Authorization": "bearer  abc "}, "abc"),
        ({"Authorization": "Bearer"}, ""),
        ({"Authorization": "Basic abc"}, ""),
        ({"Authorization": "abc"}, ""),
        ({}, ""),
    ],
)
def test_a_bearer_token_is_read_from_the_header(headers: Mapping[str, str], token: str) -> None:
    assert bearer_of(make_mocked_request("POST", PATH, headers)) == token

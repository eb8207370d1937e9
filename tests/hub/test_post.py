from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from realtime_core.hub.post import LANES, HttpBroadcaster, Letter, Outbox
from realtime_core.metrics import Metrics
from realtime_core.model import Transcript
from tests.eventually import eventually
from tests.hub.examples import Message, draft, final

SECRET = "s" * 32


@dataclass
class Receiver:
    """The other service: notes what it gets and answers as told, 202 when told nothing."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[Message] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers["Authorization"])
        self.got.append(json.loads(await request.read()))
        await self.opened.wait()
        status = self.answers.pop(0) if self.answers else 202
        return web.Response(status=status, headers={"Location": self.url} if status == 307 else {})


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.opened.set()
    app = web.Application()
    app.router.add_post("/broadcast", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/broadcast"
        yield receiver
    finally:
        receiver.opened.set()
        await runner.cleanup()


class Stumbling(aiohttp.TraceConfig):
    """Makes the first ``times`` requests fail in a way that no client library documents."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.on_request_start.append(self._stumble)

    async def _stumble(self, *_: object) -> None:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("stumbled")


@asynccontextmanager
async def broadcasting(
    url: str,
    metrics: Metrics | None = None,
    *,
    lane_limit: int = 100,
    grace_s: float = 5.0,
    stumbles: int = 0,
) -> AsyncIterator[HttpBroadcaster]:
    async with (
        aiohttp.ClientSession(trace_configs=[Stumbling(stumbles)]) as http,
        HttpBroadcaster(
            url,
            SECRET,
            http,
            metrics or Metrics(),
            lane_limit=lane_limit,
            final_pauses_s=(0, 0),
            close_grace_s=grace_s,
        ) as broadcaster,
    ):
        yield broadcaster


async def test_transcripts_are_posted_in_order_with_the_secret() -> None:
    metrics = Metrics()
    async with receiving() as receiver:
        async with broadcasting(receiver.url, metrics) as broadcaster:
            assert broadcaster.publish(draft(1)) == 0
            broadcaster.publish(final(2, rev=2))
            broadcaster.publish(draft(3, utterance="u2"))
        assert [message["seq"] for message in receiver.got] == [1, 2, 3]
        assert receiver.got[1]["type"] == "transcript"
        assert set(receiver.headers) == {f"Bearer {SECRET}"}
    assert metrics.http_post_latency.count == metrics.ingest_broadcast_latency.count == 3


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_what_leaves_for_another_service_is_counted_as_broadcast() -> None:
    metrics = Metrics()
    async with receiving() as receiver, broadcasting(receiver.url, metrics) as broadcaster:
        broadcaster.publish(draft(1))
        broadcaster.publish(draft(2, rev=2))
        broadcaster.publish(final(3, rev=3))
    assert sample(metrics, "transcript_drafts_total") == 2
    assert sample(metrics, "transcript_finals_total") == 1


async def test_a_final_is_posted_again_a_draft_is_not() -> None:
    metrics = Metrics()
    async with receiving() as receiver:
        receiver.answers = [503, 500, 429, 202]
        async with broadcasting(receiver.url, metrics) as broadcaster:
            broadcaster.publish(draft(1))
            broadcaster.publish(final(2, rev=2))
        assert [message["seq"] for message in receiver.got] == [1, 2, 2, 2]
        assert (broadcaster.lost_drafts, broadcaster.lost_finals) == (1, 0)
    assert sample(metrics, "http_posts_lost_total", kind="draft") == 1
    assert sample(metrics, "http_posts_lost_total", kind="final") == 0


async def test_a_lane_survives_an_error_that_nobody_expected() -> None:
    metrics = Metrics()
    with capture_logs() as logs:
        async with (
            receiving() as receiver,
            broadcasting(receiver.url, metrics, stumbles=1) as broadcaster,
        ):
            broadcaster.publish(final(1))
            broadcaster.publish(final(2, utterance="u2"))
            await broadcaster.settled("weekly")
            assert [message["seq"] for message in receiver.got] == [2]
    assert sample(metrics, "http_posts_lost_total", kind="final") == 1
    unexpected = [line for line in logs if line["event"] == "Posting failed unexpectedly"]
    assert [line["exc_info"] for line in unexpected] == [True]


@pytest.mark.parametrize("status", [400, 401, 404, 307])
async def test_a_refusal_that_is_for_good_is_not_argued_with(status: int) -> None:
    async with receiving() as receiver:
        receiver.answers = [status]
        async with broadcasting(receiver.url) as broadcaster:
            broadcaster.publish(final(1))
        assert len(receiver.got) == 1
        assert broadcaster.lost_finals == 1


async def test_a_service_that_is_away_costs_what_was_to_be_posted_and_one_warning() -> None:
    with capture_logs() as logs:
        # Nothing listens on the discard port.
        async with broadcasting("http://127.0.0.1:9/") as broadcaster:
            for seq in (1, 2, 3):
                broadcaster.publish(final(seq, utterance=str(seq)))
    assert broadcaster.lost_finals == 3
    assert [line["log_level"] for line in logs] == ["warning"]
    assert SECRET not in str(logs)


async def test_a_session_that_waits_does_not_hold_up_another() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url) as broadcaster:
            for slug in ("weekly", "daily"):  # they are in different lanes
                broadcaster.publish(replace(final(1), session_slug=slug))
            await eventually(lambda: len(receiver.got) == 2)
            receiver.opened.set()


async def test_what_cannot_be_posted_before_the_end_is_counted_as_lost() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        with capture_logs() as logs:
            async with broadcasting(receiver.url, grace_s=0.01) as broadcaster:
                broadcaster.publish(final(1))
                broadcaster.publish(draft(2, utterance="u2"))
        assert (broadcaster.lost_finals, broadcaster.lost_drafts) == (1, 1)
        assert len(broadcaster) == 0
        assert any("waiting" in line for line in logs)


async def test_a_session_is_settled_when_all_its_transcripts_are_posted() -> None:
    async with receiving() as receiver, broadcasting(receiver.url) as broadcaster:
        receiver.answers = [503, 503]  # the first final comes through at the third attempt
        for seq in (1, 2, 3):
            broadcaster.publish(final(seq, utterance=str(seq)))
        await broadcaster.settled("weekly")
        assert [message["seq"] for message in receiver.got] == [1, 1, 1, 2, 3]


async def test_what_is_lost_is_not_waited_for() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url, lane_limit=1) as broadcaster:
            broadcaster.publish(final(1))
            await eventually(lambda: len(receiver.got) == 1)
            for seq in (2, 3):
                broadcaster.publish(draft(seq, utterance="u2", rev=seq))
            settling = asyncio.ensure_future(broadcaster.settled("weekly"))
            await asyncio.sleep(0)
            broadcaster.publish(final(4, utterance="u3"))  # drives out what is waited for
            receiver.opened.set()
            await settling
            assert broadcaster.lost_drafts == 2


async def test_a_session_does_not_wait_for_another_in_its_lane() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url) as broadcaster:
            broadcaster.publish(final(1))
            same_lane = next(
                slug
                for slug in map(str, range(1000))
                if zlib.crc32(slug.encode()) % LANES == zlib.crc32(b"weekly") % LANES
            )
            with capture_logs() as logs:
                await broadcaster.settled(same_lane, timeout_s=0)
                assert logs == []
            receiver.opened.set()


async def test_a_service_that_does_not_answer_is_not_waited_for_without_end() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url) as broadcaster:
            broadcaster.publish(final(1))
            broadcaster.publish(final(2, utterance="u2"))
            await eventually(lambda: len(receiver.got) == 1)
            with capture_logs() as logs:
                await broadcaster.settled("weekly", timeout_s=0.01)
            assert [(line["session"], line["waiting"]) for line in logs] == [("weekly", 2)]
            receiver.opened.set()
        assert broadcaster.lost_finals == 0


async def test_what_waits_shows_itself() -> None:
    metrics = Metrics()
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url, metrics) as broadcaster:
            for seq in (1, 2, 3):
                broadcaster.publish(final(seq, utterance=str(seq)))
            await eventually(lambda: len(receiver.got) == 1)
            assert sample(metrics, "http_posts_waiting") == len(broadcaster) == 2
            receiver.opened.set()
        assert sample(metrics, "http_posts_waiting") == 0


def letter(name: str, *, is_final: bool) -> Letter:
    return Letter("weekly", name.encode(), is_final, 0.0)


async def test_a_full_outbox_gives_up_the_oldest_draft_and_keeps_finals() -> None:
    lost: list[Letter] = []
    outbox = Outbox(3, lost.append)
    for name, is_final in (("a", True), ("b", False), ("c", False), ("d", True), ("e", False)):
        outbox.put(letter(name, is_final=is_final))
    assert [each.payload for each in lost] == [b"b", b"c"]
    assert [(await outbox.first()).payload for _ in range(3)] == [b"a", b"d", b"e"]


async def test_an_outbox_full_of_finals_refuses_drafts_and_gives_up_the_oldest_final() -> None:
    lost: list[Letter] = []
    outbox = Outbox(2, lost.append)
    for name in "ab":
        outbox.put(letter(name, is_final=True))
    outbox.put(letter("draft", is_final=False))
    outbox.put(letter("c", is_final=True))
    assert [each.payload for each in lost] == [b"draft", b"a"]


async def test_a_queue_that_is_full_is_counted() -> None:
    async with receiving() as receiver:
        receiver.opened.clear()
        async with broadcasting(receiver.url, lane_limit=2) as broadcaster:
            transcripts: list[Transcript] = [draft(seq, rev=seq) for seq in range(1, 6)]
            for transcript in transcripts:
                broadcaster.publish(transcript)
            assert broadcaster.lost_drafts == 3
            assert len(broadcaster) == 2
            receiver.opened.set()

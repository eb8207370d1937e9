"""Viewers that missed more than the hub holds, on real sockets, with a table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection

from realtime_core.hub.wire import CloseCode
from realtime_core.web import live
from realtime_core.web.live import Limits
from tests.eventually import eventually
from tests.hub.examples import draft, final
from tests.web.fake_table import FakeTable
from tests.web.live_service import LiveService, close_code, hear, live_service, say

RETURNING = "sessionSlug=weekly&since=2&epoch=e1"


@asynccontextmanager
async def restarted(*, answers: bool = True) -> AsyncIterator[tuple[LiveService, FakeTable]]:
    """A service that goes on with a session of which five finals were sent."""
    table = FakeTable()
    for seq in range(1, 6):
        table.accept(final(seq, utterance=f"u{seq}"), "e1")
    if not answers:
        table.answers.clear()
    async with live_service(seq=5, table=table, limits=Limits(subscribe_timeout_s=0.05)) as service:
        yield service, table


@asynccontextmanager
async def waiting(
    service: LiveService, table: FakeTable, query: str = RETURNING
) -> AsyncIterator[ClientConnection]:
    """Connect a viewer for which the table is being read."""
    async with service.client(query) as client:
        await eventually(lambda: table.asked)
        yield client


@pytest.mark.parametrize(
    ("query", "seqs", "recovered"),
    [
        (RETURNING, [3, 4, 5, 6], True),
        ("sessionSlug=weekly&since=9&epoch=before", [1, 2, 3, 4, 5, 6], False),
        ("sessionSlug=weekly", [1, 2, 3, 4, 5, 6], None),
    ],
)
async def test_after_a_restart_the_table_fills_what_memory_lacks(
    query: str, seqs: list[int], recovered: bool | None
) -> None:
    async with restarted() as (service, _):
        service.hub.publish(final(6, utterance="u6"))
        async with service.client(query) as client:
            ready = await hear(client)
    assert [each["seq"] for each in ready["history"]] == seqs
    assert ready.get("recovered") is recovered


async def test_what_is_said_while_the_table_is_read_is_in_the_history_once() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        service.hub.publish(draft(6, utterance="u6"))
        service.hub.publish(final(7, utterance="u6", rev=2))
        table.accept(final(7, utterance="u6", rev=2), "e1")
        table.answers.set()
        ready = await hear(client)
        assert (ready["recovered"], ready["drafts"]) == (True, [])
        assert [each["seq"] for each in ready["history"]] == [3, 4, 5, 7]
        service.hub.publish(final(8, utterance="u8"))
        assert (await hear(client))["seq"] == 8


async def test_a_table_that_is_away_leaves_what_memory_holds() -> None:
    async with restarted() as (service, table):
        table.is_away = True
        service.hub.publish(final(6, utterance="u6"))
        async with service.client(RETURNING) as client:
            ready = await hear(client)
    assert (ready["recovered"], [each["seq"] for each in ready["history"]]) == (False, [6])


async def test_a_bug_in_reading_costs_the_history_and_not_the_captions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with restarted() as (service, table):
        monkeypatch.setattr(table, "rows", None)
        with capture_logs() as logs:
            async with service.client(RETURNING) as client:
                assert (await hear(client))["recovered"] is False
    assert "Task failed" in [line["event"] for line in logs]


async def test_a_client_that_waits_is_heard_and_may_not_subscribe_again() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        await say(client, type="ping")
        assert (await hear(client))["type"] == "pong"
        await say(client, type="active-speaker", identity="a:1", name="A", timestamp=1)
        await say(client, type="subscribe", sessionSlug="weekly")
        assert (await hear(client))["code"] == "already_subscribed"
        assert len(service.control.reports) == 1
        await asyncio.sleep(0.1)  # longer than it may stay without naming a session
        table.answers.set()
        assert (await hear(client))["type"] == "ready"


async def test_a_client_that_leaves_while_it_waits_is_never_counted_in() -> None:
    async with restarted(answers=False) as (service, table):
        async with waiting(service, table):
            pass
        await eventually(lambda: len(service.live) == 0)
        table.answers.set()
        await eventually(lambda: len(service.live._house.catching_up) == 0)
        assert service.hub.viewers("weekly") == service.count("viewers") == 0


async def test_a_client_that_waits_is_told_of_a_shutdown() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        closing = asyncio.ensure_future(service.live.close())
        assert await close_code(client) == CloseCode.SHUTTING_DOWN
        await closing


async def test_a_session_that_ends_meanwhile_is_unknown() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        service.hub.close("weekly")
        table.answers.set()
        assert (await hear(client))["code"] == "unknown_session"
        assert await close_code(client) == CloseCode.UNKNOWN_SESSION


async def test_a_session_that_is_suspended_meanwhile_is_to_be_come_back_to() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        service.hub.is_closing = True
        service.hub.close("weekly", CloseCode.SHUTTING_DOWN)
        table.answers.set()
        assert (await hear(client))["code"] == "shutting_down"
        assert await close_code(client) == CloseCode.SHUTTING_DOWN


@pytest.mark.parametrize("query", [RETURNING, "sessionSlug=nobody-knows"])
async def test_while_the_service_drains_who_comes_back_to_a_room_that_is_gone_is_to_come_back(
    query: str,
) -> None:
    async with restarted() as (service, _):
        service.hub.is_closing = True
        service.hub.close("weekly", CloseCode.SHUTTING_DOWN)
        async with service.client(query) as client:
            assert await close_code(client) == CloseCode.SHUTTING_DOWN


async def test_viewers_that_catch_up_at_once_do_not_each_look_at_all_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with restarted() as (service, _), service.client(RETURNING) as first:
        await hear(first)
        counted: list[int] = []
        count = service.live.buffered_bytes

        def counting() -> int:
            counted.append(count())
            return counted[-1]

        monkeypatch.setattr(service.live, "buffered_bytes", counting)
        monkeypatch.setattr(live, "COUNT_EVERY_S", 60)
        for _ in range(5):
            async with service.client(RETURNING) as client:
                assert (await hear(client))["recovered"] is True
        assert len(counted) <= 1


async def test_what_was_given_since_the_last_look_counts_as_waiting() -> None:
    async with restarted() as (service, _):
        service.live._counted_bytes = live.MOST_BUFFERED_BYTES
        service.live._count_again_at = asyncio.get_running_loop().time() + 60
        async with service.client(RETURNING) as client:
            assert (await hear(client))["recovered"] is True, "it looked again"
        assert 0 < service.live._counted_bytes < live.MOST_BUFFERED_BYTES


async def test_a_session_that_was_started_anew_meanwhile_is_a_new_one() -> None:
    async with restarted(answers=False) as (service, table), waiting(service, table) as client:
        service.hub.close("weekly")
        await service.control.start("weekly", {})
        table.answers.set()
        ready = await hear(client)
    assert (ready["epoch"], ready["recovered"], ready["history"]) == ("e2", False, [])


async def test_the_table_is_not_piled_up_for_viewers_that_do_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "MOST_BUFFERED_BYTES", 0)
    async with restarted() as (service, _), service.client(RETURNING) as client:
        ready = await hear(client)
    assert (ready["recovered"], ready["history"]) == (False, [])

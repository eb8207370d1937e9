from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from realtime_core.access import Identity, Role
from realtime_core.hub import crowd, rooms
from realtime_core.hub.wire import CloseCode
from realtime_core.web.live import Limits
from tests.eventually import eventually
from tests.hub.examples import draft, final
from tests.web.live_service import (
    SUBSCRIBE,
    LiveService,
    close_code,
    hear,
    live_service,
    say,
    upgrade_request,
)

TOKENS = {
    "viewer": Identity("carol", "Carol", Role.VIEWER),
    "speaker": Identity("alice", "Alice", Role.SPEAKER),
    "host": Identity("bob", "Bob", Role.HOST),
}
WEEKLY = "sessionSlug=weekly"


async def test_a_viewer_named_in_the_query_sees_where_the_session_stands_and_what_follows() -> None:
    async with live_service() as service:
        service.hub.publish(final(1))
        service.hub.publish(draft(2, utterance="u2"))
        async with service.client(WEEKLY) as client:
            ready = await hear(client)
            service.hub.publish(final(3, "Hello all", utterance="u2", rev=2))
            last = await hear(client)
    assert (ready["type"], ready["state"], ready["epoch"], ready["seq"]) == (
        "ready",
        "live",
        "e1",
        2,
    )
    assert [each["utteranceId"] for each in ready["history"]] == ["u1"]
    assert [each["utteranceId"] for each in ready["drafts"]] == ["u2"]
    assert (last["type"], last["text"], last["seq"]) == ("transcript", "Hello all", 3)


async def test_the_session_may_be_named_in_the_first_message_instead() -> None:
    async with live_service() as service, service.client() as client:
        await say(client, **SUBSCRIBE)
        assert (await hear(client))["type"] == "ready"
        assert service.hub.viewers("weekly") == service.count("viewers") == 1


async def test_a_viewer_that_comes_back_gets_just_what_it_missed() -> None:
    async with live_service() as service:
        async with service.client(WEEKLY) as client:
            await hear(client)
            service.hub.publish(final(1, utterance="u1"))
            since = (await hear(client))["seq"]
        service.hub.publish(final(2, utterance="u2"))
        service.hub.publish(final(3, utterance="u3"))
        async with service.client(f"{WEEKLY}&since={since}&epoch=e1") as client:
            ready = await hear(client)
            assert (ready["recovered"], [m["seq"] for m in ready["history"]]) == (True, [2, 3])
        async with service.client() as client:
            await say(client, **SUBSCRIBE, since=since, epoch="gone")
            ready = await hear(client)
            assert (ready["recovered"], [m["seq"] for m in ready["history"]]) == (False, [1, 2, 3])


async def test_who_comes_while_transcripts_flow_misses_none_and_sees_none_twice() -> None:
    async with live_service() as service:
        stop = asyncio.Event()

        async def flow() -> None:
            seq = 0
            while not stop.is_set():
                seq += 1
                service.hub.publish(final(seq, utterance=f"u{seq}"))
                await asyncio.sleep(0)

        flowing = asyncio.create_task(flow())
        for _ in range(5):
            async with service.client(WEEKLY) as client:
                ready = await hear(client)
                seen = [m["seq"] for m in ready["history"]]
                seen += [(await hear(client))["seq"] for _ in range(20)]
                assert seen == list(range(seen[0], seen[0] + len(seen)))
        stop.set()
        await flowing


async def test_an_unknown_session_is_told_and_closed() -> None:
    async with live_service() as service, service.client("sessionSlug=nobody") as client:
        assert (await hear(client))["code"] == "unknown_session"
        assert await close_code(client) == CloseCode.UNKNOWN_SESSION
    assert client.close_reason == "unknown session"


@pytest.mark.parametrize("query", ["sessionSlug=../etc", "sessionSlug=weekly&since=x"])
async def test_a_query_that_means_nothing_is_told_and_closed(query: str) -> None:
    async with live_service() as service, service.client(query) as client:
        error = await hear(client)
        assert error["field"] in query
        assert await close_code(client) == CloseCode.BAD_REQUEST


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", CloseCode.UNAUTHORISED),
        ("&token=rubbish", CloseCode.UNAUTHORISED),
    ],
)
async def test_without_a_good_token_nobody_learns_what_sessions_there_are(
    query: str, code: CloseCode
) -> None:
    async with live_service(tokens=TOKENS) as service:
        for slug in ("weekly", "nobody"):
            async with service.client(f"sessionSlug={slug}{query}") as client:
                assert (await hear(client))["code"] == "unauthorized"
                assert await close_code(client) == code


async def test_a_token_for_another_session_is_forbidden() -> None:
    async with live_service(tokens=TOKENS) as service, service.client() as client:
        await say(client, type="subscribe", sessionSlug="other", token="viewer")
        assert (await hear(client))["code"] == "forbidden"
        assert await close_code(client) == CloseCode.FORBIDDEN


async def test_nothing_that_is_logged_holds_a_token() -> None:
    with capture_logs() as logs:
        async with live_service(tokens=TOKENS) as service:
            async with service.client(f"{WEEKLY}&token=viewer") as client:
                await hear(client)
            await eventually(lambda: len(service.live) == 0)
    assert [(line["event"], line["session"]) for line in logs] == [
        ("Client connected", "weekly"),
        ("WebSocket closed", "weekly"),
    ]
    assert logs[1]["code"] == 1000
    assert "viewer" not in str(logs)


async def subscribed(client: ClientConnection) -> None:
    assert (await hear(client))["type"] == "ready"


async def test_a_ping_is_answered() -> None:
    async with live_service() as service, service.client() as client:
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}
        await (await client.ping(b"of the protocol's own kind"))


async def test_rubbish_is_told_what_is_wrong_with_it() -> None:
    async with live_service() as service, service.client(WEEKLY) as client:
        await subscribed(client)
        await say(client, type="active-speaker", identity=7, name="Alice")
        error = await hear(client)
        assert (error["type"], error["code"], error["field"]) == (
            "error",
            "invalid_message",
            "identity",
        )
        await say(client, type="shout")
        assert (await hear(client))["code"] == "unknown_type"
        await say(client, **SUBSCRIBE)
        assert (await hear(client))["code"] == "already_subscribed"
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}


async def test_malformed_json_is_forgiven_twice() -> None:
    async with live_service() as service, service.client(WEEKLY) as client:
        await subscribed(client)
        for text in ("{", "no json", "[" * 5000):
            await client.send(text)
            assert (await hear(client))["code"] == "malformed_json"
        assert await close_code(client) == CloseCode.BAD_REQUEST
        assert service.hub.viewers("weekly") == 0


async def test_binary_is_not_spoken_here() -> None:
    async with live_service() as service, service.client(WEEKLY) as client:
        await subscribed(client)
        await client.send(b'{"type":"ping"}')
        assert (await hear(client))["code"] == "binary"
        assert await close_code(client) == CloseCode.BAD_REQUEST


async def test_a_message_that_is_too_large_ends_the_connection() -> None:
    async with live_service() as service:
        async with service.client(WEEKLY) as client:
            await subscribed(client)
            await client.send("x" * 9000)
            assert await close_code(client) == 1009
        await eventually(lambda: len(service.live) == 0)
        assert service.count("viewers_closed_total", code="1009") == 1


async def test_who_sends_too_fast_is_closed() -> None:
    limits = Limits(messages_per_s=0, burst=5)
    async with live_service(limits=limits) as service, service.client() as client:
        for _ in range(5):
            await say(client, type="ping")
            assert await hear(client) == {"type": "pong"}
        await say(client, type="ping")
        assert (await hear(client))["code"] == "too_many_messages"
        assert await close_code(client) == CloseCode.TOO_MANY


async def test_one_viewer_too_many_is_closed_and_the_others_stay() -> None:
    async with live_service(max_viewers=1) as service, service.client(WEEKLY) as client:
        await subscribed(client)
        async with service.client(WEEKLY) as late:
            assert await close_code(late) == CloseCode.TOO_MANY
        service.hub.publish(final(1))
        assert (await hear(client))["type"] == "transcript"


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        (None, True),
        ("https://example.com", True),
        ("https://EXAMPLE.com", True),
        ("https://evil-example.com", False),
        ("http://example.com", False),
        ("https://example.com:8443", False),
        ("null", False),
    ],
)
async def test_only_pages_of_known_origins_connect(origin: str | None, admitted: bool) -> None:
    async with live_service(origins=["https://example.com/"]) as service:
        if admitted:
            async with service.client(WEEKLY, origin=origin) as client:
                await subscribed(client)
        else:
            with pytest.raises(InvalidStatus) as caught:
                async with service.client(WEEKLY, origin=origin):
                    raise AssertionError("admitted")
            assert caught.value.response.status_code == 403
            assert json.loads(caught.value.response.body or b"")["error"]["field"] is None


async def test_any_origin_connects_when_none_are_listed() -> None:
    async with live_service() as service, service.client(WEEKLY, origin="null") as client:
        await subscribed(client)


async def test_a_plain_get_is_told_to_upgrade() -> None:
    async with live_service() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"GET /api/realtime/transcribe HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.0 426 ")
    assert b'"upgrade_required"' in answer


async def test_the_end_of_a_session_is_told_and_closes() -> None:
    async with live_service() as service, service.client(WEEKLY) as client:
        await subscribed(client)
        service.hub.close("weekly")
        status = await hear(client)
        assert (status["type"], status["state"]) == ("status", "ended")
        assert await close_code(client) == CloseCode.NORMAL


async def test_at_shutdown_everyone_is_told_to_come_back() -> None:
    async with live_service() as service:
        async with service.client(WEEKLY) as client, service.client() as stranger:
            await subscribed(client)
            await say(stranger, type="ping")
            assert await hear(stranger) == {"type": "pong"}
            await service.live.close()
            assert await close_code(client) == CloseCode.SHUTTING_DOWN
            assert await close_code(stranger) == CloseCode.SHUTTING_DOWN
        with pytest.raises(InvalidStatus) as caught:
            async with service.client(WEEKLY):
                raise AssertionError("admitted")
        assert caught.value.response.status_code == 503
        assert service.count("viewers_closed_total", code="4001") == 2


async def test_at_shutdown_nobody_comes_back_to_a_session_that_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowd, "SLICE", 1)  # so that these are many
    monkeypatch.setattr(rooms, "FAREWELLS", 1)
    async with live_service() as service, AsyncExitStack() as connected:
        clients = [await connected.enter_async_context(service.client(WEEKLY)) for _ in range(5)]
        for client in clients:
            await subscribed(client)
        service.hub.close("weekly")
        await service.live.close()
        for client in clients:
            assert (await hear(client))["state"] == "ended"
            assert await close_code(client) == CloseCode.NORMAL


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_client_that_leaves_while_it_connects_is_no_error(is_reset: bool) -> None:
    with capture_logs() as logs:
        async with live_service() as service:
            for _ in range(10):
                client = socket.create_connection(("127.0.0.1", service.port))
                if is_reset:
                    at_once = struct.pack("ii", 1, 0)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                client.sendall(upgrade_request(WEEKLY))
                client.close()
            async with service.client(WEEKLY) as later:  # is accepted after all those
                await subscribed(later)
                await eventually(lambda: service.sockets == 1)
                assert service.hub.viewers("weekly") == 1
    assert [line["event"] for line in logs if line["log_level"] == "error"] == []


async def speaking(service: LiveService, token: str, identity: str | None) -> object:
    """Report a speaker, and return what comes back once a ping after it is answered."""
    async with service.client(f"{WEEKLY}&token={token}") as client:
        await subscribed(client)
        await say(client, type="active-speaker", identity=identity, name="Someone", timestamp=1.5)
        await say(client, type="ping")
        return (await hear(client)).get("code")


async def test_speakers_report_themselves_and_hosts_anybody() -> None:
    async with live_service(tokens=TOKENS) as service:
        assert await speaking(service, "viewer", "carol:1") == "forbidden"
        assert await speaking(service, "speaker", "carol:1") == "forbidden"
        assert await speaking(service, "speaker", "alice:1") is None
        assert await speaking(service, "host", "carol:1") is None
        assert service.control.reports == [
            ("weekly", "alice:1", "Alice", 1.5),  # the token knows her name
            ("weekly", "carol:1", "Someone", 1.5),
        ]


async def test_the_clocks_of_reporting_clients_are_told_apart() -> None:
    async with live_service() as service:
        assert await speaking(service, "", "alice:1") is None
        assert await speaking(service, "", "alice:1") is None
    async with live_service(tokens=TOKENS) as known:
        assert await speaking(known, "speaker", "alice:1") is None
        assert await speaking(known, "host", "alice:1") is None
    assert len(set(service.control.reporters)) == 2
    assert not any(is_own for _, is_own in service.control.reporters)
    assert known.control.reporters == [("alice", True), ("bob", False)]


async def test_anybody_who_may_report_may_say_that_nobody_speaks() -> None:
    async with live_service(tokens=TOKENS) as service:
        assert await speaking(service, "viewer", None) == "forbidden"
        assert await speaking(service, "speaker", None) is None
        assert service.control.reports == [("weekly", None, None, 1.5)]


async def test_a_speaker_has_to_be_in_a_session() -> None:
    async with live_service() as service, service.client() as client:
        await say(client, type="active-speaker", identity="alice:1", name="Alice")
        assert (await hear(client))["code"] == "not_subscribed"


async def test_a_start_as_the_first_message_starts_the_session_and_subscribes_to_it() -> None:
    async with live_service() as service, service.client() as client:
        await say(client, type="start", sessionSlug="fresh", language="en")
        started, ready = await hear(client), await hear(client)
        assert service.control.started == [("fresh", {"language": "en"})]
        assert (started["type"], started["isNew"]) == ("started", True)
        assert started["result"]["rtmpUrl"] == "rtmp://localhost/live/fresh"
        assert (ready["type"], ready["sessionSlug"]) == ("ready", "fresh")


async def test_only_hosts_start_and_stop() -> None:
    async with live_service(tokens=TOKENS) as service, service.client() as client:
        await say(client, **SUBSCRIBE, token="speaker")
        await subscribed(client)
        await say(client, type="start", sessionSlug="weekly")
        assert (await hear(client))["code"] == "forbidden"
        await say(client, type="stop", sessionSlug="weekly")
        assert (await hear(client))["code"] == "forbidden"
        await say(client, type="stop", sessionSlug="weekly", token="host")
        assert (await hear(client))["result"] == {"sessionSlug": "weekly", "finals": 3}


async def test_a_start_that_is_refused_says_why_and_the_client_may_try_again() -> None:
    async with live_service() as service, service.client() as client:
        await say(client, type="start", sessionSlug="fresh", bad=1)
        error = await hear(client)
        assert (error["code"], error["field"]) == ("invalid_request", "bad")
        await say(client, type="start", sessionSlug="fresh")
        assert (await hear(client))["type"] == "started"


async def test_a_client_is_heard_while_its_stop_takes_time() -> None:
    async with live_service() as service, service.client(WEEKLY) as client:
        await subscribed(client)
        service.control.may_end.clear()
        await say(client, type="stop", sessionSlug="weekly")
        await say(client, type="ping")
        assert await hear(client) == {"type": "pong"}
        await say(client, type="stop", sessionSlug="weekly")
        assert (await hear(client))["code"] == "busy"
        service.control.may_end.set()
        assert (await hear(client))["type"] == "stopped"


async def test_a_start_goes_on_when_its_client_leaves_and_joins_nobody() -> None:
    async with live_service() as service:
        service.control.may_end.clear()
        async with service.client() as client:
            await say(client, type="start", sessionSlug="fresh")
            await say(client, type="ping")
            await hear(client)
        await eventually(lambda: len(service.live) == 0)
        service.control.may_end.set()
        await eventually(lambda: service.control.started)
        assert service.hub.viewers("fresh") == 0


async def test_a_stop_that_fails_unexpectedly_is_answered_too() -> None:
    with capture_logs() as logs:
        async with live_service() as service, service.client() as client:
            await say(client, type="stop", sessionSlug="broken")
            assert (await hear(client))["code"] == "internal"
            await say(client, type="ping")
            assert await hear(client) == {"type": "pong"}
    assert "Task failed" in [line["event"] for line in logs]

"""The HTTP routes, on a real server and sessions of fakes."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import TestClient, TestServer

from realtime_core.access import Gate, TokenKeys
from realtime_core.capacity import Capacity
from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.model import SessionOptions, SessionRecord
from realtime_core.registry import Registry, Rules
from realtime_core.session import Session
from realtime_core.urls import rtmp_url, websocket_url
from realtime_core.web.broadcast import BroadcastRoutes
from realtime_core.web.control import Control, ControlRoutes, Urls
from realtime_core.web.health import HealthRoutes
from realtime_core.web.pages import PageRoutes
from realtime_core.web.routes import application
from tests.fakes import World

START, STOP = "/api/realtime/transcribe/start", "/api/realtime/transcribe/stop"
SPEAKER, BROADCAST = "/api/active-speaker", "/api/realtime/transcribe/broadcast"
SECRET = "a secret of thirty-two bytes or more"


class Site:
    """The application around fakes, and a client."""

    def __init__(self, gate: Gate | None = None, *, rules: Rules | None = None) -> None:
        self.metrics = Metrics()
        self.worlds: dict[str, World] = {}
        self.options: list[SessionOptions] = []
        self.draining, self.reasons = False, list[str]()
        self.hub = Hub(self.metrics)
        self.registry = Registry(
            build=self._build,
            opened=lambda session: self.hub.open(session.slug, session.epoch, session.state),
            closed=lambda session: self.hub.close(session.slug),
            metrics=self.metrics,
            rules=rules or Rules(),
        )
        self.client = TestClient(TestServer(application(self._parts(gate or Gate(None)))))

    def _parts(self, gate: Gate) -> list[Any]:
        urls = Urls(
            rtmp=lambda slug: rtmp_url("127.0.0.1", 1937, slug, None),
            websocket=lambda slug: websocket_url("http://127.0.0.1:8080", slug),
        )
        return [
            ControlRoutes(Control(self.registry, self.hub, urls), gate),
            BroadcastRoutes(self.hub, SECRET),
            HealthRoutes(
                self.metrics,
                is_draining=lambda: self.draining,
                degraded=lambda: self.reasons,
                refresh=self.registry.refresh_metrics,
                metrics_token=None,
            ),
            PageRoutes({"index.html": b"<html>", "app.js": b"export {}"}),
        ]

    def _build(self, record: SessionRecord) -> Session:
        self.options.append(record.options)
        world = self.worlds[record.slug] = World(record=record)
        return world.session

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, (str, bytes)) else json.dumps(body)
        headers = {"Content-Type": "application/json"} | headers
        async with self.client.post(path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.client.get(path, headers=headers) as response:
            text = await response.text()
            is_json = "json" in response.content_type
            return response.status, json.loads(text) if is_json else text


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with made.client:
        yield made
        await made.registry.drain(1)


def token(role: str, session: str = "weekly", sub: str = "alice") -> str:
    claims = {
        "sub": sub,
        "name": "Alice",
        "session": session,
        "role": role,
        "exp": int(time.time()) + 60,
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


def bearer(role: str, session: str = "weekly") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role, session)}"}


async def test_start_is_201_then_200(site: Site) -> None:
    first = await site.post(START, {"sessionSlug": "weekly"})
    assert first == (
        201,
        {
            "sessionSlug": "weekly",
            "state": "waiting_for_egress",
            "rtmpUrl": "rtmp://127.0.0.1:1937/live/weekly",
            "websocketUrl": "ws://127.0.0.1:8080/api/realtime/transcribe?sessionSlug=weekly",
        },
    )
    assert await site.post(START, {"sessionSlug": "weekly"}) == (200, first[1])


async def test_start_may_set_language_and_vocabulary(site: Site) -> None:
    await site.post(START, {"sessionSlug": "a", "language": "ru", "vocabulary": ["LiveKit"]})
    await site.post(START, {"sessionSlug": "b", "languages": ["en", "de"]})
    assert site.options == [
        SessionOptions(("ru",), ("LiveKit",)),
        SessionOptions(("en", "de"), ()),
    ]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("{", 400, "malformed_json", None),
        (b"\xff\xfe", 400, "malformed_json", None),
        ("[" * 9000, 400, "malformed_json", None),
        ('{"sessionSlug": NaN}', 400, "malformed_json", None),
        ([], 400, "invalid_request", None),
        ({}, 400, "invalid_request", "sessionSlug"),
        ({"sessionSlug": 7}, 400, "invalid_request", "sessionSlug"),
        ({"sessionSlug": "../etc"}, 400, "invalid_request", "sessionSlug"),
        ({"sessionSlug": "a\n"}, 400, "invalid_request", "sessionSlug"),
        ({"sessionSlug": "a", "color": "red"}, 400, "invalid_request", "color"),
        ({"sessionSlug": "a", "language": "english"}, 400, "invalid_request", "language"),
        ({"sessionSlug": "a", "vocabulary": [""]}, 400, "invalid_request", "vocabulary.0"),
        ({"sessionSlug": "a", "vocabulary": ["x" * 20_000]}, 413, "too_large", None),
    ],
)
async def test_bad_bodies_are_answered_with_code_message_and_field(
    site: Site, body: Any, status: int, code: str, field: str | None
) -> None:
    answered, answer = await site.post(START, body)
    error = answer["error"]
    assert (answered, error["code"], error["field"]) == (status, code, field)
    assert error["message"]
    assert len(site.registry) == 0


async def test_other_content_types_methods_and_paths_are_answered_in_json(site: Site) -> None:
    status, answer = await site.post(START, {"sessionSlug": "a"}, **{"Content-Type": "text/plain"})
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")
    status, answer = await site.get(START)
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
    status, answer = await site.get("/nothing/here")
    assert (status, answer["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("authorization", [b"Bearer \xff\xfe", b"Bearer", b"Basic x", b"\xff"])
async def test_rubbish_for_a_token_is_unauthorised(authorization: bytes) -> None:
    site = Site(Gate(TokenKeys(secret=SECRET)))
    header = {"Authorization": authorization.decode("utf-8", "surrogateescape")}
    async with site.client:
        assert (await site.post(START, {"sessionSlug": "weekly"}, **header))[0] == 401
        assert (await site.post(BROADCAST, broadcast_body(), **header))[0] == 401


@pytest.mark.parametrize(
    ("name", "shown"),
    [("  Al\x07ice ", "Alice"), ("\u202eAlice", "Alice"), ("Zo\u0308e", "Zo\u0308e")],
)
async def test_names_are_cleaned_of_what_nobody_should_see(
    site: Site, name: str, shown: str
) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    report = {"sessionSlug": "weekly", "identity": "alice:1", "name": name}
    assert (await site.post(SPEAKER, report))[0] == 204
    assert [each.name for each in site.worlds["weekly"].reports] == [shown]


async def test_a_body_that_cannot_be_decoded_is_the_callers_fault(site: Site) -> None:
    status, answer = await site.post(START, b"\x00rubbish", **{"Content-Encoding": "gzip"})
    assert (status, answer["error"]["code"]) == (400, "malformed_body")


async def test_stop_answers_with_counts_once_drained(site: Site) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    status, answer = await site.post(STOP, {"sessionSlug": "weekly"})
    assert (status, answer["state"], answer["finals"]) == (200, "ended", 0)
    status, answer = await site.post(STOP, {"sessionSlug": "weekly"})
    assert (status, answer["error"]["code"]) == (404, "unknown_session")


async def test_a_full_service_says_so(site: Site) -> None:
    site.registry.rules = Rules(max_sessions=1)
    await site.post(START, {"sessionSlug": "one"})
    status, answer = await site.post(START, {"sessionSlug": "two"})
    assert (status, answer["error"]["code"]) == (503, "too_many_sessions")


async def test_a_full_service_says_when_to_ask_again(site: Site) -> None:
    site.registry.capacity = Capacity(least_free_bytes=1)
    site.registry.capacity.has_free(0)
    async with site.client.post(START, json={"sessionSlug": "one"}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        assert (await response.json())["error"]["code"] == "overloaded"


async def test_a_speaker_report_is_204_and_counted(site: Site) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    report = {"sessionSlug": "weekly", "identity": "alice:1", "name": "Alice", "timestamp": 1.5e12}
    assert await site.post(SPEAKER, report) == (204, None)
    metrics = site.worlds["weekly"].metrics.registry
    assert metrics.get_sample_value("speaker_samples_total") == 1


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"sessionSlug": "other"}, 404, "sessionSlug"),
        ({"identity": ""}, 400, "identity"),
        ({"identity": "x" * 300}, 400, "identity"),
        ({"identity": "room"}, 400, "identity"),
        ({"name": None}, 400, "name"),
        ({"name": " \u200e\t"}, 400, "name"),
        ({"timestamp": "now"}, 400, "timestamp"),
    ],
)
async def test_bad_speaker_reports_name_their_field(
    site: Site, change: dict[str, Any], status: int, field: str
) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    report = {"sessionSlug": "weekly", "identity": "alice:1", "name": "Alice", "timestamp": 1}
    answered, answer = await site.post(SPEAKER, report | change)
    assert (answered, answer["error"]["field"]) == (status, field)


async def test_nobody_speaks_is_a_report_without_a_name(site: Site) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    for name in ({}, {"name": None}, {"name": ""}):
        report = {"sessionSlug": "weekly", "identity": None, "timestamp": 1} | name
        assert await site.post(SPEAKER, report) == (204, None)
    status, answer = await site.post(SPEAKER, {"sessionSlug": "weekly", "name": "Alice"})
    assert (status, answer["error"]["field"]) == (400, "identity")


async def test_a_session_tells_how_late_its_audio_is(site: Site) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    _, shown = await site.get("/api/realtime/sessions/weekly")
    assert (shown["speakerLagMs"], shown["speakerLagConfidence"]) == (0, 1)  # as it was set


async def test_sessions_are_listed_and_shown(site: Site) -> None:
    await site.post(START, {"sessionSlug": "weekly"})
    _, listed = await site.get("/api/realtime/sessions")
    status, shown = await site.get("/api/realtime/sessions/weekly")
    assert status == 200
    assert [each["sessionSlug"] for each in listed["sessions"]] == ["weekly"]
    assert shown["audioBytesReceived"] == shown["audioBytesSent"] == shown["drafts"] == 0
    assert shown["lastTranscriptAgeSeconds"] is None
    status, answer = await site.get("/api/realtime/sessions/daily")
    assert (status, answer["error"]["code"]) == (404, "unknown_session")


def broadcast_body() -> dict[str, Any]:
    return {
        "type": "transcript",
        "sessionSlug": "weekly",
        "utteranceId": "u1",
        "text": "Hello",
        "isFinal": True,
        "speaker": "Alice",
        "speakerId": "alice:1",
        "ts": 1_790_000_000_123,
    }


async def test_broadcasting_for_other_services_needs_the_secret(site: Site) -> None:
    good = {"Authorization": f"Bearer {SECRET}"}
    assert await site.post(BROADCAST, broadcast_body(), **good) == (202, {"delivered": 0})
    for wrong in ({}, {"Authorization": "Bearer wrong"}):
        status, answer = await site.post(BROADCAST, broadcast_body(), **wrong)
        assert (status, answer["error"]["code"]) == (401, "unauthorized")
    status, answer = await site.post(BROADCAST, {"type": "transcript"}, **good)
    assert status == 400


async def test_health_and_readiness(site: Site) -> None:
    assert await site.get("/healthz") == (200, {"status": "alive"})
    assert await site.get("/readyz") == (200, {"status": "ready"})
    site.reasons = ["the database does not answer"]
    status, answer = await site.get("/readyz")
    assert (status, answer["status"]) == (200, "degraded")
    site.draining = True
    assert (await site.get("/readyz"))[0] == 503
    assert (await site.get("/healthz"))[0] == 200


async def test_metrics_come_as_text_or_as_the_originals_json(site: Site) -> None:
    status, text = await site.get("/metrics")
    assert status == 200
    assert "# TYPE transcripts_lost_total counter" in text
    status, snapshot = await site.get("/metrics", Accept="application/json")
    assert snapshot["ws.broadcast_loop_ms"]["count"] == 0


async def test_the_page_is_served_with_strict_headers(site: Site) -> None:
    for path in ("/", "/s/weekly", "/static/app.js"):
        async with site.client.get(path) as response:
            assert response.status == 200
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (await site.get("/static/..%2f..%2fsettings.py"))[0] == 404


async def test_with_tokens_each_role_may_do_its_part() -> None:
    site = Site(Gate(TokenKeys(secret=SECRET)))
    start = {"sessionSlug": "weekly"}
    report = {"sessionSlug": "weekly", "identity": "alice:1", "name": "Alice", "timestamp": 1}
    async with site.client:
        assert (await site.post(START, start))[0] == 401
        assert (await site.post(START, start, **bearer("viewer")))[0] == 403
        assert (await site.post(START, start, **bearer("host", "other")))[0] == 403
        assert (await site.post(START, start, **bearer("host")))[0] == 201
        assert (await site.post(SPEAKER, report, **bearer("viewer")))[0] == 403
        assert (await site.post(SPEAKER, report, **bearer("speaker")))[0] == 204
        boss = report | {"name": "The Boss"}
        assert (await site.post(SPEAKER, boss, **bearer("speaker")))[0] == 204
        assert [each.name for each in site.worlds["weekly"].reports] == ["Alice", "Alice"]
        assert all(each.is_own for each in site.worlds["weekly"].reports)
        assert (await site.post(SPEAKER, report, **bearer("host")))[0] == 204
        assert not site.worlds["weekly"].reports[-1].is_own
        forged = report | {"identity": "bob:1"}
        status, answer = await site.post(SPEAKER, forged, **bearer("speaker"))
        assert (status, answer["error"]["field"]) == (403, "identity")
        assert (await site.get("/api/realtime/sessions/weekly"))[0] == 401
        assert (await site.get("/api/realtime/sessions/weekly", **bearer("viewer")))[0] == 200
        assert (await site.get("/api/realtime/sessions", **bearer("viewer")))[0] == 403
        assert (await site.get("/api/realtime/sessions", **bearer("viewer", "*")))[0] == 200
        assert (await site.get("/healthz"))[0] == 200
        await site.registry.drain(1)

"""The HTTP side: what is asked, and what the answers mean."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import structlog

from realtime_core.errors import SttRejected, SttUnavailable
from realtime_core.metrics import Metrics
from realtime_core.stt.api import GladiaApi
from tests.stt.fake_gladia import API_KEY, Answer, FakeGladia
from tests.stt.harness import config


@pytest.fixture
async def api(gladia: FakeGladia) -> AsyncIterator[GladiaApi]:
    async with aiohttp.ClientSession() as http:
        yield GladiaApi(config(gladia), Metrics(), http, session="weekly")


async def test_a_session_is_given_out_and_its_url_kept_from_reprs(api: GladiaApi) -> None:
    started = await api.start()
    assert (started.id, started.url[-14:]) == ("stt-0", "token=secret-0")
    assert "secret" not in repr(started)


@pytest.mark.parametrize("body", [None, [], {}, {"id": "a"}, {"id": 1, "url": "ws://x"}])
async def test_an_answer_without_sense_may_be_better_next_time(
    gladia: FakeGladia, api: GladiaApi, body: object
) -> None:
    gladia.answers.append(Answer(201, body))
    with pytest.raises(SttUnavailable):
        await api.start()


async def test_a_refusal_is_logged_with_what_the_provider_needs_to_find_it(
    gladia: FakeGladia, api: GladiaApi
) -> None:
    envelope = {"request_id": "G-821fe9df", "message": "Invalid", "validation_errors": [API_KEY]}
    gladia.answers.append(Answer(400, envelope, {"x-aipi-call-id": "call-7"}))
    with structlog.testing.capture_logs() as lines, pytest.raises(SttRejected):
        await api.start()
    assert (lines[0]["request_id"], lines[0]["call_id"]) == ("G-821fe9df", "call-7")
    assert API_KEY not in repr(lines)


async def test_a_limit_says_when_to_come_back(gladia: FakeGladia, api: GladiaApi) -> None:
    gladia.answers.append(Answer(429, None, {"Retry-After": "7"}))
    with pytest.raises(SttUnavailable) as caught:
        await api.start()
    assert (caught.value.slow_down, caught.value.retry_after_s) == (True, 7.0)


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        ({"status": "processing"}, None),
        ({"status": "queued", "result": {"messages": ["{}"]}}, None),
        ({"status": "done", "result": {"messages": ["{}", 5]}}, ["{}"]),
        ({"status": "done", "result": None}, []),
        ({"status": "error", "error_code": 500}, []),
    ],
)
async def test_what_a_session_said_is_known_when_it_is_done(
    gladia: FakeGladia, api: GladiaApi, result: dict[str, object], messages: list[str] | None
) -> None:
    await api.start()
    gladia.sessions[0].result = result
    assert await api.finished_messages("stt-0") == messages


async def test_a_session_that_cannot_be_found_is_an_error(api: GladiaApi) -> None:
    with pytest.raises(SttUnavailable, match="404"):
        await api.finished_messages("../stt")

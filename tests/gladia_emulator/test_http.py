import re
from io import BytesIO
from typing import Any

import pytest

from gladia_emulator.scripted import text_for
from tests.gladia_emulator.client import HELLO, Client, quick
from tests.gladia_emulator.test_endings import patient


async def test_post_answers_with_id_time_and_a_tokenised_url(client: Client) -> None:
    body = await client.start()
    assert set(body) == {"id", "created_at", "url"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created_at"])
    base = client.emulator.url.replace("http:", "ws:")
    assert body["url"].startswith(f"{base}/v2/live?token=")


@pytest.mark.parametrize(
    ("key", "message"), [(None, "no gladia key provided"), ("wrong", "gladia user not found")]
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v2/live"), ("GET", "/v2/live"), ("DELETE", "/v2/live/x")]
)
async def test_every_route_wants_the_key(
    client: Client, method: str, path: str, key: str | None, message: str
) -> None:
    status, body = await client.request(method, path, key=key, json={})
    assert (status, body["statusCode"], body["message"]) == (401, 401, message)
    assert body["path"] == path
    assert body["request_id"].startswith("G-")
    assert "validation_errors" not in body


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"region": "eu-west"}, 'Field "region" is unknown'),
        ({"language_config": {"detect": True}}, 'Field "language_config.detect" is unknown'),
        ({"sample_rate": "16000"}, 'Field "sample_rate"'),
    ],
)
async def test_bad_body_is_400_with_its_faults(
    client: Client, body: dict[str, Any], error: str
) -> None:
    status, answer = await client.request("POST", "/v2/live", json=body)
    assert (status, answer["statusCode"]) == (400, 400)
    assert answer["validation_errors"][0].startswith(error)
    assert client.emulator.sessions == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"'])
async def test_body_that_is_no_object_is_400(client: Client, body: bytes) -> None:
    status, answer = await client.request("POST", "/v2/live", data=body)
    assert status == 400
    assert answer["validation_errors"]


@pytest.mark.parametrize(("region", "status"), [("eu-west", 201), ("us-west", 201), ("mars", 400)])
async def test_region_belongs_in_the_query(client: Client, region: str, status: int) -> None:
    assert (await client.request("POST", f"/v2/live?region={region}", json={}))[0] == status


async def test_too_big_a_body_is_413(client: Client) -> None:
    status, body = await client.request("POST", "/v2/live", data=BytesIO(bytes(2 * 1024 * 1024)))
    assert (status, body["statusCode"]) == (413, 413)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/nothing"), ("PUT", "/v2/live"), ("DELETE", "/v2/live")]
)
async def test_unknown_route_or_method_is_404(client: Client, method: str, path: str) -> None:
    status, body = await client.request(method, path)
    assert (status, body["message"]) == (404, f"Cannot {method} {path}")


@pytest.mark.parametrize("limit", [1, 2])
async def test_one_session_too_many_is_429_until_one_ends(limit: int) -> None:
    async with patient(max_sessions=limit, close_delay_s=0) as client:
        sessions = [await client.start() for _ in range(limit)]
        status, body = await client.request("POST", "/v2/live", json={})
        assert status == 429
        assert f"allows only up to {limit} sessions" in body["message"]
        assert ("Free Trial" in body["message"]) == (limit == 1)
        async with client.socket(sessions[0]["url"]) as socket:
            await socket.stop()
            await socket.until_closed()
        await client.start()


async def test_status_goes_from_queued_over_processing_to_done(client: Client) -> None:
    session = await client.start()
    seen = [await client.status_of(session["id"])]
    async with client.socket(session["url"]) as socket:
        await socket.until_type("start_recording")
        seen.append(await client.status_of(session["id"]))
        await socket.stop()
        await socket.until_closed()
    seen.append(await client.status_of(session["id"]))
    assert seen == ["queued", "processing", "done"]


async def test_delete_needs_a_session_that_is_done(client: Client) -> None:
    session = await client.start()
    path = f"/v2/live/{session['id']}"
    assert (await client.request("DELETE", path))[0] == 403
    async with client.socket(session["url"]) as socket:
        await socket.stop()
        await socket.until_closed()
    assert (await client.request("DELETE", path))[0] == 202
    assert (await client.request("DELETE", path))[0] == 404
    assert (await client.request("GET", path))[0] == 404


async def test_file_is_the_audio_as_wav(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_acknowledged(len(HELLO))
        status, wav = await client.request("GET", f"/v2/live/{session['id']}/file")
    assert status == 200
    assert wav[:4] + wav[8:16] == b"RIFFWAVEfmt "
    assert wav[44:] == HELLO


async def test_a_wav_file_can_be_streamed_as_it_is(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
        _, wav = await client.request("GET", f"/v2/live/{session['id']}/file")
    again = await client.start()
    async with client.socket(again["url"]) as socket:
        await socket.say(wav, chunk_bytes=1_001)
        final = await socket.until_final()
    assert final["data"]["utterance"]["text"].strip() == text_for(440, 1.2)
    assert final["data"]["utterance"]["start"] == pytest.approx(0, abs=0.001)


async def test_metadata_can_be_attached_afterwards(client: Client) -> None:
    session = await client.start()
    path = f"/v2/live/{session['id']}"
    body: dict[str, Any] = {"post_session_metadata": {"rating": 5}}
    assert (await client.request("PATCH", path, json=body))[0] == 204
    assert (await client.request("GET", path))[1]["post_session_metadata"] == {"rating": 5}
    assert (await client.request("PATCH", path, json=body | {"more": 1}))[0] == 400
    assert (await client.request("PATCH", path, data=b"[]"))[0] == 400
    body = {"post_session_metadata": {"long": "x" * 100_000}}
    assert (await client.request("PATCH", path, json=body))[0] == 413


async def test_list_is_paged_newest_first(client: Client) -> None:
    ids = [(await client.start())["id"] for _ in range(3)]
    _, page = await client.request("GET", "/v2/live?limit=2")
    assert [each["id"] for each in page["items"]] == ids[:0:-1]
    _, rest = await client.request("GET", page["next"].removeprefix(client.emulator.url))
    assert [each["id"] for each in rest["items"]] == ids[:1]
    assert rest["next"] is None
    assert (await client.request("GET", "/v2/live?limit=x"))[0] == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("custom_metadata[room]=a", 1),
        ("custom_metadata[room]=c", 0),
        ("status=queued", 2),
        ("status=done&status=error", 0),
        ("date=2000-01-01", 0),
        ("after_date=2000-01-01", 2),
        ("before_date=2000-01-01", 0),
    ],
)
async def test_list_is_filtered(client: Client, query: str, found: int) -> None:
    for room in "ab":
        await client.start(custom_metadata={"room": room})
    _, page = await client.request("GET", f"/v2/live?{query}")
    assert len(page["items"]) == found


async def test_oldest_ended_sessions_are_forgotten() -> None:
    async with patient(kept_sessions=1, close_delay_s=0) as client:
        ids = []
        for _ in range(3):
            session = await client.start()
            ids.append(session["id"])
            async with client.socket(session["url"]) as socket:
                await socket.stop()
                await socket.until_closed()
        await client.start()
        assert set(ids) & set(client.emulator.sessions) == {ids[2]}


async def test_control_arms_lists_and_disarms_faults(client: Client) -> None:
    fault = {"name": "cut", "code": 1011, "session": "weekly"}
    status, armed = await client.request("POST", "/_control/faults", key=None, json=fault)
    assert (status, armed) == (201, fault | {"struck": 0})
    _, listed = await client.request("GET", "/_control/faults", key=None)
    assert listed == {"faults": [armed]}
    assert (await client.request("DELETE", "/_control/faults", key=None))[0] == 204
    assert client.emulator.faults.armed == []


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"name":"cut","status":500}'])
async def test_control_refuses_what_is_no_fault(client: Client, body: bytes) -> None:
    status, answer = await client.request("POST", "/_control/faults", key=None, data=body)
    assert status == 400
    assert answer["errors"]


async def test_control_strikes_and_shows_sessions(client: Client) -> None:
    session = await client.start(custom_metadata={"sessionSlug": "weekly"})
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
        _, shown = await client.request("GET", "/_control/sessions", key=None)
        fault = {"name": "cut", "code": 4500, "session": "weekly"}
        await client.request("POST", "/_control/faults", key=None, json=fault)
        assert await socket.until_closed() == 4500
    (overview,) = shown["sessions"]
    assert (overview["id"], overview["connected"]) == (session["id"], True)
    assert overview["received_bytes"] == len(HELLO)
    assert overview["messages"][-1]["data"]["is_final"]


async def test_emulator_can_be_left_twice_and_frees_its_port() -> None:
    emulator = quick()
    async with emulator:
        port = emulator.port
    await emulator.__aexit__()
    async with quick(port=port):
        pass


def test_unknown_recogniser_is_refused() -> None:
    with pytest.raises(ValueError, match="no such recogniser"):
        quick(recognizer="psychic")

import base64
import json

import pytest

from gladia_emulator.scripted import silence, text_for, tone
from tests.gladia_emulator.client import (
    BODY,
    BYTES_PER_SECOND,
    CHUNK_BYTES,
    EVERYTHING,
    HELLO,
    Client,
    Message,
    is_final,
    range_of,
)


async def test_whole_session_in_the_documented_order(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
        await socket.stop()
        assert await socket.until_closed() == 1000
    assert socket.types == [
        "start_recording",
        "speech_start",
        *["transcript"] * 4,
        "speech_end",
        "transcript",
        "stop_recording",
        "end_recording",
        "post_transcript",
        "post_final_transcript",
        "end_session",
    ]
    assert await client.status_of(session["id"]) == "done"


async def test_every_message_carries_session_and_time(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
    assert {each["session_id"] for each in socket.got} == {session["id"]}
    assert all(each["created_at"].endswith("Z") for each in socket.got)


async def test_drafts_grow_into_their_final(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
    (final,) = socket.finals
    texts = [each["utterance"]["text"] for each in socket.drafts]
    assert len(texts) >= 3
    assert all(final["utterance"]["text"].startswith(text) for text in texts)
    assert texts == sorted(texts, key=len)
    assert {each["id"] for each in socket.drafts} == {final["id"]} == {"00_00000000"}


async def test_final_says_what_was_heard_and_when(client: Client) -> None:
    session = await client.start(language_config={"languages": ["fr"]})
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(1) + HELLO)
        said = (await socket.until_final())["data"]["utterance"]
    assert said["text"] == " " + text_for(440, 1.2)
    assert (said["language"], said["channel"], said["confidence"]) == ("fr", 0, 1)
    assert said["start"] == pytest.approx(1.0, abs=0.001)
    assert said["end"] == pytest.approx(2.2, abs=0.001)
    assert "".join(word["word"] for word in said["words"]) == said["text"]
    ends = [word["end"] for word in said["words"]]
    assert ends == sorted(ends)
    assert ends[-1] <= said["end"]


async def test_acks_are_half_open_and_seamless(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(1))
        await socket.until_acknowledged(BYTES_PER_SECOND)
    ranges = [range_of(each) for each in socket.got if each["type"] == "audio_chunk"]
    starts = range(0, BYTES_PER_SECOND, CHUNK_BYTES)
    assert ranges == [(start, start + CHUNK_BYTES) for start in starts]
    assert socket.got[-1]["data"]["time_range"] == [0.9, 1.0]
    assert client.emulator.sessions[session["id"]].pcm == silence(1)


async def test_base64_counts_decoded_bytes(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        chunk = base64.b64encode(HELLO).decode()
        await socket.ws.send_json({"type": "audio_chunk", "data": {"chunk": chunk}})
        assert range_of(await socket.until_type("audio_chunk")) == (0, len(HELLO))
        assert (await socket.until_final())["data"]["id"] == "00_00000000"


@pytest.mark.parametrize("as_text", [True, False])
async def test_empty_chunks_are_acknowledged(client: Client, as_text: bool) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        if as_text:
            await socket.ws.send_json({"type": "audio_chunk", "data": {"chunk": ""}})
        else:
            await socket.ws.send_bytes(b"")
        assert (await socket.until_type("audio_chunk"))["data"]["byte_range"] == [0, 0]


async def test_bad_base64_is_refused_and_the_session_goes_on(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.ws.send_json({"type": "audio_chunk", "data": {"chunk": "é!"}})
        refused = await socket.until_type("audio_chunk")
        assert (refused["acknowledged"], refused["data"]) == (False, None)
        await socket.say(silence(0.1))
        await socket.until_acknowledged(CHUNK_BYTES)


@pytest.mark.parametrize(
    "text", ["no json", '"text"', '{"type":"flush"}', '{"type":"audio_chunk"}']
)
async def test_what_is_no_message_closes_with_4400(client: Client, text: str) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.ws.send_str(text)
        assert await socket.until_closed() == 4400
    assert await client.refusal_of(session["url"]) == 403


@pytest.mark.parametrize(
    ("flag", "gated"),
    [
        ("receive_partial_transcripts", lambda m: m["type"] == "transcript" and not is_final(m)),
        ("receive_final_transcripts", is_final),
        ("receive_speech_events", lambda m: m["type"] in {"speech_start", "speech_end"}),
        ("receive_acknowledgments", lambda m: m["type"] in {"audio_chunk", "stop_recording"}),
        ("receive_lifecycle_events", lambda m: m["type"].startswith(("start_", "end_"))),
        ("receive_post_processing_events", lambda m: m["type"].startswith("post_")),
    ],
)
async def test_messages_config_gates(client: Client, flag: str, gated: object) -> None:
    assert callable(gated)
    seen = {}
    for on in (True, False):
        session = await client.start(messages_config=EVERYTHING | {flag: on})
        async with client.socket(session["url"]) as socket:
            await socket.say(HELLO)
            await socket.stop()
            await socket.until_closed()
        seen[on] = [each["type"] for each in socket.got if gated(each)]
        others = [each for each in socket.got if not gated(each)]
        assert others
    assert seen[True]
    assert seen[False] == []


async def test_only_what_is_asked_for_comes_by_default(client: Client) -> None:
    session = await client.start(messages_config={})
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.stop()
        await socket.until_closed()
    assert socket.drafts == []
    assert {"start_recording", "end_session"}.isdisjoint(socket.types)
    assert socket.finals


async def test_stop_flushes_the_open_utterance(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(tone(500, 0.9))
        await socket.stop()
        ack = await socket.until_type("stop_recording")
        assert ack["data"]["recording_duration"] == 0.9
        assert await socket.until_closed() == 1000
    assert [each["utterance"]["text"].strip() for each in socket.finals] == [text_for(500, 0.9)]


async def test_second_stop_and_late_audio_are_refused() -> None:
    from tests.gladia_emulator.test_endings import patient

    async with patient() as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            await socket.stop()
            await socket.until_type("end_session")
            await socket.stop()
            refused = await socket.until_type("stop_recording")
            assert refused["error"]["status_code"] == 409
            assert refused["error"]["exception"] == "ConflictError"
            await socket.say(silence(0.1))
            assert (await socket.until_type("audio_chunk"))["acknowledged"] is False
        assert client.emulator.sessions[session["id"]].received_bytes == 0


async def test_addons_follow_their_final(client: Client) -> None:
    processing: Message = {
        "translation": True,
        "translation_config": {"target_languages": ["fr", "de"]},
        "named_entity_recognition": True,
        "sentiment_analysis": True,
    }
    session = await client.start(
        realtime_processing=processing, post_processing={"summarization": True}
    )
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.stop()
        await socket.until_closed()
    after_final = socket.types[socket.types.index("speech_end") + 2 :]
    assert after_final[:4] == [
        "translation",
        "translation",
        "named_entity_recognition",
        "sentiment_analysis",
    ]
    assert after_final[-4:] == [
        "post_transcript",
        "post_summarization",
        "post_final_transcript",
        "end_session",
    ]


async def test_channels_are_heard_apart(client: Client) -> None:
    left, right = tone(400, 0.9) + silence(0.9), silence(0.9) + tone(600, 0.9)
    stereo = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, len(left), 2))
    session = await client.start(channels=2)
    async with client.socket(session["url"]) as socket:
        await socket.say(stereo)
        await socket.stop()
        await socket.until_closed()
    heard = {each["id"]: each["utterance"] for each in socket.finals}
    assert set(heard) == {"00_00000000", "01_00000000"}
    assert heard["00_00000000"]["text"].strip() == text_for(400, 0.9)
    assert heard["01_00000000"]["text"].strip() == text_for(600, 0.9)
    assert heard["01_00000000"]["channel"] == 1
    assert heard["01_00000000"]["start"] == pytest.approx(0.9, abs=0.001)


async def test_result_holds_what_was_said(client: Client) -> None:
    session = await client.start(custom_metadata={"room": "r-1"})
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.stop()
        await socket.until_closed()
    status, job = await client.request("GET", f"/v2/live/{session['id']}")
    assert (status, job["status"], job["custom_metadata"]) == (200, "done", {"room": "r-1"})
    assert job["result"]["transcription"]["full_transcript"] == text_for(440, 1.2)
    assert job["result"]["metadata"]["audio_duration"] == 1.7
    told = [json.loads(text) for text in job["result"]["messages"]]
    assert [each["data"] for each in told if is_final(each)] == socket.finals
    assert job["request_params"]["endpointing"] == BODY["endpointing"]

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvloop

from gladia_emulator.scripted import silence, text_for, tone
from tests.eventually import eventually
from tests.gladia_emulator.client import CHUNK_BYTES, HELLO, Client, Socket, quick, range_of


@asynccontextmanager
async def patient(**changes: Any) -> AsyncIterator[Client]:
    """Serve a client that may take its time after ``stop_recording``."""
    rules = {"close_delay_s": 60.0} | changes
    async with quick(**rules) as emulator, aiohttp.ClientSession() as http:
        yield Client(emulator, http)


async def test_drop_resumes_bytes_clock_and_numbering(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()
        await socket.ws.close(code=4000)
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        first_ack = await socket.until_type("audio_chunk")
        final = (await socket.until_final())["data"]
    assert range_of(first_ack) == (len(HELLO), len(HELLO) + CHUNK_BYTES)
    assert final["id"] == "00_00000001"
    assert final["utterance"]["start"] == pytest.approx(1.7, abs=0.001)
    assert "start_recording" not in socket.types
    assert client.emulator.sessions[session["id"]].connections == 2


async def test_utterance_goes_on_over_a_drop(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(tone(440, 0.6))
        await socket.until(lambda m: m["type"] == "transcript")
        await socket.ws.close(code=4500)
    async with client.socket(session["url"]) as socket:
        await socket.say(tone(440, 0.6) + silence(0.5))
        final = (await socket.until_final())["data"]
    assert (final["id"], final["utterance"]["text"].strip()) == ("00_00000000", text_for(440, 1.2))


async def test_close_with_1000_finishes_in_the_background(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_acknowledged(len(HELLO))
        await socket.ws.close(code=1000)
    await client.emulator.sessions[session["id"]].done.wait()
    assert await client.refusal_of(session["url"]) == 403
    _, job = await client.request("GET", f"/v2/live/{session['id']}")
    assert job["result"]["transcription"]["full_transcript"] == text_for(440, 1.2)


async def test_idle_socket_is_closed_with_4408() -> None:
    async with patient(idle_timeout_s=0.05) as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            frame = await socket.ws.receive()
            while frame.type is aiohttp.WSMsgType.TEXT:
                frame = await socket.ws.receive()
            assert (frame.data, frame.extra) == (4408, "No audio chunk received for 0.05s")
        assert await client.refusal_of(session["url"]) == 403


async def test_client_that_stays_away_loses_its_session() -> None:
    async with patient(resume_window_s=0.05) as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            await socket.ws.close(code=4000)
        await client.emulator.sessions[session["id"]].done.wait()
        assert await client.refusal_of(session["url"]) == 403


async def test_url_that_nobody_uses_expires() -> None:
    async with patient(resume_window_s=0.01) as client:
        session = await client.start()
        await client.emulator.sessions[session["id"]].done.wait()
        assert await client.refusal_of(session["url"]) == 403


@pytest.mark.parametrize("code", [1000, 4408])
async def test_old_session_ends_with_its_finals(code: int) -> None:
    async with patient(max_session_s=0.2, age_close_code=code) as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            await socket.say(tone(440, 0.9))
            assert await socket.until_closed() == code
        assert len(socket.finals) == 1
        assert await client.refusal_of(session["url"]) == 403


async def test_stopping_session_can_be_rejoined_and_still_tells_the_end() -> None:
    async with patient(final_delay_s=(0.2, 0.2), close_delay_s=0.3) as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            await socket.say(tone(440, 0.9))
            await socket.stop()
            await socket.until_type("speech_end")
            socket.ws._response.close()
        live = client.emulator.sessions[session["id"]]
        await eventually(lambda: not live.connected)
        async with client.socket(session["url"]) as socket:
            await socket.stop()
            assert await socket.until_closed() == 1000
        assert socket.types[:1] == ["stop_recording"]
        assert socket.types[-1] == "end_session"
        assert len(socket.finals) == 1


async def test_second_socket_kicks_the_first(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as old, client.socket(session["url"]) as new:
        assert await old.until_closed() == 4409
        await new.say(HELLO)
        await new.until_final()


async def test_second_socket_can_be_refused() -> None:
    async with patient(second_socket="refuse") as client:
        session = await client.start()
        async with client.socket(session["url"]) as socket:
            assert await client.refusal_of(session["url"]) == 409
            await socket.say(HELLO)
            await socket.until_final()


async def test_frames_over_a_mebibyte_are_1009_and_the_fifth_is_the_last(client: Client) -> None:
    session = await client.start()
    for _ in range(5):
        async with client.socket(session["url"]) as socket:
            await socket.ws.send_bytes(bytes(1024 * 1024 + 1))
            assert await socket.until_closed() == 1009
    assert await client.refusal_of(session["url"]) == 403


async def test_a_mebibyte_is_taken(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.ws.send_bytes(bytes(1024 * 1024))
        await socket.until_acknowledged(1024 * 1024)


@pytest.mark.parametrize("replay", [True, False])
async def test_what_was_missed_is_replayed_only_if_the_rules_say_so(replay: bool) -> None:
    async with patient(replay_missed=replay, final_delay_s=(0.2, 0.2)) as client:
        session = await client.start()
        live = client.emulator.sessions[session["id"]]
        async with client.socket(session["url"]) as socket:
            await socket.say(HELLO)
            await socket.until_type("speech_end")
            await socket.ws.close(code=4000)
        await eventually(lambda: live.messages[-1]["type"] == "transcript")
        async with client.socket(session["url"]) as socket:
            await socket.say(silence(0.1))
            await socket.until_type("audio_chunk")
        assert len(socket.finals) == replay


async def test_token_is_not_the_id_and_opens_only_its_session(client: Client) -> None:
    session = await client.start()
    assert session["id"] not in session["url"]
    base = session["url"].split("?")[0]
    for query in ("", "?token=", f"?token={session['id']}"):
        assert await client.refusal_of(base + query) == 403


async def test_leaving_says_going_away() -> None:
    async with aiohttp.ClientSession() as http:
        async with quick() as emulator:
            client = Client(emulator, http)
            session = await client.start()
            socket = Socket(await http.ws_connect(session["url"]))
            await socket.until_type("start_recording")
            closed = asyncio.create_task(socket.until_closed())
        assert await closed == 1001


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_every_event_loop_can_cut_freeze_and_end(run: Callable[[Any], None]) -> None:
    async def main() -> None:
        async with patient(close_delay_s=0) as client:
            session = await client.start()
            async with client.socket(session["url"]) as socket:
                await socket.until_type("start_recording")
                client.emulator.fault("freeze", seconds=0.02)
                await socket.say(HELLO)
                await socket.until_final()
                client.emulator.fault("cut")
                assert await socket.until_closed() == 1006
            async with client.socket(session["url"]) as socket:
                await socket.stop()
                assert await socket.until_closed() == 1000

    run(main())

"""The stub against the service's bridge."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bench.load.gladia import Pace
from bench.load.narrator import Narrator
from bench.load.sound import FRAMES, Sound, decode, find_ffmpeg
from bench.load.stt import Stub
from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.wire import TranscriptMessage, parse
from tests.bench.test_load_sound import adts
from tests.eventually import eventually
from tests.stt.harness import Running, bridged

QUICK = Pace(draft_every_s=0.01, drafts_per_final=4)
SECOND = 32_000
STAMP = re.compile(r"@room-0:(\d+):(\d+)$")


class Serving:
    def __init__(self, stub: Stub, port: int) -> None:
        self.stub, self.url = stub, f"http://127.0.0.1:{port}"
        self.heard = stub.heard["room-0"]

    @property
    def options(self) -> dict[str, Any]:
        return {"config": GladiaConfig(api_url=self.url, api_key="any"), "session": "room-0"}


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    stub = Stub(rooms=2, pace=QUICK)
    async with stub.serving() as port:
        yield Serving(stub, port)


def _stamps(running: Running) -> list[int]:
    return [int(found[1]) for each in running.heard if (found := STAMP.search(each.text))]


async def test_all_audio_is_taken_and_acknowledged(serving: Serving) -> None:
    async with bridged(None, **serving.options) as running:
        running.bridge.send(bytes(SECOND))
        await eventually(lambda: running.metric("audio_acknowledged_bytes_total") == SECOND)
        await running.finish()
    assert serving.heard.pcm_bytes == SECOND
    assert serving.heard.first_pcm_ns is not None
    assert not running.gaps


async def test_drafts_come_and_each_fourth_is_a_final(serving: Serving) -> None:
    async with bridged(None, **serving.options) as running:
        running.bridge.send(bytes(SECOND))
        await running.until(lambda: len(running.heard) >= 8)
        await running.finish()
    assert [each.is_final for each in running.heard[:8]] == [False, False, False, True] * 2
    assert len({each.utterance_id for each in running.heard[:4]}) == 1
    assert len({each.utterance_id for each in running.heard[:8]}) == 2


async def test_stamps_have_no_holes_and_the_stop_ends_with_a_final(serving: Serving) -> None:
    async with bridged(None, **serving.options) as running:
        running.bridge.send(bytes(SECOND))
        await running.until(lambda: len(running.heard) >= 5)
        await running.finish()
    assert _stamps(running) == list(range(serving.heard.stamps_sent))
    assert running.heard[-1].is_final


@pytest.mark.ffmpeg
@pytest.mark.slow
async def test_beeps_are_found_in_what_the_bridge_sends(serving: Serving, beeps: Sound) -> None:
    pcm = decode(find_ffmpeg(), [adts(frame) for frame in beeps.frames])
    assert len(beeps.frames) == FRAMES
    async with bridged(None, **serving.options) as running:
        for start in range(0, len(pcm), 682):
            running.bridge.send(pcm[start : start + 682])
        await running.finish()
    assert [tone for tone, _at_ns in serving.heard.beeps] == list(range(8))
    assert serving.heard.ear.torn == 0


async def _session(http: aiohttp.ClientSession, serving: Serving, **messages: bool) -> str:
    body = {"custom_metadata": {"sessionSlug": "room-0"}, "messages_config": messages}
    async with http.post(f"{serving.url}/v2/live", json=body) as response:
        assert response.status == 201
        return str((await response.json())["url"])


async def test_what_was_declined_is_not_sent(serving: Serving) -> None:
    declined = dict.fromkeys(
        ["receive_acknowledgments", "receive_speech_events", "receive_final_transcripts"], False
    )
    async with aiohttp.ClientSession() as http:
        url = await _session(http, serving, receive_partial_transcripts=True, **declined)
        async with http.ws_connect(url) as socket:
            await socket.send_bytes(bytes(640))
            messages = [parse((await socket.receive()).data) for _ in range(4)]
    assert all(isinstance(m, TranscriptMessage) and not m.is_final for m in messages)


async def test_base64_audio_counts_as_well_and_a_cut_socket_goes_on(serving: Serving) -> None:
    async with aiohttp.ClientSession() as http:
        url = await _session(http, serving)
        for part in range(2):
            async with http.ws_connect(url) as socket:
                await socket.send_json({"type": "audio_chunk", "data": {"chunk": "AAAA"}})
                ack = await socket.receive_json()
                assert ack["data"]["byte_range"] == [3 * part, 3 * part + 3]
                await socket.close(code=4000)
    assert serving.heard.pcm_bytes == 6


async def test_a_session_that_is_over_cannot_be_joined(serving: Serving) -> None:
    async with aiohttp.ClientSession() as http:
        url = await _session(http, serving)
        async with http.ws_connect(url) as socket:
            await socket.send_json({"type": "stop_recording"})
            assert (await socket.receive_json())["acknowledged"] is True
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1000
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url)
        async with http.get(f"{serving.url}/v2/live/any") as response:
            assert response.status == 404


def test_a_draft_is_the_whole_text_so_far_and_lies_within_its_words() -> None:
    narrator = Narrator("any", "room-0", drafts_per_final=3)
    said = [parse(narrator.next(seq, 77, 1.0 + seq)) for seq in range(4)]
    first, second, third, fourth = (m for m in said if isinstance(m, TranscriptMessage))
    assert second.text.startswith(first.text.removesuffix(" @room-0:0:77"))
    assert [m.is_final for m in (first, second, third, fourth)] == [False, False, True, False]
    assert (third.start_s, third.end_s) == (1.0, 3.0)
    assert third.words[-1].text == "@room-0:2:77"
    assert fourth.start_s == 4.0

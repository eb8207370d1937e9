"""The proof that the emulator is faithful: the official client works with it unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gladiaio_sdk import GladiaClient

from gladia_emulator.scripted import silence, text_for, tone
from gladia_emulator.server import Emulator
from tests.gladia_emulator.client import CHUNK_BYTES, HELLO, KEY, quick

OPTIONS: dict[str, Any] = {
    "encoding": "wav/pcm",
    "sample_rate": 16000,
    "bit_depth": 16,
    "channels": 1,
    "endpointing": 0.3,
    "maximum_duration_without_endpointing": 15,
    "language_config": {"languages": ["en"], "code_switching": False},
    "custom_metadata": {"sessionSlug": "weekly"},
    "messages_config": {
        "receive_partial_transcripts": True,
        "receive_lifecycle_events": True,
        "receive_acknowledgments": True,
    },
}


class SdkSession:
    """A session of the official SDK, and what it told its listeners."""

    def __init__(self, client: Any, **options: Any) -> None:
        self.messages: list[Any] = []
        self.errors: list[Exception] = []
        self.statuses: list[str] = []
        self.ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self.session = client.start_session(OPTIONS | options)
        self.session.on("message", self._heard)
        self.session.on("error", self._failed)
        self.session.on("ended", self.ended.set_result)
        for status in ("started", "connecting", "connected", "ending"):
            self.session.on(status, lambda _=None, name=status: self._went(name))

    async def until(self, wanted: Any) -> None:
        """Return when ``wanted()`` is true."""
        async with asyncio.timeout(5):
            while not wanted():
                self._changed.clear()
                await self._changed.wait()

    async def until_type(self, kind: str) -> None:
        """Return when a message of this type came."""
        await self.until(lambda: any(each.type == kind for each in self.messages))

    async def until_finals(self, count: int) -> None:
        """Return when so many finals came."""
        await self.until(lambda: len(self.finals) >= count)

    def say(self, pcm: bytes) -> None:
        """Send audio in chunks of 100 ms."""
        for start in range(0, len(pcm), CHUNK_BYTES):
            self.session.send_audio(pcm[start : start + CHUNK_BYTES])

    @property
    def transcripts(self) -> list[Any]:
        """The data of all drafts and finals."""
        return [each.data for each in self.messages if each.type == "transcript"]

    @property
    def finals(self) -> list[Any]:
        """The data of all finals."""
        return [each for each in self.transcripts if each.is_final]

    @property
    def texts(self) -> list[str]:
        """The text of all finals."""
        return [each.utterance.text.strip() for each in self.finals]

    def _heard(self, message: Any) -> None:
        self.messages.append(message)
        self._changed.set()

    def _failed(self, error: Exception) -> None:
        self.errors.append(error)

    def _went(self, status: str) -> None:
        self.statuses.append(status)
        self._changed.set()


@asynccontextmanager
async def sdk(emulator: Emulator, key: str = KEY) -> AsyncIterator[Any]:
    """Yield the SDK's client for live sessions."""
    client = GladiaClient(api_key=key, api_url=emulator.url).live_v2_async()
    try:
        yield client
    finally:
        await client._http_client.close()  # the SDK has no public way to close it


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with quick() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[Any]:
    async with sdk(emulator) as client:
        yield client


async def test_session_from_start_to_stop(client: Any) -> None:
    sdk_session = SdkSession(client)
    await sdk_session.until(lambda: "connected" in sdk_session.statuses)
    sdk_session.say(HELLO)
    await sdk_session.until_finals(1)
    sdk_session.session.stop_recording()
    ended = await sdk_session.ended
    assert (ended.code, sdk_session.errors) == (1000, [])
    assert sdk_session.statuses == ["started", "connecting", "connected", "ending"]
    assert sdk_session.texts == [text_for(440, 1.2)]
    drafts = [each for each in sdk_session.transcripts if not each.is_final]
    assert len(drafts) >= 3
    assert {each.id for each in drafts} == {sdk_session.finals[0].id}


async def test_every_message_has_a_type_the_sdk_knows(client: Any) -> None:
    sdk_session = SdkSession(
        client,
        realtime_processing={
            "translation": True,
            "translation_config": {"target_languages": ["fr"]},
            "named_entity_recognition": True,
            "sentiment_analysis": True,
        },
        post_processing={"summarization": True},
    )
    sdk_session.say(HELLO)
    await sdk_session.until_finals(1)
    sdk_session.session.stop_recording()
    await sdk_session.ended
    names = {type(each).__name__ for each in sdk_session.messages}
    assert "LiveV2UnknownWebSocketMessage" not in names
    assert len(names) == 15  # all that the SDK has
    assert sdk_session.errors == []


async def test_cut_is_resumed_without_loss(emulator: Emulator, client: Any) -> None:
    sdk_session = SdkSession(client)
    sdk_session.say(HELLO)
    await sdk_session.until_finals(1)
    emulator.fault("cut", code=1006)
    await sdk_session.until(lambda: sdk_session.statuses.count("connecting") == 2)
    sdk_session.say(tone(700, 0.9) + silence(0.5))  # while it is away
    await sdk_session.until_finals(2)
    sdk_session.session.stop_recording()
    await sdk_session.ended
    assert sdk_session.texts == [text_for(440, 1.2), text_for(700, 0.9)]
    assert [each.id for each in sdk_session.finals] == ["00_00000000", "00_00000001"]
    (live,) = emulator.sessions.values()
    assert live.connections == 2
    assert live.pcm == HELLO + tone(700, 0.9) + silence(0.5)


@pytest.mark.parametrize("code", [1006, 1011, 1012, 4500])
async def test_lost_in_flight_audio_is_sent_again(
    emulator: Emulator, client: Any, code: int
) -> None:
    spoken = HELLO + tone(620, 0.9) + silence(0.5)
    emulator.fault(
        "cut", code=code, after_bytes=16_000, in_flight="lost", in_flight_bytes=6 * CHUNK_BYTES
    )
    sdk_session = SdkSession(client)
    sdk_session.say(spoken)
    await sdk_session.until_finals(2)
    sdk_session.session.stop_recording()
    await sdk_session.ended
    (live,) = emulator.sessions.values()
    assert live.pcm == spoken
    assert sdk_session.texts == [text_for(440, 1.2), text_for(620, 0.9)]


async def test_fatal_close_code_ends_the_session(emulator: Emulator, client: Any) -> None:
    sdk_session = SdkSession(client)
    await sdk_session.until_type("start_recording")
    emulator.fault("cut", code=4408, reason="No audio chunk received for 30s")
    ended = await sdk_session.ended
    assert (ended.code, ended.reason) == (4408, "No audio chunk received for 30s")


async def test_jobs_can_be_read_listed_and_deleted(emulator: Emulator, client: Any) -> None:
    sdk_session = SdkSession(client)
    sdk_session.say(HELLO)
    await sdk_session.until_finals(1)
    session_id = await sdk_session.session.get_session_id()
    assert (await client.get(session_id)).status == "processing"
    sdk_session.session.stop_recording()
    await sdk_session.ended
    job = await client.get(session_id)
    assert (job.status, job.result.transcription.full_transcript) == ("done", text_for(440, 1.2))
    assert json.loads(job.result.messages[-1])["type"] == "end_session"
    found = await client.list({"custom_metadata": {"sessionSlug": "weekly"}})
    assert [each.id for each in found.items] == [session_id]
    assert (await client.get_file(session_id)).endswith(HELLO)
    assert await client.delete(session_id)
    assert emulator.sessions == {}


async def test_wrong_key_is_an_error_of_the_sdk(emulator: Emulator) -> None:
    async with sdk(emulator, key="wrong") as client:
        with pytest.raises(Exception, match="gladia user not found"):
            await client.list()

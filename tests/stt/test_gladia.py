"""The bridge when all is well, and when it ends."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from realtime_core.metrics import Metrics
from realtime_core.model import AudioGap, SpeechBoundary, SpeechHeard, SttEvent, SttStatus
from realtime_core.stt.config import Waits
from realtime_core.stt.gladia import GladiaBridge
from tests.eventually import eventually
from tests.stt.fake_gladia import API_KEY, FakeGladia, transcript
from tests.stt.harness import QUICK, bridged, config, speech


async def test_socket_is_open_before_the_first_audio(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        await (await gladia.session()).connected()
        await running.until(lambda: running.events)
    assert running.events[0] == SttStatus(True, "speech-to-text connected")


async def test_session_is_asked_for_with_the_key_and_named(gladia: FakeGladia) -> None:
    async with bridged(gladia, config=config(gladia, region="eu-west")):
        await gladia.session()
    headers, query, body = gladia.posts[0]
    assert headers["x-gladia-key"] == API_KEY
    assert query == {"region": "eu-west"}
    assert body["custom_metadata"] == {"sessionSlug": "weekly"}


async def test_audio_that_came_before_run_is_sent_too(gladia: FakeGladia) -> None:
    audio = speech(0.5)
    async with bridged(gladia) as running:
        running.bridge.send(audio)
        session = await gladia.session()
        await session.heard(len(audio))
    assert session.audio == audio


async def test_transcripts_come_out_stripped(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        await session.hear_speech(0.1)
        await session.say("Hello wor", 0.1, 0.9)
        await session.say("Hello world", 0.1, 1.2, final=True)
        await session.hear_speech(1.2, start=False)
        await running.until(lambda: len(running.of(SpeechBoundary)) == 2)
    draft, final = running.heard
    assert (draft.text, draft.is_final, final.text, final.is_final) == (
        *("Hello wor", False),
        *("Hello world", True),
    )
    assert (final.stt_session_id, final.utterance_id) == ("stt-0", "00_00000000")
    assert (final.start_s, final.end_s, final.words[0].text) == (0.1, 1.2, "Hello world")
    assert running.of(SpeechBoundary) == [SpeechBoundary(0.1, True), SpeechBoundary(1.2, False)]


async def test_what_cannot_be_understood_is_counted_and_passed_over(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        for text in ('{"type":"transc', '{"type":"transcript","data":null}', '{"type":"novelty"}'):
            await session.send(text)
        await session.send(json.dumps({"type": "error", "data": {"message": "oh"}}))
        await session.say("still here", 0, 1, final=True)
        await running.until(lambda: running.heard)
    assert running.metric("stt_messages_total", type="malformed") == 2
    assert running.metric("stt_messages_total", type="unknown") == 1


async def test_acknowledged_audio_is_let_go(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        running.bridge.send(speech(1))
        await eventually(lambda: running.bridge.statistics().acknowledged_bytes == 32_000)
        statistics = running.bridge.statistics()
        assert (statistics.sent_bytes, statistics.unacknowledged_s) == (32_000, 0)
        assert statistics.connected
        assert running.metric("stt_connections") == 1
    assert running.metric("stt_connections") == 0


async def test_a_backlog_goes_out_in_frames_the_provider_takes(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        running.bridge.send(speech(30))
        session = await gladia.session()
        await session.heard(30 * 32_000)
    assert max(session.frames) <= 256 * 1024
    assert all(size % 2 == 0 for size in session.frames)


async def test_half_a_sample_waits_for_its_other_half(gladia: FakeGladia) -> None:
    audio = speech(0.25)
    async with bridged(gladia) as running:
        session = await gladia.session()
        running.bridge.send(audio[:3201])
        await session.heard(3200)
        running.bridge.send(audio[3201:])
        await running.finish()
    assert session.audio == audio
    assert session.frames[0] == 3200


async def test_chunks_can_be_given_a_least_length(gladia: FakeGladia) -> None:
    async with bridged(gladia, chunk_ms=100) as running:
        session = await gladia.session()
        for at in range(10):
            running.bridge.send(speech(0.04, first=at * 640))
            await asyncio.sleep(0)
        await running.finish()
    assert min(session.frames[:-1]) >= 3200
    assert session.audio == speech(0.4)


async def test_pieces_that_come_in_one_turn_of_the_loop_go_as_one_chunk(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        await running.until(lambda: running.events)
        for first in (0, 640, 1_280):
            running.bridge.send(speech(0.04, first=first))
        await session.heard(3_840)
        running.bridge.send(speech(0.04, first=1_920))
        await session.heard(5_120)
    assert session.frames == [3_840, 1_280]
    assert session.audio == speech(0.16)


async def test_a_fault_of_who_listens_ends_the_bridge_and_is_told(gladia: FakeGladia) -> None:
    def stumble(event: SttEvent) -> None:
        if isinstance(event, SpeechHeard):
            raise ZeroDivisionError

    async with aiohttp.ClientSession() as http:
        bridge = GladiaBridge(config(gladia), Metrics(), http, session="weekly", waits=QUICK)
        running = asyncio.create_task(bridge.run(stumble))
        await (await gladia.session()).say("boom", 0, 0.5)
        with pytest.raises(ExceptionGroup) as caught:
            await running
    assert caught.group_contains(ZeroDivisionError)
    assert len(gladia.posts) == 1


async def test_the_end_waits_for_the_last_finals(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        session.last_words = [("goodbye", 0.2, 0.9, 7)]
        running.bridge.send(speech(1))
        await running.finish()
    assert [heard.text for heard in running.heard] == ["goodbye"]
    assert (session.stops, len(session.audio), gladia.gets) == (1, 32_000, 0)


async def test_what_comes_after_the_end_is_ignored(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        await running.finish()
        running.bridge.send(speech(1))
        running.bridge.end()
        assert running.bridge.statistics().unacknowledged_s == 0
    assert not running.gaps


async def test_audio_that_came_and_ended_before_run_is_transcribed(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        running.bridge.send(speech(1))
        await running.finish()
    assert gladia.sessions[0].audio == speech(1)


async def test_without_audio_the_end_is_clean_too(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        await running.finish()
    assert session.stops == 1
    assert not running.gaps


async def test_ended_before_it_began_nobody_is_asked(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        await running.finish()
    assert not gladia.posts


async def test_finals_that_did_not_come_in_time_are_looked_up(gladia: FakeGladia) -> None:
    async with bridged(gladia, drain_timeout_s=0.05) as running:
        session = await gladia.session()
        session.closes_after_stop = False
        await session.say("known", 0, 0.5, final=True, number=0)
        running.bridge.send(speech(1))
        session.result = {"status": "done", "result": {"messages": _two_finals()}}
        await running.finish()
    assert [heard.text for heard in running.heard] == ["known", "late"]
    assert session.stops == 1
    assert not running.gaps


async def test_a_provider_that_never_finishes_does_not_hold_up_the_end(gladia: FakeGladia) -> None:
    async with bridged(gladia, drain_timeout_s=0.05) as running:
        session = await gladia.session()
        session.closes_after_stop = False
        session.result = {"status": "processing"}
        running.bridge.send(speech(1))
        await running.finish()
    assert gladia.gets > 1  # it was asked until its time was over
    assert not running.heard


async def test_audio_that_nobody_took_by_the_end_is_a_gap(gladia: FakeGladia) -> None:
    async with bridged(gladia, drain_timeout_s=0.05) as running:
        session = await gladia.session()
        session.counts = session.closes_after_stop = False
        running.bridge.send(speech(1.5))
        await running.finish()
    assert running.gaps == [AudioGap(0.0, 1.5, "stt unavailable")]
    assert running.metric("audio_dropped_seconds_total", stage="stt") == 1.5
    assert running.metric("stt_unacknowledged_seconds") == 0


async def test_cancelled_it_gives_the_providers_place_back(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        session.closes_after_stop = False
        running.bridge.send(speech(1))
        await session.heard(32_000)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
    await session.left()
    assert (session.stops, session.closed_with) == (1, [1000])


async def test_cancelled_beside_a_dead_link_it_is_gone_in_time(gladia: FakeGladia) -> None:
    waits = Waits(farewell_s=0.05)
    async with bridged(gladia, waits=waits) as running:
        session = await gladia.session()
        session.freeze()
        running.bridge.send(speech(60))
        running.task.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await running.task


async def test_an_old_session_is_replaced_in_silence_without_a_seam(gladia: FakeGladia) -> None:
    async with bridged(gladia, max_session_s=0.1) as running:
        first = await gladia.session()
        first.last_words = [("first", 0.2, 0.9, 0)]
        running.bridge.send(speech(1))
        await first.stopped()
        running.bridge.send(speech(1, first=16_000))
        second = await gladia.session(1)
        await second.heard(32_000)
        await second.say("second", 0.25, 0.5)
        await running.until(lambda: len(running.heard) == 2)
    assert first.audio + second.audio == speech(2)
    assert [(each.text, each.start_s) for each in running.heard] == [
        ("first", 0.2),
        ("second", 1.25),
    ]
    assert running.statuses == [True]  # nobody needs to know


async def test_an_old_session_may_finish_its_sentence(gladia: FakeGladia) -> None:
    waits = Waits(tick_s=0.01, rotate_grace_s=0.1)
    async with bridged(gladia, max_session_s=0.05, waits=waits) as running:
        loop = asyncio.get_running_loop()
        session = await gladia.session()
        began = loop.time()
        await session.say("and then", 0, 0.0)
        running.bridge.send(speech(1))
        await running.until(lambda: running.statuses)
        await session.say("and then", 0, 0.9)
        await session.stopped()
    assert loop.time() - began > 0.1


async def test_an_old_session_that_does_not_finish_is_left(gladia: FakeGladia) -> None:
    async with bridged(gladia, max_session_s=0.05, drain_timeout_s=0.05) as running:
        first = await gladia.session()
        first.closes_after_stop = False
        first.result = {"status": "done", "result": {"messages": _two_finals()}}
        running.bridge.send(speech(1))
        await first.left()
        running.bridge.send(speech(1, first=16_000))
        second = await gladia.session(1)
        await second.heard(32_000)
        await running.finish()
    assert first.closed_with == [1000]
    assert first.audio + second.audio == speech(2)
    assert [heard.text for heard in running.heard] == ["known", "late"]
    assert running.metric("stt_drops_total", code="drain_timeout") == 1


async def test_an_idle_session_is_ended_and_the_next_begins_with_audio(gladia: FakeGladia) -> None:
    waits = Waits(tick_s=0.01, idle_s=0.05)
    async with bridged(gladia, waits=waits) as running:
        first = await gladia.session()
        await first.stopped()
        await first.left()
        assert len(gladia.posts) == 1
        running.bridge.send(speech(1))
        second = await gladia.session(1)
        await second.heard(32_000)
    assert not first.audio
    assert second.audio == speech(1)


def _two_finals() -> list[str]:
    return [
        json.dumps(transcript("known", 0, 0.5, final=True, number=0)),
        json.dumps(transcript("la", 0.6, 0.7, final=False, number=1)),
        json.dumps(transcript("late", 0.6, 0.9, final=True, number=1)),
    ]

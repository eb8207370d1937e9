"""The bridge while the provider, or the way to it, breaks."""

from __future__ import annotations

import logging

import pytest
import structlog

from realtime_core.errors import SttRejected, SttUnavailable
from realtime_core.model import AudioGap, SttStatus
from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.gladia import pause_s
from tests.eventually import eventually
from tests.stt.fake_gladia import API_KEY, Answer, FakeGladia, FakeSession
from tests.stt.harness import Pauses, Running, bridged, speech

SECOND = 32_000


async def _cut_in_flight(session: FakeSession, running: Running) -> None:
    """Let a second be counted whose acknowledgements never arrive, then cut the socket."""
    session.acknowledges = False
    running.bridge.send(speech(1, first=16_000))
    await session.heard(2 * SECOND)
    session.acknowledges = True
    session.cut()


async def _first_second(gladia: FakeGladia, running: Running) -> FakeSession:
    session = await gladia.session()
    running.bridge.send(speech(1))
    await eventually(lambda: running.bridge.statistics().acknowledged_bytes == SECOND)
    return session


# The socket drops: the same url.


async def test_audio_whose_acknowledgement_was_lost_is_not_sent_twice(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        await _cut_in_flight(session, running)
        await session.connected(2)
        running.bridge.send(speech(1, first=32_000))
        await session.heard(3 * SECOND)
        await session.say("on time", 2.5, 2.75)
        await running.until(lambda: running.heard)
        await running.finish()
    assert session.audio == speech(3)
    assert (running.heard[0].start_s, running.heard[0].words[0].end_s) == (2.5, 2.75)
    assert running.metric("stt_resent_bytes_total") == 0
    assert running.metric("stt_drops_total", code="1006") == 1
    assert running.metric("stt_connects_total", kind="resume") == 1


async def test_audio_that_the_drop_swallowed_is_sent_again(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.counts = False
        running.bridge.send(speech(1, first=16_000))
        await eventually(lambda: running.bridge.statistics().sent_bytes == 2 * SECOND)
        session.cut()
        session.counts = True
        await session.heard(2 * SECOND)
        await running.finish()
    assert session.audio == speech(2)
    assert running.metric("stt_resent_bytes_total") == SECOND


async def test_where_empty_chunks_go_unanswered_a_moment_is_doubled_and_times_stay_right(
    gladia: FakeGladia,
) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.answers_empty_chunks = False
        await _cut_in_flight(session, running)
        running.bridge.send(speech(1, first=32_000))
        await session.heard(3 * SECOND + 642)
        await session.say("on time", 2.5 + 642 / SECOND, 2.75 + 642 / SECOND)
        await running.until(lambda: running.heard)
    assert session.audio == speech(2) + speech(642 / SECOND, first=16_000) + speech(1, first=32_000)
    assert running.heard[0].start_s == pytest.approx(2.5)
    assert running.heard[0].words[0].end_s == pytest.approx(2.75)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4500, 4000])
async def test_these_close_codes_are_followed_by_the_same_session(
    gladia: FakeGladia, code: int
) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        await session.close(code)
        await session.connected(2)
        running.bridge.send(speech(1, first=16_000))
        await session.heard(2 * SECOND)
        await running.until(lambda: running.statuses == [True, False, True])
    assert len(gladia.posts) == 1


async def test_a_link_without_acknowledgements_is_dropped(gladia: FakeGladia) -> None:
    async with bridged(gladia, ack_timeout_s=0.05) as running:
        session = await _first_second(gladia, running)
        session.acknowledges = False
        running.bridge.send(speech(1, first=16_000))
        await session.heard(2 * SECOND)
        session.acknowledges = True
        await session.connected(2)
        running.bridge.send(speech(1, first=32_000))
        await session.heard(3 * SECOND)
    assert session.audio == speech(3)
    assert running.metric("stt_drops_total", code="ack_timeout") == 1


async def test_a_frozen_provider_is_left_for_a_fresh_session(gladia: FakeGladia) -> None:
    async with bridged(gladia, ack_timeout_s=0.05) as running:
        session = await _first_second(gladia, running)
        session.acknowledges = session.answers_empty_chunks = False
        running.bridge.send(speech(1, first=16_000))
        second = await gladia.session(1)
        await second.heard(SECOND)
        await second.say("again", 0.5, 0.75)
        await running.until(lambda: running.heard)
    assert running.metric("stt_drops_total", code="unsettled") == 3
    origin_s = 2 - len(second.audio) / SECOND
    assert origin_s <= 1
    assert running.heard[0].start_s == pytest.approx(origin_s + 0.5)


async def test_a_stop_is_sent_again_after_a_resume(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.closes_after_stop = False
        running.bridge.end()
        await session.stopped()
        session.closes_after_stop = True
        session.last_words = [("at last", 0.1, 0.9, 0)]
        session.cut()
        await running.task
    assert (session.stops, running.heard[0].text) == (2, "at last")


async def test_a_stop_that_arrived_unanswered_stands_for_all_the_audio(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.acknowledges = session.closes_after_stop = False
        running.bridge.send(speech(1, first=16_000))
        running.bridge.end()
        await session.stopped()
        session.refuses_audio = session.closes_after_stop = True
        session.cut()
        await running.task
    assert session.audio == speech(2)
    assert session.stops == 2
    assert not running.gaps
    assert len(gladia.posts) == 1


async def test_a_provider_that_lost_acknowledged_audio_is_denounced(gladia: FakeGladia) -> None:
    with structlog.testing.capture_logs() as lines:
        async with bridged(gladia) as running:
            session = await _first_second(gladia, running)
            session.counts = False
            running.bridge.send(speech(1, first=16_000))
            await eventually(lambda: running.bridge.statistics().sent_bytes == 2 * SECOND)
            session.cut()
            del session.audio[SECOND // 2 :]
            session.counts = True
            await session.heard(SECOND * 3 // 2)
            await session.say("on time", 0.75, 1.0)
            await running.until(lambda: running.heard)
    assert running.heard[0].start_s == 1.25
    assert "Gladia lost audio that it had acknowledged" in [line["event"] for line in lines]


async def test_after_a_drop_the_finals_are_looked_up_in_the_end(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.cut()
        await session.connected(2)
        await running.finish()
    assert gladia.gets == 1


# The session is gone: a new one.


@pytest.mark.parametrize("code", [1000, 4400, 4408])
async def test_these_close_codes_are_followed_by_a_new_session(
    gladia: FakeGladia, code: int
) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        await session.say("done", 0, 0.5, final=True)
        await running.until(lambda: running.heard)
        await session.close(code)
        running.bridge.send(speech(1, first=16_000))
        second = await gladia.session(1)
        await second.heard(int(1.5 * SECOND))
        await second.say("later", 0.6, 0.75, final=True)
        await running.until(lambda: len(running.heard) == 2)
    # What was final is not said again; what was not, is.
    assert second.audio == speech(1.5, first=8_000)
    assert (running.heard[1].stt_session_id, running.heard[1].start_s) == ("stt-1", 1.1)
    assert running.metric("stt_drops_total", code=str(code)) == 1


async def test_a_new_session_hears_the_open_utterance_from_its_start(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await gladia.session()
        running.bridge.send(speech(5))
        await session.heard(5 * SECOND)
        await session.say("before", 0.0, 2.0, final=True)
        await session.say("I was say", 3.0, 4.5, number=1)
        await running.until(lambda: len(running.heard) == 2)
        await session.close(4408)
        second = await gladia.session(1)
        await second.heard(2 * SECOND)
        await eventually(lambda: running.bridge.statistics().unacknowledged_s == 0)
    assert second.audio == speech(2.2, first=round(2.8 * 16_000))


async def test_a_refused_resume_leads_to_a_new_session_at_once(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        gladia.refused_handshakes.append(403)
        session.cut()
        await gladia.session(1)
    assert (session.sockets, len(gladia.posts)) == (1, 2)
    assert running.metric("stt_drops_total", code="session_gone") == 1


async def test_a_resume_that_fails_again_and_again_leads_to_a_new_session(
    gladia: FakeGladia,
) -> None:
    pauses = Pauses()
    async with bridged(gladia, delays=pauses) as running:
        session = await _first_second(gladia, running)
        gladia.refused_handshakes.extend([502, 500, 503])
        session.cut()
        await gladia.session(1)
    assert len(gladia.posts) == 2
    assert pauses.taken == [0, 1, 2, 3]
    assert running.metric("stt_drops_total", code="unreachable") == 3


async def test_sockets_that_are_accepted_and_closed_make_the_pauses_grow(
    gladia: FakeGladia,
) -> None:
    pauses = Pauses()
    gladia.closes_at_once = 1011
    async with bridged(gladia, delays=pauses) as running:
        running.bridge.send(speech(1))
        await gladia.until(lambda: len(gladia.posts) == 3)
        gladia.closes_at_once = None
        await gladia.until(lambda: any(session.audio for session in gladia.sessions))
        await running.until(lambda: len(running.statuses) == 3)
    assert pauses.taken[:6] == [0, 1, 2, 3, 4, 5]
    assert running.statuses == [True, False, True]


async def test_a_refused_chunk_leads_to_a_new_session_without_a_hole(gladia: FakeGladia) -> None:
    async with bridged(gladia) as running:
        session = await _first_second(gladia, running)
        session.refuses_audio = True
        running.bridge.send(speech(1, first=16_000))
        second = await gladia.session(1)
        await second.heard(2 * SECOND)
    assert second.audio == speech(2)
    assert running.metric("stt_drops_total", code="refused") == 1


async def test_an_absence_longer_than_the_replay_is_dated_counted_and_told(
    gladia: FakeGladia,
) -> None:
    async with bridged(gladia, replay_s=2.0) as running:
        session = await _first_second(gladia, running)
        await session.say("done", 0, 1.0, final=True)
        await running.until(lambda: running.heard)
        gladia.answers.append(Answer(503))
        for second in range(1, 6):  # all in one go: nothing can be sent in between
            running.bridge.send(speech(1, first=second * 16_000))
        second_session = await gladia.session(1)
        await second_session.heard(2 * SECOND)
        await second_session.say("back", 0.5, 0.9, final=True)
        await running.until(lambda: len(running.heard) == 2)
    assert second_session.audio == speech(2, first=4 * 16_000)
    assert running.gaps == [AudioGap(1.0, 4.0, "stt unavailable")]
    assert running.metric("audio_dropped_seconds_total", stage="stt") == 3.0
    assert running.heard[1].start_s == 4.5


# The session request is refused.


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
async def test_these_refusals_are_final(gladia: FakeGladia, status: int) -> None:
    gladia.answers.append(Answer(status, {"message": f"no place for {API_KEY}"}))
    async with bridged(gladia) as running:
        with pytest.raises(SttRejected, match=f"HTTP {status}: no place for") as caught:
            await running.task
    assert running.events == [SttStatus(False, "speech-to-text refused", final=True)]
    assert API_KEY not in str(caught.value)
    assert running.metric("stt_session_refusals_total", status=str(status)) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503])
async def test_these_refusals_are_tried_again(gladia: FakeGladia, status: int) -> None:
    gladia.answers.extend([Answer(status), Answer(status, "<html>")])
    pauses = Pauses()
    async with bridged(gladia, delays=pauses) as running:
        running.bridge.send(speech(1))
        await running.until(lambda: len(running.events) == 2)
    assert pauses.taken == [0, 1]
    assert running.statuses == [False, True]
    assert running.metric("stt_session_refusals_total", status=str(status)) == 2


async def test_too_many_sessions_have_pauses_of_their_own(gladia: FakeGladia) -> None:
    gladia.answers.extend([Answer(429, {"message": "Maximum"}), Answer(429)])
    quick, slow = Pauses(), Pauses()
    async with bridged(gladia, delays=quick, slow_delays=slow) as running:
        await gladia.session()
        assert running.events[0] == SttStatus(False, "too many STT sessions")
    assert (quick.taken, slow.taken) == ([], [0, 1])


def test_a_longer_wait_that_the_provider_asks_for_is_granted() -> None:
    quick, slow = iter([1.0]), iter([2.0, 3.0])
    patient = SttUnavailable("HTTP 429", slow_down=True, retry_after_s=20.0)
    hasty = SttUnavailable("HTTP 429", slow_down=True, retry_after_s=0.0)
    assert pause_s(patient, quick, slow) == 20.0
    assert pause_s(hasty, quick, slow) == 3.0
    assert pause_s(SttUnavailable("HTTP 503"), quick, slow) == 1.0


async def test_an_unreachable_provider_is_tried_again(gladia: FakeGladia) -> None:
    pauses = Pauses()
    nowhere = GladiaConfig("http://127.0.0.1:1", API_KEY)
    async with bridged(gladia, delays=pauses, config=nowhere) as running:
        await eventually(lambda: len(pauses.taken) > 3)
    assert running.statuses == [False]


async def test_an_answer_that_points_elsewhere_is_not_followed(gladia: FakeGladia) -> None:
    gladia.socket_url = "ws://169.254.169.254/latest"
    async with bridged(gladia) as running:
        with pytest.raises(SttRejected, match="foreign host"):
            await running.task


async def test_the_key_follows_no_redirect(gladia: FakeGladia) -> None:
    gladia.answers.append(Answer(307, headers={"Location": gladia.url + "/v2/live?again"}))
    async with bridged(gladia) as running:
        with pytest.raises(SttRejected, match="HTTP 307"):
            await running.task
    assert len(gladia.posts) == 1


async def test_neither_token_nor_key_reaches_a_log_and_text_only_debug(
    gladia: FakeGladia, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        async with bridged(gladia) as running:
            session = await _first_second(gladia, running)
            await session.say("a secret plan", 0, 0.5)
            gladia.refused_handshakes.extend([500, 302, 403])
            session.cut()
            await gladia.session(1)
    everything = caplog.text + repr(lines)
    assert "Gladia session started" in everything
    assert all(word not in everything for word in (API_KEY, "token="))
    telling = [line for line in lines if "secret plan" in repr(line)]
    assert {line["log_level"] for line in telling} == {"debug"}


async def test_the_websocket_follows_no_redirect(gladia: FakeGladia) -> None:
    gladia.refused_handshakes.append(302)
    async with bridged(gladia) as running:
        session = await gladia.session()
        assert running.metric("stt_drops_total", code="unreachable") == 1
    assert session.sockets == 1

"""The bridge against the emulator: the words that were spoken come out, once, at their time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gladia_emulator.scripted import silence, text_for, tone
from gladia_emulator.server import Emulator
from realtime_core.stt.config import GladiaConfig
from tests.eventually import eventually
from tests.stt.harness import Running, bridged

SECOND = 32_000
PAUSE = silence(0.5)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(final_delay_s=(0.0, 0.0), close_delay_s=0.0) as emulator:
        yield emulator


def _options(emulator: Emulator) -> dict[str, object]:
    return {"config": GladiaConfig(api_url=emulator.url, api_key=emulator.api_key)}


def _finals(running: Running) -> list[tuple[str, float, float]]:
    finals = {heard.utterance_id: heard for heard in running.heard if heard.is_final}
    return sorted(
        ((each.text, round(each.start_s, 2), round(each.end_s, 2)) for each in finals.values()),
        key=lambda final: final[1],
    )


async def test_drafts_and_finals_come_at_their_time(emulator: Emulator) -> None:
    audio = silence(1.0) + tone(440, 0.6) + PAUSE + tone(880, 0.9) + PAUSE
    async with bridged(None, **_options(emulator)) as running:
        running.bridge.send(audio)
        await running.finish()
    (session,) = emulator.sessions.values()
    assert session.pcm == audio
    assert _finals(running) == [(text_for(440, 0.6), 1.0, 1.6), (text_for(880, 0.9), 2.1, 3.0)]
    drafts = [heard for heard in running.heard if not heard.is_final]
    assert drafts
    assert all(text_for(440, 0.6).startswith(draft.text) for draft in drafts[:1])


@pytest.mark.parametrize("in_flight", ["counted", "lost"])
@pytest.mark.parametrize("code", [1006, 1011, 4500])
async def test_a_cut_socket_leaves_no_trace(emulator: Emulator, in_flight: str, code: int) -> None:
    audio = tone(440, 0.6) + PAUSE + tone(880, 0.9) + PAUSE
    async with bridged(None, **_options(emulator)) as running:
        emulator.fault(
            "cut", code=code, in_flight=in_flight, in_flight_bytes=9_600, after_bytes=SECOND // 2
        )
        await _stream(running, audio)
        await running.finish()
    (session,) = emulator.sessions.values()
    assert session.pcm == audio
    assert _finals(running) == [(text_for(440, 0.6), 0.0, 0.6), (text_for(880, 0.9), 1.1, 2.0)]
    assert running.metric("stt_drops_total", code=str(code)) == 1


@pytest.mark.slow
async def test_twenty_cuts_in_a_row_leave_no_trace(emulator: Emulator) -> None:
    pieces = [tone(400 + 20 * n, 0.6) + PAUSE for n in range(20)]
    async with bridged(None, **_options(emulator)) as running:
        for number, piece in enumerate(pieces):
            in_flight = "counted" if number % 2 else "lost"
            fault = emulator.fault("cut", in_flight=in_flight, in_flight_bytes=6_400)
            await _stream(running, piece)
            assert fault.spent
        await running.finish()
    (session,) = emulator.sessions.values()
    assert session.pcm == b"".join(pieces)
    assert _finals(running) == [
        (text_for(400 + 20 * n, 0.6), round(n * 1.1, 2), round(n * 1.1 + 0.6, 2)) for n in range(20)
    ]


async def test_after_4408_a_new_session_goes_on(emulator: Emulator) -> None:
    audio = tone(440, 0.6) + PAUSE + tone(880, 0.9) + PAUSE
    async with bridged(None, **_options(emulator)) as running:
        running.bridge.send(audio[:SECOND])
        await running.until(lambda: _finals(running))
        emulator.fault("cut", code=4408)
        await eventually(lambda: running.metric("stt_drops_total", code="4408"))
        running.bridge.send(audio[SECOND:])
        await running.finish()
    finals = [heard for heard in running.heard if heard.is_final]
    assert [(heard.text, round(heard.start_s, 2)) for heard in finals] == [
        (text_for(440, 0.6), 0.0),
        (text_for(880, 0.9), 1.1),
    ]
    assert len({heard.stt_session_id for heard in finals}) == 2


async def test_a_session_lost_in_mid_sentence_is_heard_again_whole(emulator: Emulator) -> None:
    audio = tone(440, 1.8) + PAUSE
    async with bridged(None, **_options(emulator)) as running:
        running.bridge.send(audio[:SECOND])
        await running.until(lambda: running.heard)
        emulator.fault("cut", code=4408)
        await eventually(lambda: len(emulator.sessions) == 2)
        running.bridge.send(audio[SECOND:])
        await running.finish()
    assert _finals(running) == [(text_for(440, 1.8), 0.0, 1.8)]


async def test_a_swallowed_stop_costs_no_final(emulator: Emulator) -> None:
    emulator.fault("swallow_stop")
    async with bridged(None, drain_timeout_s=0.2, **_options(emulator)) as running:
        running.bridge.send(tone(440, 0.6) + PAUSE)
        await running.finish()
    assert _finals(running) == [(text_for(440, 0.6), 0.0, 0.6)]


async def test_a_full_house_is_waited_for() -> None:
    async with Emulator(max_sessions=1, final_delay_s=(0, 0), close_delay_s=0) as emulator:
        async with bridged(None, **_options(emulator)) as first:
            await first.until(lambda: first.statuses)
            async with bridged(None, session="other", **_options(emulator)) as second:
                second.bridge.send(tone(440, 0.6) + PAUSE)
                await second.until(lambda: second.statuses == [False])
                await first.finish()
                await second.finish()
        assert _finals(second) == [(text_for(440, 0.6), 0.0, 0.6)]


async def _stream(running: Running, audio: bytes) -> None:
    """Send as a decoder does, in pieces, each when the one before is on its way."""
    for at in range(0, len(audio), 3_200):
        running.bridge.send(audio[at : at + 3_200])
        await eventually(lambda: running.bridge.statistics().unacknowledged_s < 1.0)

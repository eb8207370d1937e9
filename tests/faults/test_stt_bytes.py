"""Promises 1 and 2: the socket to speech-to-text may break at any byte, in any way."""

from __future__ import annotations

import itertools
import random

import pytest

from gladia_emulator.scripted import silence, tone
from gladia_emulator.server import Emulator
from realtime_core.stt import websocket
from realtime_core.stt.config import GladiaConfig, Waits
from tests.eventually import eventually
from tests.faults.proxy import Way
from tests.faults.scissors import Cut, Fault, Scissors
from tests.stt.harness import Running, bridged

pytestmark = pytest.mark.slow

CUTS = 12
PIECE_BYTES = 3_200
TONE_S, PAUSE_S = 0.6, 0.5
# The upgrade is 200 to 300 bytes each way, an acknowledgement as long, a piece of audio 3 kB.
HANDSHAKE_BYTES = 120
REACH_BYTES = {Way.TO_SERVER: 20_000, Way.TO_CLIENT: 2_000}
# A wait for a dead peer is spent whole, so it is short here.
WAITS = Waits(probe_s=0.1, settle_s=0.2, recover_s=1.0, poll_s=0.02, tick_s=0.02)


def places(way: Way, seed: str) -> list[int]:
    """Where to cut: in the handshake, right behind it, and anywhere."""
    anywhere = random.Random(seed)
    early = [0, 1, anywhere.randrange(2, HANDSHAKE_BYTES)]
    return early + [anywhere.randrange(REACH_BYTES[way]) for _ in range(CUTS - len(early))]


async def speak_until(running: Running, cut: Cut) -> bytes:
    """Say the same again and again, until the cut has struck; return what was said."""
    said = b""
    for number in itertools.count():
        spoken = tone(400 + 10 * (number % 40), TONE_S) + silence(PAUSE_S)
        for at in range(0, len(spoken), PIECE_BYTES):
            running.bridge.send(spoken[at : at + PIECE_BYTES])
            await eventually(lambda: running.bridge.statistics().unacknowledged_s < 0.5)
        said += spoken
        if cut.struck:
            break
    return said


@pytest.mark.parametrize("way", Way, ids=lambda way: way.value)
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
async def test_wherever_the_socket_breaks_the_audio_arrives_whole_and_once(
    fault: Fault, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "OPEN_TIMEOUT_S", 0.3)
    async with (
        Emulator(final_delay_s=(0, 0), close_delay_s=0, kept_audio_s=600) as emulator,
        Scissors.to("127.0.0.1", emulator.port) as scissors,
    ):
        config = GladiaConfig(f"http://127.0.0.1:{scissors.port}", emulator.api_key)
        async with bridged(None, config=config, waits=WAITS, ack_timeout_s=0.3) as running:
            said = b""
            for at in places(way, seed=f"{fault.value} {way.value}"):
                cut = scissors.next_cut = Cut(fault, way, at)
                scissors.reset()  # the socket that follows has its bytes still before it
                said += await speak_until(running, cut)
                await eventually(lambda: running.bridge.statistics().unacknowledged_s == 0)
            await running.finish()
        (session,) = emulator.sessions.values()
    assert session.pcm == said

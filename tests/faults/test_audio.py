"""Promises 1 and 2, up to the PCM: decoders and publishers fail, and no utterance does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from realtime_core import parts
from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.model import AudioTag
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, Viewer, gathered
from tests.eventually import eventually
from tests.faults.decoders import decoders
from tests.faults.speaking import GOODBYE
from tests.faults.spoken import captioned, gaps, metric, received, speak, talk
from tests.rtmp.peer import peer
from tests.rtmp.vectors import full

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]

SECOND = 32_000
BRISK = ("-readrate", "2")


def has_gone(process: psutil.Process) -> bool:
    return not process.is_running()


async def published(whole: River, slug: str, tags: Sequence[AudioTag], speed: float) -> Viewer:
    """Send audio to a new session, and watch it to the end."""
    await whole.start(slug)
    async with whole.viewer(slug) as viewer, peer(whole.service.rtmp_port) as one:
        await one.publish(slug)
        await speak(one, tags, asyncio.get_running_loop().time(), speed=speed)
        one.say(GOODBYE)
        await viewer.to_the_end()
    return viewer


# The decoder.


async def test_a_killed_and_a_stopped_decoder_miss_nothing_and_disturb_nobody(
    river: MakeRiver, ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FfmpegDecoder", partial(FfmpegDecoder, stall_s=1.0))
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550)
    async with river(ffmpeg_retry_delay_s=0.2) as whole:

        async def hurt() -> None:
            # In the middle of the first tone of each.
            await eventually(lambda: received(whole) > 3 * 1.4 * SECOND)
            killed, stopped, _ = decoders()
            killed.kill()
            stopped.suspend()

        *viewers, _ = await gathered(
            *(captioned(whole, slug, said, *BRISK) for slug in ("ann", "bob", "eve")), hurt()
        )
        assert metric(whole, "ffmpeg_exits_total", outcome="crashed") == 1
        assert metric(whole, "ffmpeg_exits_total", outcome="stalled") == 1
        assert metric(whole, "audio_dropped_seconds_total", stage="decoder") == 0
        lengths = [len(session.pcm) for session in whole.emulator.sessions.values()]
        assert lengths == pytest.approx([len(said.pcm)] * 3, abs=2)
        assert [s.pcm for s in whole.emulator.sessions.values()].count(said.pcm) >= 1
    for viewer in viewers:
        said.assert_heard(viewer)
    assert decoders() == []


async def test_a_decoder_that_dies_again_and_again_fails_its_session_loudly_and_no_other(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550)
    async with river(ffmpeg_retries=1, ffmpeg_retry_delay_s=0.1) as whole:

        async def kill_all_but(*spared: psutil.Process) -> None:
            for _ in range(2):
                await eventually(lambda: set(decoders()) - set(spared))
                for each in set(decoders()) - set(spared):
                    each.kill()
                    await eventually(partial(has_gone, each))

        async def doom() -> Viewer:
            await eventually(decoders)
            spared = decoders()
            viewing = asyncio.ensure_future(published(whole, "doomed", said.tags, speed=2))
            await gathered(viewing, kill_all_but(*spared))
            return viewing.result()

        with capture_logs() as logs:
            healthy, doomed = await gathered(captioned(whole, "healthy", said, *BRISK), doom())
    said.assert_heard(healthy)
    assert [m["state"] for m in doomed.messages if m["type"] == "status"][-1] == "ended"
    assert "cannot be decoded" in doomed.messages[-1]["reason"]
    (failure,) = [line for line in logs if line["event"] == "Session failed"]
    assert failure["log_level"] == "error"


# The publisher.


async def test_audio_that_the_publisher_leaves_out_is_counted_and_shifts_nothing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550, 660)
    # Some of a pause, and a tone.
    left = [
        tag
        for tag in said.tags
        if not (2_100 < tag.timestamp_ms < 2_500 or 4_200 < tag.timestamp_ms < 6_300)
    ]
    async with river() as whole:
        viewer = await published(whole, "weekly", left, speed=3)
        missing_s = metric(whole, "audio_dropped_seconds_total", stage="publisher")
    said.assert_heard(viewer, without=[2])
    lengths_s = [to_s - from_s for from_s, to_s in gaps(viewer)]
    assert lengths_s == pytest.approx([0.4, 2.1], abs=0.05)
    assert missing_s == pytest.approx(0.4 + 2.1, abs=0.06)


async def test_a_publisher_that_comes_and_goes_within_the_grace_shifts_nothing(
    river: MakeRiver, ffmpeg: str, tmp_path: Path
) -> None:
    said = await talk(ffmpeg, tmp_path / "talk.wav", 440, 550, 660)
    config, *frames = said.tags
    # On the line from then to then; between the tones it is away.
    spells_ms = [(0, 2_100), (2_500, 4_050), (4_700, 4_720), (4_740, 9_000)]
    async with river() as whole:
        await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            began_at = asyncio.get_running_loop().time()
            for from_ms, to_ms in spells_ms:
                spell = [tag for tag in frames if from_ms <= tag.timestamp_ms < to_ms]
                async with peer(whole.service.rtmp_port) as one:
                    await one.publish("weekly")
                    one.say(full(4, 0, config.payload))
                    await speak(one, spell, began_at)
                    if to_ms == 9_000:
                        one.say(GOODBYE)
                        await viewer.to_the_end()
                    else:
                        one.reset()
        states = [m["state"] for m in viewer.messages if m["type"] == "status"]
        assert states.count("reconnecting") == 3
        assert len(whole.emulator.sessions) == 1
    said.assert_heard(viewer)

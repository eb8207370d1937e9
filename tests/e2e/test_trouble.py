"""The whole service while its neighbours misbehave."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from realtime_core.processes import child_process
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, Viewer, gathered, write_tones
from tests.eventually import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]


def is_final(message: dict[str, object]) -> bool:
    return message["type"] == "transcript" and bool(message["isFinal"])


def tones(viewer: Viewer) -> list[str]:
    return [final["text"].split()[1] for final in viewer.finals]


def decoders() -> list[psutil.Process]:
    """The FFmpeg processes that decode, not those that publish."""
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "pipe:0" in each.cmdline()]


async def publish_and_die(whole: River, recording: Path, url: str, viewer: Viewer) -> None:
    """Publish until the first final, then die without a word."""
    argv = [whole.ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-i", str(recording)]
    async with child_process([*argv, "-c:a", "aac", "-f", "flv", url], env={}, grace_s=1) as child:
        await viewer.until(is_final)
        child.signal_group(signal.SIGKILL)


async def test_a_killed_decoder_is_replaced_and_the_audio_that_came_meanwhile_is_decoded(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 550, 660)
    async with river(ffmpeg_retry_delay_s=0.5) as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            publishing = asyncio.ensure_future(whole.publish(recording, url))
            await viewer.until(is_final)
            (decoder,) = decoders()
            os.kill(decoder.pid, signal.SIGKILL)
            await gathered(publishing, viewer.to_the_end())
        (session,) = whole.emulator.sessions.values()
        assert session.received_bytes / 32_000 == pytest.approx(6.8, abs=0.1)
        assert tones(viewer) == ["f0440", "f0550", "f0660"]
        assert [final["startedAt"] for final in viewer.finals] == pytest.approx(
            [0.8, 2.8, 4.8], abs=0.15
        )
    assert decoders() == []


async def test_a_publisher_that_dies_and_comes_back_continues_its_session(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 550)
    again = write_tones(tmp_path / "again.wav", 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await publish_and_die(whole, recording, url, viewer)
            await viewer.until(lambda m: m.get("state") == "reconnecting")
            await gathered(whole.publish(again, url), viewer.to_the_end())
        states = [m["state"] for m in viewer.messages if m["type"] == "status"]
        assert states.index("reconnecting") < len(states) - states[::-1].index("live")
        assert len(whole.emulator.sessions) == 1
        assert tones(viewer)[0] == "f0440"
        assert tones(viewer)[-1] == "f0660"
        starts = [final["startedAt"] for final in viewer.finals]
        assert starts == sorted(starts)


async def test_a_second_publisher_takes_over_and_the_session_goes_on(
    river: MakeRiver, tmp_path: Path
) -> None:
    first = write_tones(tmp_path / "first.wav", 440, 440, 440, 440, 440)
    second = write_tones(tmp_path / "second.wav", 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            argv = [whole.ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-i", str(first)]
            async with child_process(
                [*argv, "-c:a", "aac", "-f", "flv", url], env={}, grace_s=1
            ) as old:
                await viewer.until(is_final)
                await gathered(whole.publish(second, url), viewer.to_the_end())
                await old.gone()
        assert old.returncode != 0
        assert tones(viewer)[-1] == "f0660"
        assert len(whole.emulator.sessions) == 1


async def test_with_auto_start_a_publish_is_enough(river: MakeRiver, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with river(auto_start=True) as whole:
        url = f"rtmp://127.0.0.1:{whole.service.rtmp_port}/live/surprise"
        publishing = asyncio.ensure_future(whole.publish(recording, url))
        await eventually(lambda: len(whole.service.registry) == 1)
        # Starting what was already publishing joins it.
        await whole.start("surprise")
        async with whole.viewer("surprise") as viewer:
            await gathered(publishing, viewer.to_the_end())
        assert tones(viewer)[-1] == "f0660"


async def test_once_stop_has_answered_the_table_holds_everything(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 550, 660)
    async with river(batch_max_wait_s=60) as whole:
        url = await whole.start("weekly")
        argv = [whole.ffmpeg, "-nostdin", "-re", "-i", str(recording), "-c:a", "aac"]
        async with (
            whole.viewer("weekly") as viewer,
            child_process([*argv, "-f", "flv", url], env={}, grace_s=1),
        ):
            await viewer.until(is_final)
            status, answer = await whole.post(
                "/api/realtime/transcribe/stop", {"sessionSlug": "weekly"}
            )
            await viewer.to_the_end()
        assert (status, answer["state"]) == (200, "ended")
        assert whole.service.storage is not None
        rows = await whole.service.storage.table.finals("weekly", limit=100)
        assert len(rows) == answer["finals"] == len({f["utteranceId"] for f in viewer.finals})


async def test_a_publisher_refused_before_start_is_admitted_after_it(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    async with river() as whole:
        url = f"rtmp://127.0.0.1:{whole.service.rtmp_port}/live/weekly"
        argv = [whole.ffmpeg, "-nostdin", "-re", "-i", str(recording), "-c:a", "aac"]
        async with child_process([*argv, "-f", "flv", url], env={}, grace_s=1) as early:
            await early.stdout.read()
        assert early.returncode != 0
        await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(whole.publish(recording, url), viewer.to_the_end())
        assert tones(viewer) == ["f0440"]


async def test_by_http_viewers_see_the_same(river: MakeRiver, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    port = _free_port()
    async with river(port=port, realtime_broadcast_mode="http", internal_secret="s" * 32) as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            publishing = asyncio.ensure_future(whole.publish(recording, url))
            final = await viewer.until(is_final)
            await publishing
        assert final["text"].split()[1] == "f0440"
        assert whole.service.metrics.http_post_latency.count > 0


async def test_in_process_decoding_gives_the_same_captions(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with river(decoder="inprocess") as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(whole.publish(recording, url), viewer.to_the_end())
        assert tones(viewer) == ["f0440", "f0660"]
        assert [final["startedAt"] for final in viewer.finals] == pytest.approx(
            [0.8, 2.8], abs=0.15
        )


async def test_a_wrong_gladia_key_is_told_to_viewers_and_fails_the_session(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 440, 440)
    async with river(gladia_api_key="wrong") as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            argv = [whole.ffmpeg, "-nostdin", "-re", "-i", str(recording)]
            async with child_process([*argv, "-c:a", "aac", "-f", "flv", url], env={}, grace_s=1):
                await viewer.to_the_end()
        ended = [m for m in viewer.messages if m["type"] == "status"][-1]
        assert ended["state"] == "ended"
        assert "gladia user not found" in ended["reason"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Publishers as they are: FFmpeg, GStreamer's rtmp2sink, librtmp, and egress as emulated."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp.server import Refusal, RtmpServer
from tests.rtmp.hosts import RecordingHost
from tests.rtmp.programs import H264, audio_in, ffmpeg, ffmpeg_with_h264, run, running
from tests.rtmp.vectors import silence_times

LOOPBACK = ("127.0.0.1", "::1")
TONE, SILENCE = "sine=frequency=440:sample_rate=44100", "anullsrc=r=44100:cl=stereo"
SECONDS = 4


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[tuple[RecordingHost, RtmpServer]]:
    host = RecordingHost()
    async with RtmpServer(host, Metrics(), port=port, addresses=LOOPBACK) as server:
        yield host, server


def frame_times(tags: list[AudioTag]) -> list[int]:
    return [tag.timestamp_ms for tag in tags if not tag.is_config]


# FFmpeg


def encode(source: str, *more: str) -> list[str]:
    flags = ["-nostdin", "-hide_banner", "-loglevel", "error"]
    # Ten times real time. FFmpeg leaves without reading our last acknowledgement, and would
    # take what it has not yet sent along; a live source has nothing left to send.
    paced = ["-readrate", "10", "-f", "lavfi", "-i", source]
    return [ffmpeg(), *flags, *paced, *more, "-t", str(SECONDS), "-c:a", "aac", "-b:a", "128k"]


async def published(argv: list[str]) -> list[AudioTag]:
    """Publish what ``argv`` encodes; return what arrived when it has cleanly ended."""
    async with listening() as (host, server):
        await run(*argv, "-f", "flv", f"rtmp://127.0.0.1:{server.port}/live/weekly?key=1")
        await host.until("done_publish")
        assert host.ends == [PublishEnd.CLEAN]
        assert [(r.slug, r.app, r.args) for r in host.requests] == [
            ("weekly", "live", {"key": "1"})
        ]
        return host.tags[host.publishes[0].id]


async def written(argv: list[str]) -> list[AudioTag]:
    """Return the same as FFmpeg writes it to a file."""
    return list(audio_in(await run(*argv, "-f", "flv", "-flvflags", "no_duration_filesize", "-")))


@pytest.mark.ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("source", [TONE, SILENCE])
async def test_ffmpeg_audio_arrives_as_it_was_encoded(source: str) -> None:
    argv = encode(source)
    arrived, wanted = await published(argv), await written(argv)
    assert arrived == wanted
    assert len(frame_times(arrived)) * 1024 / 44_100 == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.ffmpeg
@pytest.mark.slow
async def test_ffmpeg_video_is_dropped_and_its_audio_kept() -> None:
    program = ffmpeg_with_h264()
    video = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x240:rate=25",
        "-c:v",
        H264,
        "-pix_fmt",
        "yuv420p",
    ]
    argv = [program, *encode(TONE, *video)[1:]]
    assert await published(argv) == await written(argv)


@pytest.mark.ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("start_ms", [16_777_000, 20_000_000, 2**32 - 2000])
async def test_ffmpeg_late_in_a_long_stream(start_ms: int) -> None:
    argv = encode(TONE)
    arrived = await published([*argv, "-output_ts_offset", str(start_ms / 1000)])
    wanted = await written(argv)
    assert [tag.payload for tag in arrived] == [tag.payload for tag in wanted]
    # FFmpeg keeps 31 bits and may start at either side of the wrap, by its priming.
    moved = {
        (a - w) % 2**31 for a, w in zip(frame_times(arrived), frame_times(wanted), strict=True)
    }
    assert max(moved) - min(moved) <= 1, "rounded once more"
    assert min(moved) == pytest.approx(start_ms % 2**31, abs=25)
    assert {b - a for a, b in pairwise(frame_times(arrived))} <= {22, 23, 24}


# GStreamer

ENCODED = "audio/x-raw,rate=44100,channels=2 ! avenc_aac ! flvmux streamable=true"


def launch(source: str, sink: str) -> list[str]:
    return ["gst-launch-1.0", "-q", "-e", *f"{source} ! {ENCODED} ! {sink}".split()]


def location(server: RtmpServer) -> str:
    return f"location=rtmp://127.0.0.1:{server.port}/live/weekly?key=1"


@pytest.mark.gstreamer
@pytest.mark.slow
@pytest.mark.parametrize("wave", ["sine", "silence"])
@pytest.mark.parametrize("sink", ["rtmp2sink", "rtmpsink"])
async def test_gstreamer_audio_arrives_whole_and_in_time(sink: str, wave: str) -> None:
    source = f"audiotestsrc wave={wave} num-buffers=188 samplesperbuffer=1024"
    async with listening() as (host, server):
        await run(*launch(source, f"{sink} sync=false {location(server)}"))
        await host.until("done_publish")
        assert host.ends == [PublishEnd.CLEAN]
        tags = host.tags[host.publishes[0].id]
        assert [tag.is_config for tag in tags] == [True] + [False] * 189
        assert frame_times(tags) == silence_times()
        assert host.requests[0].args == {"key": "1"}


LIVE = "audiotestsrc is-live=true samplesperbuffer=1024"


@pytest.mark.gstreamer
@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "end"), [(signal.SIGKILL, PublishEnd.LOST), (signal.SIGINT, PublishEnd.CLEAN)]
)
async def test_live_publisher_is_ended(by: signal.Signals, end: PublishEnd) -> None:
    async with listening() as (host, server):
        async with running(*launch(LIVE, f"rtmp2sink {location(server)}")) as process:
            await host.until_tags(20)
            process.send_signal(by)
            await host.until("done_publish")
        assert host.ends == [end]


# Egress, as the system's Python with GStreamer's bindings emulates it


@asynccontextmanager
async def egress(server: RtmpServer) -> AsyncIterator[asyncio.StreamReader]:
    script = str(Path(__file__).with_name("egress.py"))
    url = f"rtmp://127.0.0.1:{server.port}/live/weekly"
    async with running("/usr/bin/python3", script, url) as process:
        assert process.stdout is not None
        yield process.stdout


@pytest.mark.gstreamer
@pytest.mark.slow
async def test_egress_sees_an_acknowledgement_and_comes_back_after_a_restart() -> None:
    async with AsyncExitStack() as first:
        host, server = await first.enter_async_context(listening())
        async with egress(server) as said:
            before = frame_times(await host.until_tags(60))
            assert (await said.readline()).startswith(b"acked ")
            await first.aclose()
            while await said.readline() != b"error\n":
                pass
            async with listening(server.port) as (next_host, _):
                after = await next_host.until_tags(20)
    assert host.ends == [PublishEnd.STOPPED]
    assert (after[0].is_config, after[0].timestamp_ms) == (True, 0)
    assert frame_times(after)[0] > before[-1], "the clock went on meanwhile"


@pytest.mark.gstreamer
@pytest.mark.slow
async def test_refused_egress_tries_less_than_once_a_second() -> None:
    async with listening() as (host, server):
        host.refusal = Refusal.BUSY
        async with egress(server):
            await host.until("pre_publish")
            began = asyncio.get_running_loop().time()
            await host.until("pre_publish", times=4)
            assert asyncio.get_running_loop().time() - began >= 3.0

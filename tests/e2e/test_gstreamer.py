"""GStreamer's ``rtmp2sink``, the element LiveKit Egress publishes with, into the whole service."""

import pytest

from realtime_core.processes import child_process
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import gathered

pytestmark = [
    pytest.mark.gstreamer,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(60),
]

FRAME_S = 1024 / 44_100
FRAMES = 431  # ten seconds


async def push(url: str) -> None:
    """Publish ten seconds of a tone, live, as egress does."""
    argv = [
        *("/usr/bin/gst-launch-1.0", "-e", "-q"),
        *("audiotestsrc", "is-live=true", f"num-buffers={FRAMES}", "samplesperbuffer=1024"),
        *("!", "audio/x-raw,rate=44100,channels=2", "!", "avenc_aac", "bitrate=128000"),
        *("!", "flvmux", "streamable=true", "!", "rtmp2sink", f"location={url}"),
    ]
    async with child_process(argv, env={"HOME": "/tmp"}, grace_s=1.0) as child:
        await child.stdout.read()
    assert child.returncode == 0, child.complaints.lines()


async def test_ten_seconds_from_rtmp2sink_arrive_as_ten_seconds_of_pcm(river: MakeRiver) -> None:
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(push(url), viewer.to_the_end())
        (session,) = whole.emulator.sessions.values()
        # The encoder adds its priming, at most two frames; nothing is missing.
        got_s = session.received_bytes / 32_000
        assert FRAMES * FRAME_S - 0.002 <= got_s <= (FRAMES + 2) * FRAME_S
        assert viewer.finals

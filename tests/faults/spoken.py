"""What was said in a recording of tones, and whether all of it was heard once and in its place."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gladia_emulator.server import Emulator
from realtime_core.decode.command import decode_command
from realtime_core.model import AudioTag
from realtime_core.processes import child_process
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import KEY, River, Viewer, gathered, write_tones
from tests.faults.proxy import Proxy
from tests.rtmp.peer import Peer
from tests.rtmp.programs import audio_in
from tests.rtmp.vectors import full

LOUD = 1_000
SPEAKS_ON = 1_600
PROMISED_S = 0.05
"""To what times are right."""
RATE_HZ = 16_000
ENCODING = ("-vn", "-c:a", "aac", "-ar", "44100", "-ac", "2", "-f", "flv")


@dataclass(frozen=True)
class Talk:
    """A recording of tones.

    Attributes:
        tones: What the recogniser calls them, in their order.
        tags: How it is published.
        pcm: How it sounds once it has been encoded and decoded.
    """

    path: Path
    tones: list[str]
    tags: list[AudioTag]
    pcm: bytes

    @property
    def starts_s(self) -> list[float]:
        """Where each tone begins."""
        starts, quiet_from = [], -SPEAKS_ON
        for at, sample in enumerate(array("h", self.pcm)):
            if abs(sample) > LOUD:
                if at - quiet_from > SPEAKS_ON:
                    starts.append(at / RATE_HZ)
                quiet_from = at
        return starts

    def assert_heard(self, viewer: Viewer, *, without: Sequence[int] = ()) -> None:
        """Every utterance but these was seen as a final once, at its time."""
        finals = last_finals(viewer)
        spoken = zip(self.tones, self.starts_s, strict=True)
        expected = [each for number, each in enumerate(spoken) if number not in without]
        assert [tone(final) for final in finals] == [name for name, _ in expected]
        starts_s = [start_s for _, start_s in expected]
        assert [final["startedAt"] for final in finals] == pytest.approx(starts_s, abs=PROMISED_S)


async def talk(ffmpeg: str, path: Path, *frequencies_hz: int, each_s: float = 1.2) -> Talk:
    """Record tones."""
    await asyncio.to_thread(write_tones, path, *frequencies_hz, each_s=each_s)
    argv = [ffmpeg, "-nostdin", "-loglevel", "error", "-i", str(path), *ENCODING]
    encoded = path.with_suffix(".flv")
    await _output([*argv, str(encoded)])
    # From a file, without whatever is between a publisher and its decoder.
    command = [str(encoded) if part == "pipe:0" else part for part in decode_command(ffmpeg)]
    command[command.index("-protocol_whitelist") + 1] = "file,pipe"
    tags = list(audio_in(await asyncio.to_thread(encoded.read_bytes)))
    return Talk(path, [f"f{each:04d}" for each in frequencies_hz], tags, await _output(command))


async def _output(argv: Sequence[str]) -> bytes:
    async with child_process(argv, env={}, grace_s=1.0) as child:
        output = await child.stdout.read()
    assert child.returncode == 0, child.complaints.lines()
    return output


async def captioned(whole: River, slug: str, said: Talk, *options: str) -> Viewer:
    """Publish a recording to a new session, and watch it to the end."""
    url = await whole.start(slug)
    async with whole.viewer(slug) as viewer:
        await gathered(whole.publish(said.path, url, *options), viewer.to_the_end())
    return viewer


async def speak(one: Peer, tags: Iterable[AudioTag], began_at: float, *, speed: float = 1) -> None:
    """Send audio at its time, which is counted from ``began_at``."""
    loop = asyncio.get_running_loop()
    for tag in tags:
        await asyncio.sleep(began_at + tag.timestamp_ms / 1000 / speed - loop.time())
        one.say(full(4, tag.timestamp_ms, tag.payload))


def last_finals(viewer: Viewer) -> list[dict[str, Any]]:
    """The last revision of each final, in the order of speaking."""
    finals = {final["utteranceId"]: final for final in viewer.finals}
    return sorted(finals.values(), key=lambda final: float(final["startedAt"]))


def tone(final: dict[str, Any]) -> str:
    return str(final["text"].split()[1])


def gaps(viewer: Viewer) -> list[tuple[float, float]]:
    """What viewers were told is missing."""
    return [(m["from"], m["to"]) for m in viewer.messages if m["type"] == "gap"]


def received(whole: River) -> int:
    """How many bytes the provider took, over all sessions."""
    return sum(session.received_bytes for session in whole.emulator.sessions.values())


def metric(whole: River, name: str, **labels: str) -> float:
    return whole.service.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def provider_behind_proxy(
    river: MakeRiver, **settings: Any
) -> AsyncIterator[tuple[River, Proxy]]:
    """The whole system with a fault proxy between it and its speech-to-text."""
    async with (
        Emulator(api_key=KEY, final_delay_s=(0.05, 0.05)) as emulator,
        Proxy.to("127.0.0.1", emulator.port) as proxy,
        river(gladia_api_url=f"http://127.0.0.1:{proxy.port}", **settings) as whole,
    ):
        # The address of a socket is that to which its session was asked for: the proxy's.
        yield replace(whole, emulator=emulator), proxy

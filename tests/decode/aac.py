"""Real AAC to decode: a sweep, which sounds different at every moment, cut into tags."""

import array
import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from realtime_core.model import BYTES_PER_SAMPLE, AudioTag

FLV_HEADER_BYTES = 13
AUDIO = 8
PIECE = 2_000
GARBAGE = b"\xaf\x01" + b"\xff\x00\xa5" * 100


@dataclass(frozen=True)
class Recording:
    """AAC as a publisher sends it, and how it sounds decoded in one go.

    Attributes:
        config: The tag body of the AudioSpecificConfig.
        frames: The tag bodies of the frames.
        samples: How many samples at 16 kHz a frame lasts.
        sound: The frames decoded, by FFmpeg as a user would run it on a file.
    """

    config: bytes
    frames: tuple[bytes, ...]
    samples: float
    sound: bytes

    @property
    def tags(self) -> list[AudioTag]:
        """The configuration and the frames, on a clock that starts at 0."""
        frames = enumerate(self.frames)
        return [
            AudioTag(self.config, 0, is_config=True),
            *(
                AudioTag(body, round(self.samples * at / 16), is_config=False)
                for at, body in frames
            ),
        ]

    def cut(self, start: int, end: int) -> "Recording":
        """Some of the frames. The sound is left whole."""
        return replace(self, frames=self.frames[start:end])

    def place(self, frame: int) -> int:
        """Where the frame begins in the sound, in samples."""
        return round(frame * self.samples)


@cache
def record(
    ffmpeg: str,
    *,
    rate: int = 44_100,
    channels: int = 2,
    seconds: int = 10,
    volume: float = 0.5,
    signal: str = "sin(2*PI*(200+40*t)*t)",
) -> Recording:
    """Encode a signal, a function of the time ``t``; without one a sweep from 200 Hz upwards."""
    source = f"aevalsrc='{volume}*{signal}':s={rate}:d={seconds}"
    flv = _ffmpeg(ffmpeg, "-f", "lavfi", "-i", source, "-ac", str(channels), "-c:a", "aac", "flv")
    config, *frames = _audio_bodies(flv)
    sound = _ffmpeg(ffmpeg, "-i", "pipe:0", "-ac", "1", "-ar", "16000", "s16le", given=flv)
    return Recording(config, tuple(frames), 1024 * 16_000 / rate, sound)


def _ffmpeg(ffmpeg: str, *arguments: str, given: bytes = b"") -> bytes:
    *options, form = arguments
    command = [ffmpeg, "-loglevel", "error", *options, "-f", form, "pipe:1"]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def _audio_bodies(flv: bytes) -> Iterable[bytes]:
    at = FLV_HEADER_BYTES
    while at < len(flv):
        kind, size = flv[at], int.from_bytes(flv[at + 1 : at + 4])
        if kind == AUDIO:
            yield flv[at + 11 : at + 11 + size]
        at += 11 + size + 4


class Decoder(Protocol):
    """Either decoder."""

    @property
    def queued_s(self) -> float: ...
    def feed(self, tag: AudioTag) -> None: ...
    def skip(self, seconds: float) -> None: ...
    def end(self) -> None: ...
    async def run(self, emit: Callable[[bytes], None]) -> None: ...


class Reading:
    """A decoder that runs for the length of a block, and whose PCM can be read piece by piece."""

    def __init__(self, decoder: Decoder) -> None:
        self.feed, self.skip, self.end = decoder.feed, decoder.skip, decoder.end
        self.decoder = decoder
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._failure: Exception | None = None

    @property
    def queued_s(self) -> float:
        return self.decoder.queued_s

    async def __aenter__(self) -> "Reading":
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})

    async def pcm(self) -> AsyncIterator[bytes]:
        """Yield PCM as it comes; reading may be broken off and taken up again."""
        while (piece := await self._pieces.get()) is not None:
            yield piece
        self._pieces.put_nowait(None)
        if self._failure is not None:
            raise self._failure

    async def _run(self) -> None:
        try:
            await self.decoder.run(self._pieces.put_nowait)
        except Exception as exc:  # noqa: BLE001 - who reads gets it
            self._failure = exc
        finally:
            self._pieces.put_nowait(None)


def feed(decoder: Reading, recording: Recording) -> None:
    for tag in recording.tags:
        decoder.feed(tag)


async def rest(decoder: Reading) -> bytes:
    """End the input and return all PCM that still comes."""
    decoder.end()
    return b"".join([pcm async for pcm in decoder.pcm()])


async def read(decoder: Reading, least_bytes: int) -> bytes:
    """Return the next PCM, at least so much."""
    got = b""
    async for pcm in decoder.pcm():
        got += pcm
        if len(got) >= least_bytes:
            break
    return got


def offset(pcm: bytes, sound: bytes, at: int, *, most: int = 40) -> int:
    """Return how many samples late the PCM is around sample ``at``; fails when it is not there."""
    ours, theirs = array.array("h", pcm), array.array("h", sound)[at : at + PIECE]

    def unlike(late: int) -> float:
        pairs = zip(ours[at + late : at + late + PIECE], theirs, strict=True)
        return sum((a - b) ** 2 for a, b in pairs)

    best = min(range(-most, most + 1), key=lambda late: (unlike(late), abs(late)))
    assert unlike(best) < 0.05 * sum(b * b for b in theirs), "this is another sound"
    return best


def loudest(pcm: bytes, start: int, end: int) -> int:
    """Return the greatest amplitude from one sample to another."""
    part = pcm[start * BYTES_PER_SAMPLE : end * BYTES_PER_SAMPLE]
    return max(map(abs, array.array("h", part)))


def is_silent(pcm: bytes, start: int, end: int) -> bool:
    """Whether the PCM is all zeros from one sample to another."""
    return not any(pcm[start * BYTES_PER_SAMPLE : end * BYTES_PER_SAMPLE])

"""Publishers that cost next to nothing: real AAC over real RTMP, with no process of their own."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from dataclasses import dataclass
from functools import cache

from gladia_emulator.scripted import silence, tone
from tests.rtmp.peer import Peer
from tests.rtmp.programs import audio_in
from tests.rtmp.vectors import NULL, command, full, text

RATE_HZ = 44_100
FRAME_S = 1024 / RATE_HZ
GOODBYE = command("FCUnpublish", 0, NULL, text("k"))


@dataclass(frozen=True)
class Speech:
    """Tones with pauses between them, as the bodies of audio messages."""

    config: bytes
    frames: tuple[bytes, ...]

    def messages(self, start: int, end: int) -> bytes:
        """Return some frames, over again behind the last, with the configuration before all."""
        bodies = itertools.islice(itertools.cycle(self.frames), start, end)
        frames = (
            full(4, round(at * FRAME_S * 1000), body) for at, body in enumerate(bodies, start)
        )
        return (full(4, 0, self.config) if start == 0 else b"") + b"".join(frames)


@cache
def speech(ffmpeg: str, *frequencies_hz: int, each_s: float = 0.5, pause_s: float = 0.5) -> Speech:
    """Encode an utterance for each frequency."""
    pcm = b"".join(tone(each, each_s) + silence(pause_s) for each in frequencies_hz)
    argv = [ffmpeg, "-loglevel", "error", "-f", "s16le", "-ar", "16000", "-ac", "1", "-i", "pipe:0"]
    argv += ["-c:a", "aac", "-ar", str(RATE_HZ), "-f", "flv", "pipe:1"]
    flv = subprocess.run(argv, input=pcm, capture_output=True, check=True).stdout
    config, *frames = (tag.payload for tag in audio_in(flv))
    return Speech(config, tuple(frames))


async def speak(peer: Peer, said: Speech, seconds: float = float("inf")) -> None:
    """Send speech in real time, from its beginning, over again behind its end."""
    loop = asyncio.get_running_loop()
    began_at, sent = loop.time(), 0
    while sent * FRAME_S < seconds:
        due = int((loop.time() - began_at) / FRAME_S) + 1
        if due > sent:
            peer.say(said.messages(sent, due))
            sent = due
        await asyncio.sleep(FRAME_S)

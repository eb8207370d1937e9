"""What a session says: tones with pauses, over and over, each known by its frequency and time.

Pure but for :func:`encoded`, which has FFmpeg make AAC of it, once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from gladia_emulator.scripted import silence, text_for, tone

FRAME_S = 1024 / 44_100
PRIMING_S = FRAME_S
"""How much later than in the recording a sound is heard: the encoder's first frame is empty."""
FREQUENCIES_HZ = tuple(range(300, 1500, 20))
"""Twice as far apart as the recogniser can tell."""
LENGTHS_S = (1.0, 1.1, 1.3, 1.4, 1.6, 1.7, 1.9, 2.0)
"""Each safely between two numbers of words."""
PAUSES_S = (0.7, 0.8, 1.0, 1.2)
FLV_HEADER_BYTES, TAG_HEADER_BYTES, AUDIO = 13, 11, 8


@dataclass(frozen=True, slots=True)
class Tone:
    """One utterance of a recording, in seconds from its beginning."""

    frequency_hz: int
    start_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance as it went out; moments are Unix times."""

    slug: str
    frequency_hz: int
    start_at: float
    end_at: float

    @property
    def text(self) -> str:
        """What the recogniser makes of it."""
        return text_for(self.frequency_hz, self.end_at - self.start_at)


@dataclass(frozen=True, slots=True)
class Tape:
    """An endless loop of AAC frames.

    Attributes:
        config: The tag body of the AudioSpecificConfig.
        frames: The tag bodies of one round.
        tones: What is said in one round.
    """

    config: bytes
    frames: tuple[bytes, ...]
    tones: tuple[Tone, ...]

    @property
    def round_s(self) -> float:
        """How long one round lasts."""
        return len(self.frames) * FRAME_S

    def spoken(self, slug: str, began_at: float, until: float) -> Iterator[Spoken]:
        """Yield what was begun on a tape that ran from one Unix time to another, in order."""
        turn_at = began_at
        while turn_at < until:
            for each in self.tones:
                start_at = turn_at + each.start_s + PRIMING_S
                if start_at < until:
                    yield Spoken(slug, each.frequency_hz, start_at, start_at + each.length_s)
            turn_at += self.round_s


def composed(random: Random) -> tuple[bytes, tuple[Tone, ...]]:
    """Return 16 kHz PCM in which each frequency is heard once, and where."""
    order = random.sample(FREQUENCIES_HZ, len(FREQUENCIES_HZ))
    pcm, tones, at_s = bytearray(), [], 0.0
    for frequency_hz in order:
        pause_s, length_s = random.choice(PAUSES_S), random.choice(LENGTHS_S)
        tones.append(Tone(frequency_hz, at_s + pause_s, length_s))
        pcm += silence(pause_s) + tone(frequency_hz, length_s)
        at_s += pause_s + length_s
    return bytes(pcm + silence(PAUSES_S[-1])), tuple(tones)


def recorded(ffmpeg: str, random: Random) -> Tape:
    """Return a tape. Blocks for seconds."""
    pcm, tones = composed(random)
    config, *frames = encoded(ffmpeg, pcm)
    # What does not fill a frame is cut from the last pause, so that rounds join without a step.
    whole = int(len(pcm) / 32_000 / FRAME_S)
    return Tape(config, tuple(frames[:whole]), tones)


def encoded(ffmpeg: str, pcm: bytes) -> list[bytes]:
    """Return a configuration and frames, as egress encodes: 44.1 kHz, stereo, 128 kbit/s."""
    argv = [ffmpeg, "-loglevel", "error", "-f", "s16le", "-ar", "16000", "-ac", "1"]
    argv += ["-i", "pipe:0", "-c:a", "aac", "-ar", "44100", "-ac", "2", "-b:a", "128k"]
    flv = subprocess.run(
        [*argv, "-f", "flv", "pipe:1"], input=pcm, capture_output=True, check=True
    ).stdout
    return list(audio_bodies(flv))


def audio_bodies(flv: bytes) -> Iterator[bytes]:
    """Yield the bodies of a file's audio tags."""
    at = FLV_HEADER_BYTES
    while at < len(flv):
        size = int.from_bytes(flv[at + 1 : at + 4])
        body = at + TAG_HEADER_BYTES
        if flv[at] == AUDIO:
            yield flv[body : body + size]
        at = body + size + 4

"""The sound that all rooms publish: AAC frames of an 8 s loop with a beep each second.

48 kHz stereo AAC-LC at 128 kbit/s, because then eight seconds are 375 frames exactly and
the loop has no seam. Between the beeps there is quiet noise, so that frames have the size
of speech and not of digital silence.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.load.ear import BEEP_S, TONES_HZ, Ear

RATE_HZ = 48_000
FRAME_SAMPLES = 1_024
FRAMES = 375
LOOP_SAMPLES = FRAMES * FRAME_SAMPLES
FRAME_NS = FRAME_SAMPLES * 1_000_000_000 // RATE_HZ
BIT_RATE = "128k"

AUDIO_SPECIFIC_CONFIG = bytes.fromhex("1190")
"""AAC-LC, 48 kHz, stereo (ISO 14496-3, 1.6.2.1)."""

BEEP_LEVEL, NOISE_LEVEL = 16_000, 60
FIRST_BEEP_FRAME = 12
"""A quarter of a second: the loss of the very first audio shows as missing PCM, not as this."""

ONSET_IN_FRAME = 300
"""Samples. An onset near the end of a frame would leave the resampler with the next one."""

ADTS_HEADER_BYTES = 7


@dataclass(frozen=True, slots=True)
class Sound:
    """One loop, ready to be sent for ever.

    Attributes:
        frames: The AAC frames, without ADTS.
        onsets: Which frame completes a beep's first loud sample, and the beep's tone. Its
            keys are indices into ``frames``.
    """

    frames: Sequence[bytes]
    onsets: Mapping[int, int]


def load() -> Sound:
    """Make the sound with FFmpeg; takes about a second.

    Raises:
        OSError: There is no FFmpeg.
        ValueError: FFmpeg did something unexpected.
    """
    ffmpeg = find_ffmpeg()
    # Of three loops the middle one, whose neighbours are what they will be in the stream.
    encoded = _encode(ffmpeg, _loop() * 3)
    frames = _frames(encoded)[FRAMES : 2 * FRAMES]
    onsets = _onsets(decode(ffmpeg, frames * 2))
    if sorted(onsets.values()) != list(range(len(TONES_HZ))):
        raise ValueError(f"the beeps do not survive encoding: {onsets}")
    return Sound([frame[ADTS_HEADER_BYTES:] for frame in frames], onsets)


def find_ffmpeg() -> str:
    """Return the FFmpeg on the PATH, else the one in the wheel."""
    if found := shutil.which("ffmpeg"):
        return found
    from imageio_ffmpeg import get_ffmpeg_exe

    return str(get_ffmpeg_exe())


def decode(ffmpeg: str, adts: Sequence[bytes]) -> bytes:
    """Decode frames to 16 kHz mono; nothing is trimmed, so frame n is samples n * 1024 / 3."""
    argv = ["-f", "aac", "-i", "pipe:0", "-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"]
    return _run(ffmpeg, argv, b"".join(adts))


def _loop() -> bytes:
    """Return 8 s of mono PCM."""
    noise = random.Random(8).randbytes(LOOP_SAMPLES)  # the same sound in each run
    samples = array("h", [(byte - 128) * NOISE_LEVEL // 128 for byte in noise])
    for number, frequency_hz in enumerate(TONES_HZ):
        frame = FIRST_BEEP_FRAME + number * FRAMES // len(TONES_HZ)
        start = frame * FRAME_SAMPLES + ONSET_IN_FRAME
        for offset in range(round(BEEP_S * RATE_HZ)):
            angle = 2 * math.pi * frequency_hz * offset / RATE_HZ
            samples[start + offset] = round(BEEP_LEVEL * math.sin(angle))
    return samples.tobytes()


def _encode(ffmpeg: str, pcm: bytes) -> bytes:
    source = ["-f", "s16le", "-ar", str(RATE_HZ), "-ac", "1", "-i", "pipe:0"]
    return _run(
        ffmpeg, [*source, "-ac", "2", "-c:a", "aac", "-b:a", BIT_RATE, "-f", "adts", "pipe:1"], pcm
    )


def _frames(adts: bytes) -> list[bytes]:
    """Cut an ADTS stream (ISO 13818-7, 6.2) into its frames, headers included."""
    frames, at = [], 0
    while at < len(adts):
        length = int.from_bytes(adts[at + 3 : at + 6], "big") >> 5 & 0x1FFF
        frames.append(adts[at : at + length])
        at += length
    return frames


def _onsets(pcm: bytes) -> dict[int, int]:
    """Return the beeps of the second of two loops: where the first begins, nothing rang before."""
    ear = Ear()
    beeps = [beep for index, piece in _by_frame(pcm) for beep in ear.hear(piece, index)]
    return {beep.at - FRAMES: beep.tone for beep in beeps if beep.at >= FRAMES}


def _by_frame(pcm: bytes) -> Iterator[tuple[int, bytes]]:
    for index in range(2 * FRAMES):
        start, end = (2 * ((index + more) * FRAME_SAMPLES // 3) for more in (0, 1))
        yield index, pcm[start:end]


def _run(ffmpeg: str, arguments: Sequence[str], data: bytes) -> bytes:
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", *arguments]
    done = subprocess.run(argv, input=data, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"{ffmpeg}: {done.stderr.decode(errors='replace')[-300:]}")
    return done.stdout

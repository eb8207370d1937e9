"""FLV as FFmpeg reads it from its standard input: a header and audio tags. Pure.

Bodies of audio tags are passed through as the publisher sent them.
"""

from __future__ import annotations

from struct import Struct

from realtime_core.model import SAMPLE_RATE_HZ

# Flags 0x04, audio only: with 0x05 FFmpeg may wait for video that never comes.
HEADER = bytes.fromhex("46 4c 56 01 04 00000009 00000000")
AUDIO = 8
# The kind with the length of the body, the time, and three bytes of stream id, which is 0.
TAG_HEADER, TAG_LENGTH = Struct(">II3x"), Struct(">I")


def audio_tag(body: bytes, timestamp_ms: int) -> bytes:
    """Return one tag with the length that follows it; timestamps wrap after 49 days."""
    # The highest byte of the time comes last.
    time = (timestamp_ms << 8 | timestamp_ms >> 24 & 0xFF) & 0xFFFF_FFFF
    head = TAG_HEADER.pack(AUDIO << 24 | len(body), time)
    return head + body + TAG_LENGTH.pack(TAG_HEADER.size + len(body))


class FlvWriter:
    """Writes the tags after the header, each dated by the audio before it.

    A publisher's own timestamps jump when it reconnects. These cannot: they count what was
    written, so FFmpeg sees a hole only where it could not decode.
    """

    def __init__(self) -> None:
        self._config: bytes | None = None
        self._samples = 0

    def tags(self, config: bytes, frame: bytes, samples: int) -> bytes:
        """Return the bytes for one frame, after those of its configuration where that is new.

        Args:
            config: The tag body of the AudioSpecificConfig this frame is under.
            frame: The tag body of the frame.
            samples: How long the frame lasts, in samples at 16 kHz.
        """
        time_ms = self._samples * 1000 // SAMPLE_RATE_HZ
        before = b"" if config == self._config else audio_tag(config, time_ms)
        self._config = config
        self._samples += samples
        tag = audio_tag(frame, time_ms)
        return before + tag if before else tag

"""FLV as FFmpeg reads it from its standard input: a header and audio tags. Pure.

Bodies of audio tags are passed through as the publisher sent them.
"""

from __future__ import annotations

from realtime_core.model import SAMPLE_RATE_HZ

# Flags 0x04, audio only: with 0x05 FFmpeg may wait for video that never comes.
HEADER = bytes.fromhex("46 4c 56 01 04 00000009 00000000")
AUDIO = 8
TAG_HEADER_BYTES = 11


def audio_tag(body: bytes, timestamp_ms: int) -> bytes:
    """Return one tag with the length that follows it; timestamps wrap after 49 days."""
    time = (timestamp_ms & 0xFFFF_FFFF).to_bytes(4)
    return b"".join(
        (
            bytes([AUDIO]),
            len(body).to_bytes(3),
            time[1:],
            time[:1],
            bytes(3),  # stream id
            body,
            (TAG_HEADER_BYTES + len(body)).to_bytes(4),
        )
    )


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
        return before + audio_tag(frame, time_ms)

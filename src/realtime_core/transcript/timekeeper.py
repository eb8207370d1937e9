"""Keeps a session's clock over publishers, silences and restarts of the service. Pure.

The clock counts the PCM that came. Its zero is fixed on the wall clock with the first audio,
so that a restarted service, which counts from nothing again, can place its own first audio.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from realtime_core.model import (
    BYTES_PER_SAMPLE,
    SAMPLE_RATE_HZ,
    AudioGap,
    SpeechHeard,
    seconds_of,
)
from realtime_core.transcript.clock import SessionClock

Placed = TypeVar("Placed", SpeechHeard, AudioGap)

FRAME_S = 1024 / 44_100
"""How long the frames of LiveKit Egress are. A frame is live at its end, when it arrives."""


class Timekeeper:
    """Says where on the session clock things are. Loop and wall times come in as values.

    Args:
        zero_at: Where the clock is zero, in Unix seconds, if an earlier process knew it.
        heard_to_s: How far that process had got.

    Attributes:
        zero_at: The same, once it is known.
        has_begun: Whether this process has had audio.
    """

    def __init__(self, zero_at: float | None = None, heard_to_s: float = 0.0) -> None:
        self.zero_at, self.has_begun = zero_at, False
        self._heard_to_s = heard_to_s
        self._origin_s = 0.0  # of what this process counts
        self._pcm_bytes = 0
        self._clock = SessionClock()
        self._room_s = 0.0  # left for the frame that follows a silence

    @property
    def position_s(self) -> float:
        """How far the clock has come."""
        return self._origin_s + seconds_of(self._pcm_bytes)

    def begin(self, began_at: float) -> AudioGap | None:
        """Note that this process's first audio began at Unix time ``began_at``.

        Returns:
            What was lost since the earlier process, if there was one.
        """
        self.has_begun = True
        if self.zero_at is None:
            # Fixed once, so that a correction of the wall clock cannot reorder captions.
            self.zero_at = began_at
            return None
        self._origin_s = max(began_at - self.zero_at, self._heard_to_s)
        if self._origin_s == self._heard_to_s:
            return None
        return AudioGap(self._heard_to_s, self._origin_s, "the service was restarted")

    def advance(self, now: float, pcm_bytes: int) -> None:
        """Note that so much audio is here at loop time ``now``."""
        self._room_s = 0.0
        self._count(now, pcm_bytes)

    def silence_due(self, now: float) -> bytes:
        """Return the silence that brings the clock up to now, which it counts; perhaps none.

        It leaves room for a frame: the one that ends it began as long before it arrives.
        Without that each return of a publisher would make all that follows a frame late.
        """
        due_s = self._clock.behind_s(now) + self._room_s - FRAME_S
        silence = bytes(max(0, int(due_s * SAMPLE_RATE_HZ)) * BYTES_PER_SAMPLE)
        if silence:
            self._room_s = FRAME_S
            self._count(now, len(silence))
        return silence

    def _count(self, now: float, pcm_bytes: int) -> None:
        self._pcm_bytes += pcm_bytes
        self._clock.audio_arrived(now, self.position_s + self._room_s)

    def at(self, now: float) -> float:
        """Return the position that is live at loop time ``now``; 0 before the first audio."""
        return self._clock.at(now)

    def placed(self, event: Placed) -> Placed:
        """Move what speech-to-text says from its clock, which begins with the process."""
        return _shifted(event, self._origin_s) if self._origin_s else event


def _shifted(event: Placed, by_s: float) -> Placed:
    if isinstance(event, AudioGap):
        return replace(event, from_s=event.from_s + by_s, to_s=event.to_s + by_s)
    words = tuple(
        replace(word, start_s=word.start_s + by_s, end_s=word.end_s + by_s) for word in event.words
    )
    return replace(event, start_s=event.start_s + by_s, end_s=event.end_s + by_s, words=words)

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
    Silence,
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
        self._first_came_at: float | None = None
        self._lost: tuple[float, float] | None = None

    @property
    def position_s(self) -> float:
        """How far the clock has come."""
        return self._origin_s + seconds_of(self._pcm_bytes)

    def audio_came(self, now: float) -> None:
        """Note that audio came in, whose PCM follows. The first is dated from here.

        A decoder takes a while to start, and not always the same.
        """
        if self._first_came_at is None:
            self._first_came_at = now

    def arrived(self, now: float, wall: float, pcm: bytes) -> AudioGap | None:
        """Note that decoded audio is here at loop time ``now`` and Unix time ``wall``.

        Returns:
            What was lost before it: in a restart, or on the way to here.
        """
        gap = None if self.has_begun else self._begin(now, wall)
        if isinstance(pcm, Silence):
            from_s = self._lost[0] if self._lost else self.position_s
            self._lost = from_s, self.position_s + seconds_of(len(pcm))
        else:
            gap = gap or self.ended()
        self._room_s = 0.0
        self._count(now, len(pcm))
        return gap

    def ended(self) -> AudioGap | None:
        """Return what was lost last and is not told yet; a long loss comes in many pieces."""
        lost, self._lost = self._lost, None
        return None if lost is None else AudioGap(*lost, "the audio did not arrive")

    def position_at(self, now: float) -> float:
        """Return where loop time ``now`` lies by the first audio, perhaps before it."""
        began_at = now if self._first_came_at is None else self._first_came_at - FRAME_S
        return self._origin_s + now - began_at

    def _begin(self, now: float, wall: float) -> AudioGap | None:
        """Date this process's first audio; return what was lost since the earlier process."""
        self.has_begun = True
        self.audio_came(now)
        began_at = wall - self.position_at(now)  # the origin is still 0
        if self.zero_at is None:
            # Fixed once, so that a correction of the wall clock cannot reorder captions.
            self.zero_at = began_at
            return None
        self._origin_s = max(began_at - self.zero_at, self._heard_to_s)
        if self._origin_s == self._heard_to_s:
            return None
        return AudioGap(self._heard_to_s, self._origin_s, "the service was restarted")

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

    def owed_s(self, now: float, held_s: float) -> float:
        """Return how much is missing before audio that comes now, behind what a decoder holds."""
        return max(0.0, self._clock.behind_s(now) + self._room_s - held_s - FRAME_S)

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

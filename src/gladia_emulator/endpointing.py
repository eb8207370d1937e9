"""Where utterances begin and end in a stream of samples. Pure.

A frame of 10 ms is voiced when its energy passes a level. Three voiced frames in a row open an
utterance; enough silence, or too long a time without, closes it. Begin and end are then refined
to the first and last loud sample. The same samples give the same events, however they are cut
into pieces.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from operator import mul

from gladia_emulator.audio import BYTES_PER_SAMPLE, RATE_HZ

FRAME = RATE_HZ // 100
FRAME_BYTES = FRAME * BYTES_PER_SAMPLE
ONSET_FRAMES = 3
PREROLL_FRAMES = 20
"""How much of what came before an onset the recogniser gets: soft consonants lie there."""
LEVEL_AT_FULL_THRESHOLD = 500
"""Root mean square that ``speech_threshold`` 1 asks for; the default 0.6 makes it 300."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech begins at sample ``at``; the audio given on begins at ``audio_from``."""

    at: int
    audio_from: int


@dataclass(frozen=True, slots=True)
class SpeechGrew:
    """More audio of the open utterance; ``voiced_until`` is its last loud sample so far."""

    pcm: bytes
    voiced_until: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The rest of the utterance's audio; speech ended at sample ``at``."""

    pcm: bytes
    at: int


SpeechEvent = SpeechStarted | SpeechGrew | SpeechEnded


class Endpointer:
    """Finds utterances.

    Args:
        silence_s: How much silence closes an utterance.
        longest_s: When an utterance is closed though speech goes on.
        growth_s: After how much audio of an utterance it reports growth.
        threshold: Strictness from 0 to 1.
    """

    def __init__(
        self,
        *,
        silence_s: float,
        longest_s: float,
        growth_s: float = 0.3,
        threshold: float = 0.6,
    ) -> None:
        self._silence = max(1, math.ceil(round(silence_s * 100, 6))) * FRAME
        self._longest = math.ceil(longest_s * RATE_HZ)
        self._growth = max(1, round(growth_s * 100)) * FRAME
        # At least 1, or digital silence would count as voiced.
        self._level = max(1, round(threshold * LEVEL_AT_FULL_THRESHOLD))
        self._energy = self._level**2 * FRAME
        self._pending = bytearray()
        self._recent: deque[bytes] = deque(maxlen=PREROLL_FRAMES + ONSET_FRAMES)
        self._voiced_in_a_row = 0
        self._position = 0
        self._open: _Open | None = None

    def feed(self, pcm: bytes) -> list[SpeechEvent]:
        """Take samples in pieces of any size; return what they bring to light."""
        self._pending += pcm
        whole = len(self._pending) - len(self._pending) % FRAME_BYTES
        frames = bytes(self._pending[:whole])
        del self._pending[:whole]
        events: list[SpeechEvent] = []
        for start in range(0, whole, FRAME_BYTES):
            self._frame(frames[start : start + FRAME_BYTES], events)
        return events

    def finish(self) -> list[SpeechEvent]:
        """Promise that nothing more comes; closes an open utterance."""
        events: list[SpeechEvent] = []
        if self._open and self._pending:
            self._frame(bytes(self._pending).ljust(FRAME_BYTES, b"\0"), events)
        self._pending.clear()
        self._close(events)
        return events

    def _frame(self, frame: bytes, events: list[SpeechEvent]) -> None:
        samples = memoryview(frame).cast("h")
        voiced = sum(map(mul, samples, samples)) >= self._energy
        self._position += FRAME
        if self._open is None:
            self._listen(frame, voiced, events)
        else:
            self._follow(self._open, frame, voiced, events)

    def _listen(self, frame: bytes, voiced: bool, events: list[SpeechEvent]) -> None:
        self._recent.append(frame)
        self._voiced_in_a_row = self._voiced_in_a_row + 1 if voiced else 0
        if self._voiced_in_a_row < ONSET_FRAMES:
            return
        first = self._position - ONSET_FRAMES * FRAME
        begun = first + _first_loud(self._recent[-ONSET_FRAMES], self._level)
        audio_from = self._position - len(self._recent) * FRAME
        events.append(SpeechStarted(begun, audio_from))
        self._open = _Open(first, voiced_until=self._after_last_loud(frame))
        self._open.pcm += b"".join(self._recent)
        self._recent.clear()

    def _follow(
        self, utterance: _Open, frame: bytes, voiced: bool, events: list[SpeechEvent]
    ) -> None:
        utterance.pcm += frame
        utterance.silence = 0 if voiced else utterance.silence + FRAME
        if voiced:
            utterance.voiced_until = self._after_last_loud(frame)
        length = self._position - utterance.opened
        if utterance.silence >= self._silence or length >= self._longest:
            self._close(events)
        elif length >= utterance.reported + self._growth:
            utterance.reported += self._growth
            events.append(SpeechGrew(utterance.take(), utterance.voiced_until))

    def _close(self, events: list[SpeechEvent]) -> None:
        if self._open is not None:
            events.append(SpeechEnded(self._open.take(), self._open.voiced_until))
        self._open, self._voiced_in_a_row = None, 0

    def _after_last_loud(self, frame: bytes) -> int:
        return self._position - _first_loud(_reversed(frame), self._level)


@dataclass(slots=True)
class _Open:
    """An utterance that has begun, in the frame that starts at ``opened``; all in samples."""

    opened: int
    voiced_until: int
    silence: int = 0
    reported: int = 0
    pcm: bytearray = field(default_factory=bytearray)

    def take(self) -> bytes:
        """Hand over the audio that was not handed over before."""
        pcm = bytes(self.pcm)
        self.pcm.clear()
        return pcm


def _first_loud(frame: bytes, level: int) -> int:
    # There is one: no frame's energy reaches the level if all its samples are below it.
    samples = memoryview(frame).cast("h")
    return next(place for place, sample in enumerate(samples) if abs(sample) >= level)


def _reversed(frame: bytes) -> bytes:
    return memoryview(frame).cast("h")[::-1].tobytes()

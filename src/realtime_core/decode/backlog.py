"""Which audio has not come out of the decoder yet, and where PCM belongs in time. Pure.

The session clock counts PCM, so each frame gets its place on it when it is fed: the sum of
the frames before it, and of the holes between them. PCM is put where its frame belongs. What
a decoder took along when it died is given to the next one; what is lost for good leaves
silence of the same length.

Positions and lengths are samples at 16 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from realtime_core.decode.asc import frame_duration_s
from realtime_core.decode.holes import LEAST_SAMPLES, PublisherClock
from realtime_core.decode.seams import Seams
from realtime_core.model import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, Silence

# An audio tag's two bytes before the AAC: codec and kind.
TAG_PREFIX_BYTES = 2
# A decoder that dies twice at the same place may have been killed by a frame there. FFmpeg
# has a few frames in work at a time, so that many go.
SUSPECT = SAMPLE_RATE_HZ // 10
SILENCE_AT_ONCE = SAMPLE_RATE_HZ


class Frame(NamedTuple):
    """One AAC frame, the configuration it is under (tag bodies), and its place in time."""

    config: bytes
    body: bytes
    start: int
    end: int

    @property
    def samples(self) -> int:
        return self.end - self.start


class Loss(NamedTuple):
    """Audio that will not be heard, in seconds.

    Attributes:
        missing_s: It never came: the publisher dropped it.
        dropped_s: It came, and had to go.
        clock_jumped: The publisher's clock did, so nobody knows what is missing.
    """

    missing_s: float = 0.0
    dropped_s: float = 0.0
    clock_jumped: bool = False


NO_LOSS = Loss()


class _Line(deque[Frame]):
    """Frames in a row, and how long they are together."""

    def __init__(self) -> None:
        super().__init__()
        self.samples = 0

    def add(self, frame: Frame) -> None:
        self.append(frame)
        self.samples += frame.end - frame.start

    def pop_first(self) -> Frame:
        frame = self.popleft()
        self.samples -= frame.end - frame.start
        return frame

    def join(self, later: _Line) -> _Line:
        """Return one row of both."""
        for frame in later:
            self.add(frame)
        return self


class Backlog:
    """Frames from :meth:`add` until their PCM has gone through :meth:`receive`.

    Holds at most ``most_s`` that no decoder has yet, and as much that one has; then the
    oldest goes.
    """

    def __init__(self, most_s: float) -> None:
        self._most = round(most_s * SAMPLE_RATE_HZ)
        self._config = b""
        self._frame_length = 0.0  # not whole: 1024 samples at 44.1 kHz are 371.5 at 16 kHz
        self._publisher = PublisherClock()
        self._fed = 0.0
        self._placed = 0
        self._waiting, self._taken = _Line(), _Line()
        self._last_out: Frame | None = None
        self._run_up: Frame | None = None
        self._died_at: int | None = None
        self._seams = Seams()

    @property
    def held_s(self) -> float:
        """Audio whose PCM has not come, in seconds."""
        partly_out = max(0, self._placed - self._taken[0].start) if self._taken else 0
        return (self._waiting.samples + self._taken.samples - partly_out) / SAMPLE_RATE_HZ

    @property
    def fed(self) -> int:
        """How many samples what was added and skipped lasts."""
        return round(self._fed)

    @property
    def to_come_s(self) -> float:
        """PCM to come for what was added and skipped, silence included, in seconds."""
        return (round(self._fed) - self._placed) / SAMPLE_RATE_HZ

    @property
    def waits(self) -> bool:
        """Whether there is a frame to take."""
        return bool(self._run_up or self._waiting)

    @property
    def taken_s(self) -> float:
        """The frames that the decoder has been given and that are not out, in seconds."""
        return self._taken.samples / SAMPLE_RATE_HZ

    def configure(self, body: bytes) -> None:
        """Take the AudioSpecificConfig of the frames that follow; a publish begins with one.

        Raises:
            ValueError: It is not one of AAC; the one before stays.
        """
        length_s = frame_duration_s(body[TAG_PREFIX_BYTES:])
        self._config, self._frame_length = body, length_s * SAMPLE_RATE_HZ
        self._publisher.restart()

    def add(self, body: bytes, timestamp_ms: int, now: float) -> Loss:
        """Take a frame; return what is missing before it, and what had to go for it.

        An empty frame, and any before the first configuration, is nothing and takes no time.
        """
        if not self._config or len(body) <= TAG_PREFIX_BYTES:
            return NO_LOSS
        known = self._publisher.hole_before(timestamp_ms, self._fed, now)
        hole = known or 0
        start = round(self._fed + hole)
        self._fed += hole + self._frame_length
        self._waiting.add(Frame(self._config, body, start, round(self._fed)))
        dropped_s = 0.0
        # Two bounds, so that frames the decoder swallowed in silence keep no new ones out.
        for line in (self._waiting, self._taken):
            if line.samples > self._most:
                dropped_s += self._drop(line, lambda line: line.samples > self._most)
        if known == 0 and not dropped_s:
            return NO_LOSS
        return Loss(hole / SAMPLE_RATE_HZ, dropped_s, clock_jumped=known is None)

    def skip(self, seconds: float) -> None:
        """Let the frame that is added next begin so much later."""
        self._fed += max(0.0, seconds) * SAMPLE_RATE_HZ
        self._publisher.restart()  # what its timestamps say of this time is in it already

    def take(self) -> Frame | None:
        """Return the next frame for the decoder, None while there is nothing."""
        if self._run_up:
            frame, self._run_up = self._run_up, None
        elif self._waiting:
            frame = self._waiting.pop_first()
            self._taken.add(frame)
        else:
            return None
        self._seams.give(frame.start, frame.end)
        return frame

    def receive(self, output: bytes) -> Iterator[bytes]:
        """Take the decoder's output as it comes; yield what is to be handed on.

        :class:`Silence` is put in where frames were lost; what came from an earlier decoder already
        is cut off. Yields whole samples.
        """
        for place, part in self._seams.place(output):
            if place > self._placed:
                yield from self._silence_until(place)
            fresh = (
                part[(self._placed - place) * BYTES_PER_SAMPLE :] if place < self._placed else part
            )
            if fresh:
                self._advance(len(fresh) // BYTES_PER_SAMPLE)
                yield fresh

    def restart(self, *, blame_audio: bool) -> float:
        """Begin again with a new decoder: what the old one did not give out is due again.

        The frame before is repeated, because AAC frames overlap; its PCM is cut off again.

        Args:
            blame_audio: The decoder may have died of what it was given. Where it is the
                second that died about here, the audio that comes next goes.

        Returns:
            The seconds of audio that went.
        """
        self._waiting, self._taken = self._taken.join(self._waiting), _Line()
        dropped_s = self._drop_suspect() if blame_audio and self._died_here() else 0.0
        self._died_at = self._placed if blame_audio else None
        self._run_up = self._last_out
        self._seams = Seams()
        return dropped_s

    def resume(self) -> None:
        """Give up what was taken: the next PCM belongs to the next frame that is taken."""
        self._taken = _Line()
        self._seams = Seams()

    def finish(self) -> Iterator[bytes]:
        """Yield silence for what was fed and never came out; to be called last."""
        yield from self._silence_until(round(self._fed))

    def _died_here(self) -> bool:
        return self._died_at is not None and self._placed - self._died_at <= SUSPECT

    def _drop_suspect(self) -> float:
        end = self._waiting[0].start + SUSPECT if self._waiting else 0
        return self._drop(self._waiting, lambda line: line[0].start < end)

    def _drop(self, line: _Line, too_much: Callable[[_Line], bool]) -> float:
        dropped = 0
        while line and too_much(line):
            frame = line.pop_first()
            dropped += frame.end - max(frame.start, self._placed)
        return dropped / SAMPLE_RATE_HZ

    def _silence_until(self, place: int) -> Iterator[bytes]:
        # Less is what resamplers keep and round, and nothing was lost there.
        fill = Silence if place - self._placed > LEAST_SAMPLES else bytes
        while self._placed < place:
            samples = min(place - self._placed, SILENCE_AT_ONCE)
            self._advance(samples)
            yield fill(samples * BYTES_PER_SAMPLE)

    def _advance(self, samples: int) -> None:
        self._placed += samples
        while self._taken and self._taken[0].end <= self._placed:
            self._last_out = self._taken.pop_first()

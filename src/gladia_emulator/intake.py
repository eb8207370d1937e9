"""The audio of one session: counted, kept, taken apart into channels, recognised."""

from __future__ import annotations

import asyncio

from gladia_emulator.audio import AudioDecoder
from gladia_emulator.config import StreamingRequest
from gladia_emulator.endpointing import Endpointer
from gladia_emulator.recognizer import Recognizer
from gladia_emulator.rules import Rules
from gladia_emulator.tasks import Tasks
from gladia_emulator.track import Listener, Track


class Intake:
    """Takes audio in and drives the session's tracks.

    Attributes:
        received_bytes: What was accepted since the session began, over all connections.
        kept: The beginning of it, in the client's format.
    """

    def __init__(
        self, request: StreamingRequest, rules: Rules, recognizer: Recognizer, listener: Listener
    ) -> None:
        self._rate = request.bytes_per_second
        self._decoder = AudioDecoder(
            request.encoding, request.bit_depth, request.sample_rate, request.channels
        )
        self._tracks = [
            Track(channel, _endpointer(request, rules), recognizer, listener)
            for channel in range(request.channels)
        ]
        self._tasks = Tasks()
        self._one_at_a_time = asyncio.Lock()  # the end may come while a chunk still waits
        self._most_kept = int(rules.kept_audio_s * self._rate)
        self.received_bytes = 0
        self.kept = bytearray()

    @property
    def recorded_s(self) -> float:
        """The session's clock."""
        return self.received_bytes / self._rate

    @property
    def unprocessed_s(self) -> float:
        """How much was not transcribed yet, silence included."""
        return max(0.0, self.recorded_s - min(track.processed_s for track in self._tracks))

    def start(self) -> None:
        """Begin to recognise."""
        for track in self._tracks:
            self._tasks.start(track.run())

    def count(self, data: bytes) -> tuple[int, int]:
        """Accept bytes; return their range ``[start, end)`` in the session."""
        start = self.received_bytes
        self.received_bytes += len(data)
        self.kept += data[: self._most_kept - len(self.kept)]
        return start, self.received_bytes

    async def hear(self, data: bytes) -> None:
        """Transcribe accepted bytes; waits when recognition is far behind."""
        async with self._one_at_a_time:
            for track, pcm in zip(self._tracks, self._decoder.feed(data), strict=True):
                await track.hear(pcm)

    async def finish(self) -> None:
        """Return when all that was accepted has been recognised."""
        async with self._one_at_a_time:
            for track in self._tracks:
                await track.finish()
        await self._tasks.wait()

    async def close(self) -> None:
        """Give up what is not recognised yet. May be called twice."""
        await self._tasks.close()


def _endpointer(request: StreamingRequest, rules: Rules) -> Endpointer:
    return Endpointer(
        silence_s=request.endpointing,
        longest_s=request.maximum_duration_without_endpointing,
        growth_s=rules.partial_every_s,
        threshold=request.pre_processing.speech_threshold,
    )

"""The audio's way from ``send`` to whichever socket is open, counted. Nothing here blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from realtime_core.metrics import Metrics, Share
from realtime_core.model import BYTES_PER_SAMPLE, AudioGap, seconds_of
from realtime_core.stt.timeline import Timeline

# The provider refuses messages above 1 MiB, and after a few of them the session.
MOST_FRAME_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SttStatistics:
    """How a session's audio stands with the provider."""

    sent_bytes: int
    acknowledged_bytes: int
    unacknowledged_s: float
    connected: bool


def nobody() -> None:
    """Wake nobody."""


class Feed:
    """A timeline that wakes its one reader and keeps the metrics true.

    Attributes:
        ended: No more audio comes.
        wake: Called at every change, beside waking who waits in :meth:`changed`.
        sent_bytes: PCM sent, resends included.
        acknowledged_bytes: PCM acknowledged.
    """

    def __init__(self, timeline: Timeline, metrics: Metrics, *, chunk_bytes: int) -> None:
        self.timeline = timeline
        self.ended = False
        self.sent_bytes = self.acknowledged_bytes = 0
        self._metrics = metrics
        self._chunk_bytes = max(chunk_bytes, BYTES_PER_SAMPLE)
        self._changed = asyncio.Event()
        self.wake: Callable[[], None] = nobody
        self._shown = Share(metrics.stt_unacknowledged_seconds)

    @property
    def has_audio(self) -> bool:
        """Whether there is enough audio to be worth a message."""
        return self.timeline.unsent_bytes >= self._least_bytes

    async def changed(self) -> None:
        """Wait for audio, for its end, or for :meth:`notify`. One waiter at a time."""
        await self._changed.wait()
        self._changed.clear()

    def notify(self) -> None:
        """Wake who waits in :meth:`changed`, and call :attr:`wake`."""
        self._changed.set()
        self.wake()

    def put(self, pcm: bytes) -> None:
        """Take audio; past the bound the oldest goes and is counted."""
        self.timeline.append(pcm)
        self._count_losses()
        self.notify()

    def end(self) -> None:
        """No more audio comes; what is there is sent however little it is."""
        self.ended = True
        self.notify()

    def begin(self, stt_session_id: str, now: float) -> AudioGap | None:
        """Give the audio to a new STT session; return the hole that it starts after."""
        gap = self.timeline.begin(stt_session_id, now)
        self._count_losses()
        return gap

    def take(self) -> bytes:
        """Return what is to be sent now; perhaps nothing."""
        return self._sent(self.timeline.take, MOST_FRAME_BYTES, self._least_bytes)

    def take_probe(self) -> bytes:
        """Return a little audio whose acknowledgement tells the provider's count."""
        return self._sent(self.timeline.take_probe)

    def acknowledge(self, start: int, end: int, now: float) -> None:
        """Note an acknowledgement."""
        self._acknowledged(self.timeline.acknowledge(start, end, now))

    def delivered(self, now: float) -> None:
        """Note that the provider got everything that was sent."""
        self._acknowledged(self.timeline.delivered(now))

    def give_up(self) -> AudioGap | None:
        """Nothing more will be sent; return and count what nobody heard."""
        gap = self.timeline.give_up()
        self._count_losses()
        return gap

    def statistics(self, *, connected: bool) -> SttStatistics:
        """Return where the audio stands."""
        return SttStatistics(
            sent_bytes=self.sent_bytes,
            acknowledged_bytes=self.acknowledged_bytes,
            unacknowledged_s=seconds_of(self.timeline.unacknowledged_bytes),
            connected=connected,
        )

    def _sent(self, take: Callable[..., bytes], *bounds: int) -> bytes:
        leg = self.timeline.leg
        if leg is None:
            return b""
        before_at = leg.sent_most_at
        if chunk := take(*bounds):
            self.sent_bytes += len(chunk)
            self._metrics.audio_sent_bytes.inc(len(chunk))
            self._metrics.stt_resent_bytes.inc(len(chunk) - (leg.sent_most_at - before_at))
        return chunk

    def _acknowledged(self, count: int) -> None:
        self.acknowledged_bytes += count
        self._metrics.audio_acknowledged_bytes.inc(count)
        self._show()

    def _count_losses(self) -> None:
        if lost := self.timeline.take_lost_bytes():
            self._metrics.audio_dropped_seconds.labels("stt").inc(seconds_of(lost))
        self._show()

    def _show(self) -> None:
        self._shown.value = seconds_of(self.timeline.unacknowledged_bytes)

    @property
    def _least_bytes(self) -> int:
        return BYTES_PER_SAMPLE if self.ended else self._chunk_bytes

"""What both decoders do with tags and PCM: bound it, count it, keep its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from structlog.stdlib import BoundLogger

from realtime_core.decode.backlog import NO_LOSS, Backlog, Frame, Loss
from realtime_core.decode.splices import Splices
from realtime_core.metrics import Metrics, Share
from realtime_core.model import SAMPLE_RATE_HZ, AudioTag


class Intake:
    """A decoder's backlog with its metrics.

    Attributes:
        arrived: Called when there is something to take, or never will be again.
    """

    def __init__(self, metrics: Metrics, log: BoundLogger, *, queue_s: float) -> None:
        self._backlog = Backlog(queue_s)
        self._metrics, self._log = metrics, log
        self._missing = metrics.audio_dropped_seconds.labels("publisher")
        self._dropped = metrics.audio_dropped_seconds.labels("decoder")
        self._splices = Splices()
        self._is_new_publish = False
        self.arrived: Callable[[], None] = lambda: None
        self._shown = Share(metrics.decoder_queue_seconds)
        self._ended = self._refusing = False
        self._told_of_hole = self._told_of_jump = False

    @property
    def queued_s(self) -> float:
        """PCM to come for what was fed and skipped, silence included."""
        return self._backlog.to_come_s

    @property
    def taken_s(self) -> float:
        """The part of it that the decoder works on."""
        return self._backlog.taken_s

    @property
    def held_s(self) -> float:
        """The frames whose PCM has not come."""
        return self._backlog.held_s

    def feed(self, tag: AudioTag) -> None:
        """Take a tag; never waits. After :meth:`end` it is ignored."""
        if self._ended:
            return
        self._metrics.audio_received_bytes.inc(len(tag.payload))
        if tag.is_config:
            self._configure(tag.payload)
        else:
            self._add(tag)
        self._show()
        self.arrived()

    def skip(self, seconds: float) -> None:
        """Let the frame that is fed next begin so much later. After :meth:`end` it is ignored."""
        if not self._ended:
            self._backlog.skip(seconds)

    def end(self) -> None:
        """Promise that no more tags come."""
        self._ended = True
        self.arrived()

    @property
    def is_over(self) -> bool:
        """Whether all was taken that ever comes."""
        return self._ended and not self._backlog.waits

    def take(self) -> Frame | None:
        """Return the next frame, None while there is nothing."""
        return self._backlog.take()

    def receive(self, pcm: bytes) -> Iterator[bytes]:
        """Take what came out of the decoder; yield what is to be handed on, in its place."""
        for part in self._backlog.receive(pcm):
            yield self._handed_on(self._splices.mute(part))

    def finish(self) -> Iterator[bytes]:
        """Yield silence for what never came out."""
        for part in self._backlog.finish():
            yield self._handed_on(self._splices.mute(part))

    def restart(self, *, blame_audio: bool) -> None:
        """Prepare for a new decoder, see :meth:`Backlog.restart`."""
        self._dropped.inc(self._backlog.restart(blame_audio=blame_audio))
        self._show()

    def resume(self) -> None:
        """Give up what the decoder was given, see :meth:`Backlog.resume`."""
        self._backlog.resume()
        self._show()

    def close(self) -> None:
        """Take no more, and leave the gauge."""
        self.end()
        self._shown.set(0.0)

    def _configure(self, body: bytes) -> None:
        try:
            self._backlog.configure(body)
            self._is_new_publish = True
            self._refusing = self._told_of_hole = self._told_of_jump = False
        except ValueError as exc:
            if not self._refusing:  # the first of a row is enough
                text = body[:32].hex()
                self._log.warning("Audio configuration refused", error=str(exc), config=text)
            self._refusing = True

    def _add(self, tag: AudioTag) -> None:
        now, before = asyncio.get_running_loop().time(), self._backlog.fed
        loss = self._backlog.add(tag.payload, tag.timestamp_ms, now)
        if loss is not NO_LOSS:
            self._count(loss)
        if self._is_new_publish and self._backlog.fed > before:
            self._is_new_publish = False
            if before:
                start = before + round(loss.missing_s * SAMPLE_RATE_HZ)
                self._splices.mark(start, self._backlog.fed)

    def _handed_on(self, pcm: bytes) -> bytes:
        self._metrics.audio_decoded_bytes.inc(len(pcm))
        self._show()
        return pcm

    def _count(self, loss: Loss) -> None:
        self._dropped.inc(loss.dropped_s)
        self._missing.inc(loss.missing_s)
        # The first of a publish is enough, of either.
        if loss.missing_s and not self._told_of_hole:
            self._log.warning("Publisher left audio out", seconds=round(loss.missing_s, 3))
            self._told_of_hole = True
        if loss.clock_jumped and not self._told_of_jump:
            self._log.warning("Publisher's clock jumped")
            self._told_of_jump = True

    def _show(self) -> None:
        self._shown.set(self._backlog.held_s)

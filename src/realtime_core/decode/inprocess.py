"""AAC to PCM inside this process, with PyAV: cheap, but a crash of libavcodec is ours."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from realtime_core.decode.backlog import TAG_PREFIX_BYTES, Frame
from realtime_core.decode.intake import Intake
from realtime_core.errors import ConfigurationError
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, AudioTag

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame, AudioResampler

# A backlog is decoded in steps of about a millisecond, so that other sessions have their turn.
FRAMES_PER_STEP = 20

log = get_logger("decode")


class InprocessDecoder:
    """Decodes one session's audio in the event loop's own thread.

    Same promises as the decoder with FFmpeg. What cannot be decoded becomes silence, so it
    never fails.
    """

    def __init__(self, metrics: Metrics, *, session: str, queue_s: float = 10.0) -> None:
        self._log = log.bind(session=session)
        self._intake = Intake(metrics, self._log, queue_s=queue_s)
        self._aac = _Aac()
        self._failing = False

    @property
    def queued_s(self) -> float:
        """PCM to come for what was fed and skipped, silence included, in seconds."""
        return self._intake.queued_s

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(importlib.import_module, "av")
        except ImportError as exc:
            raise ConfigurationError(
                "decoding in the process needs PyAV: "
                'pip install "realtime-core[inprocess]", or set DECODER=ffmpeg'
            ) from exc
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._intake.close()

    def feed(self, tag: AudioTag) -> None:
        """Take a tag; never waits and never raises."""
        self._intake.feed(tag)

    def skip(self, seconds: float) -> None:
        """Let the next frame that is fed begin so much later; silence fills the time."""
        self._intake.skip(seconds)

    def end(self) -> None:
        """Promise that no more tags come; :meth:`pcm` ends after the last PCM."""
        self._intake.end()

    async def pcm(self) -> AsyncIterator[bytes]:
        """Yield PCM as it is asked for, whole samples, for one reader."""
        frames = 0
        while (frame := await self._intake.take()) is not None:
            for pcm in self._decode(frame):
                yield pcm
            frames += 1
            if frames % FRAMES_PER_STEP == 0:
                await asyncio.sleep(0)
        for pcm in self._intake.receive(self._aac.reset()):
            yield pcm
        for pcm in self._intake.finish():
            yield pcm

    def _decode(self, frame: Frame) -> Iterator[bytes]:
        from av.error import FFmpegError

        try:
            for pcm in self._aac.decode(frame):
                yield from self._intake.receive(pcm)
            self._failing = False
        except (FFmpegError, ValueError) as exc:
            # Let out what is inside, so that the frame's place is left empty to the sample.
            yield from self._intake.receive(self._aac.reset())
            self._intake.resume()
            self._warn(exc)

    def _warn(self, exc: Exception) -> None:
        if not self._failing:  # the first of a row is enough
            self._log.warning("Audio cannot be decoded", error=repr(exc))
        self._failing = True


class _Aac:
    """libavcodec's AAC decoder and a resampler, renewed when what they work on changes."""

    def __init__(self) -> None:
        self._config = b""
        self._codec: AudioCodecContext | None = None
        self._form: tuple[int, str, str] | None = None
        self._resampler: AudioResampler | None = None

    def decode(self, frame: Frame) -> Iterator[bytes]:
        """Yield the PCM that is ready; the resampler keeps a millisecond.

        Raises:
            ValueError, FFmpegError: The frame, or its configuration, cannot be decoded.
        """
        from av import Packet

        if self._codec is None or frame.config != self._config:
            self._codec, self._config = _codec(frame.config), frame.config
        decoded = self._codec.decode(Packet(frame.body[TAG_PREFIX_BYTES:]))
        if not decoded:
            raise ValueError("no audio in the frame")
        for each in decoded:
            yield from self._resample(each)

    def reset(self) -> bytes:
        """Forget what came before, and return the last of its PCM."""
        if self._codec is not None and self._codec.is_open:
            self._codec.flush_buffers()
        rest = _pcm(self._resampler.resample(None)) if self._resampler else b""
        self._form = self._resampler = None
        return rest

    def _resample(self, decoded: AudioFrame) -> Iterator[bytes]:
        form = (decoded.rate, decoded.layout.name, decoded.format.name)
        if self._resampler is None or form != self._form:
            yield _pcm(self._resampler.resample(None)) if self._resampler else b""
            self._resampler, self._form = _resampler(), form
        yield _pcm(self._resampler.resample(decoded))


def _codec(config: bytes) -> AudioCodecContext:
    from av import AudioCodecContext

    codec = AudioCodecContext.create("aac", "r")
    codec.extradata = config[TAG_PREFIX_BYTES:]
    return codec


def _resampler() -> AudioResampler:
    from av import AudioResampler

    return AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)


def _pcm(frames: list[AudioFrame]) -> bytes:
    # A plane may be longer than its samples.
    return b"".join(bytes(each.planes[0])[: each.samples * BYTES_PER_SAMPLE] for each in frames)

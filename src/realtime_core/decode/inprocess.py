"""AAC to PCM inside this process, with PyAV: cheap, but a crash of libavcodec is ours."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable

from realtime_core.decode.backlog import Frame
from realtime_core.decode.intake import Intake
from realtime_core.decode.libav import Aac
from realtime_core.errors import ConfigurationError
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag

# A backlog is decoded in steps of about a millisecond, so that other sessions have their turn.
FRAMES_PER_STEP = 20

log = get_logger("decode")


async def load_pyav() -> tuple[type[Exception], ...]:
    """Import PyAV, and return what it raises for audio that cannot be decoded.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        errors = await asyncio.to_thread(importlib.import_module, "av.error")
    except ImportError as exc:
        raise ConfigurationError(
            "decoding in the process needs PyAV: "
            'pip install "realtime-core[inprocess]", or set DECODER=ffmpeg'
        ) from exc
    return (ValueError, errors.FFmpegError)


class InprocessDecoder:
    """Decodes one session's audio in the event loop's own thread, where it is fed.

    Same promises as the decoder with FFmpeg. What cannot be decoded becomes silence, so it
    never fails.
    """

    def __init__(self, metrics: Metrics, *, session: str, queue_s: float = 10.0) -> None:
        self._log = log.bind(session=session)
        self._intake = Intake(metrics, self._log, queue_s=queue_s)
        self._aac = Aac()
        self._errors: tuple[type[Exception], ...] = ()
        self._emit: Callable[[bytes], None]  # run() brings it
        self._over: asyncio.Future[None] | None = None
        self._has_turn_ahead = self._failing = False

    @property
    def queued_s(self) -> float:
        """PCM to come for what was fed and skipped, silence included, in seconds."""
        return self._intake.queued_s

    async def run(self, emit: Callable[[bytes], None]) -> None:
        """Decode until all is out that was fed before :meth:`end`.

        ``emit`` takes PCM as it comes, whole samples, mostly while :meth:`feed` runs. What it
        raises is raised here.
        """
        self._emit = emit
        try:
            self._errors = await load_pyav()
            over = self._over = asyncio.get_running_loop().create_future()
            self._intake.arrived = self._arrived
            self._arrived()
            await over
        finally:
            self._over = None
            self._intake.close()

    def feed(self, tag: AudioTag) -> None:
        """Take a tag; never waits and never raises."""
        self._intake.feed(tag)

    def skip(self, seconds: float) -> None:
        """Let the next frame that is fed begin so much later; silence fills the time."""
        self._intake.skip(seconds)

    def end(self) -> None:
        """Promise that no more tags come; :meth:`run` ends after the last PCM."""
        self._intake.end()

    def _arrived(self) -> None:
        if not self._has_turn_ahead:  # or what came before is still waiting for its turn
            self._step()

    def _step(self) -> None:
        """Decode what there is, or as much as one session may in a turn of the loop."""
        self._has_turn_ahead = False
        over = self._over
        if over is None or over.done():
            return
        try:
            self._decode_some()
        except Exception as exc:  # noqa: BLE001 - run() raises it; who feeds has no part in it
            over.set_exception(exc)
            return
        if self._has_turn_ahead:
            asyncio.get_running_loop().call_soon(self._step)
        elif self._intake.is_over:
            over.set_result(None)

    def _decode_some(self) -> None:
        for _ in range(FRAMES_PER_STEP):
            frame = self._intake.take()
            if frame is None:
                break
            self._hand_on(self._decoded(frame))
        else:
            self._has_turn_ahead = True
            return
        if self._intake.is_over:
            self._hand_on(self._intake.receive(self._aac.reset()))
            self._hand_on(self._intake.finish())

    def _hand_on(self, pieces: Iterable[bytes]) -> None:
        for pcm in pieces:
            self._emit(pcm)

    def _decoded(self, frame: Frame) -> Iterable[bytes]:
        try:
            pcm = self._aac.decode(frame)
        except self._errors as exc:
            # Let out what is inside, so that the frame's place is left empty to the sample.
            rest = list(self._intake.receive(self._aac.reset()))
            self._intake.resume()
            self._warn(exc)
            return rest
        self._failing = False
        return self._intake.receive(pcm)

    def _warn(self, exc: Exception) -> None:
        if not self._failing:  # the first of a row is enough
            self._log.warning("Audio cannot be decoded", error=repr(exc))
        self._failing = True

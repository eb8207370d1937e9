"""AAC to PCM by one FFmpeg process per session, kept alive.

What happens to one process is in :mod:`.run`; how no audio is lost between two, in
:mod:`.backlog`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from realtime_core.decode.command import ENVIRONMENT, decode_command
from realtime_core.decode.intake import Intake
from realtime_core.decode.outlet import Outlet
from realtime_core.decode.run import Ending, Outcome, Run
from realtime_core.errors import DecoderError
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag
from realtime_core.processes import child_process

# FFmpeg leaves within 20 ms of the end of its input.
GRACE_S = 1.0
# PCM waits here for its reader, at most a second each; behind it FFmpeg and the queue wait.
PCM_PIECES = 20

log = get_logger("decode")


class FfmpegDecoder:
    """Decodes one session's audio with FFmpeg; enter it at publish, so that FFmpeg is warm.

    It lives through publishers that reconnect, and replaces an FFmpeg that died: up to
    ``retries`` times in a row, ``retry_delay_s`` apart. What was fed meanwhile, and what
    the dead one took along, is decoded afterwards. At most ``queue_s`` of audio is held;
    then the oldest goes, leaves silence, and is counted.

    Leaving ends FFmpeg and :meth:`pcm`, whatever is still in them.
    """

    def __init__(
        self,
        ffmpeg: str,
        metrics: Metrics,
        *,
        session: str,
        retries: int = 3,
        retry_delay_s: float = 2.0,
        queue_s: float = 10.0,
        stall_s: float = 5.0,
    ) -> None:
        self._command = decode_command(ffmpeg)
        self._metrics, self._log = metrics, log.bind(session=session)
        self._retries, self._retry_delay_s, self._stall_s = retries, retry_delay_s, stall_s
        self._intake = Intake(metrics, self._log, queue_s=queue_s)
        self._outlet = Outlet(PCM_PIECES)
        self._task: asyncio.Task[None] | None = None

    @property
    def queued_s(self) -> float:
        """PCM to come for what was fed and skipped, silence included, in seconds."""
        return self._intake.queued_s

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="decode/ffmpeg")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        try:
            await asyncio.gather(self._task, return_exceptions=True)
        finally:
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
        """Yield PCM as it comes, whole samples, for one reader.

        Raises:
            DecoderError: FFmpeg died, and so did those that replaced it.
        """
        async for piece in self._outlet:
            yield piece
        if self._task and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        try:
            await self._decode()
            for pcm in self._intake.finish():
                await self._outlet.put(pcm)
        finally:
            self._outlet.close()

    async def _decode(self) -> None:
        """Decode until the end of the tags, with as many processes as it takes."""
        failures = 0
        while (ending := await self._run_process()).outcome is not Outcome.ASKED:
            failures = 1 if ending.ran_well else failures + 1
            self._warn(ending, failures)
            if failures > self._retries:
                raise DecoderError(f"FFmpeg failed {failures} times in a row")
            await asyncio.sleep(self._retry_delay_s)
            self._intake.restart(blame_audio=ending.of_itself)
            self._metrics.ffmpeg_restarts.inc()

    async def _run_process(self) -> Ending:
        run: Run | None = None
        try:
            async with child_process(self._command, env=ENVIRONMENT, grace_s=GRACE_S) as child:
                self._log.debug("FFmpeg started", pid=child.pid)
                self._metrics.ffmpeg_starts.inc()
                run = Run(child, self._intake, self._outlet, self._stall_s)
                await run.work()
            return run.ending()
        except OSError as exc:
            return Ending(Outcome.CRASHED, last_words=f"cannot be started: {exc}")
        finally:
            if run:
                self._metrics.ffmpeg_exits.labels(run.ending().outcome.value).inc()

    def _warn(self, ending: Ending, failures: int) -> None:
        self._log.warning(
            "FFmpeg ended unasked",
            outcome=ending.outcome.value,
            returncode=ending.returncode,
            stderr=ending.last_words,
            failures=failures,
            retries=self._retries,
        )

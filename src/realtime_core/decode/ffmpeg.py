"""AAC to PCM by one FFmpeg process per session, kept alive.

What happens to one process is in :mod:`.run`; how no audio is lost between two, in
:mod:`.backlog`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime_core.decode.command import ENVIRONMENT, decode_command
from realtime_core.decode.intake import Intake
from realtime_core.decode.run import Ending, Outcome, Run
from realtime_core.decode.starts import Place, StartGate
from realtime_core.errors import DecoderError
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag
from realtime_core.processes import child_process

# FFmpeg leaves within 20 ms of the end of its input.
GRACE_S = 1.0

log = get_logger("decode")


class FfmpegDecoder:
    """Decodes one session's audio with FFmpeg; run it from the publish on, to have FFmpeg warm.

    It lives through publishers that reconnect, and replaces an FFmpeg that died: up to
    ``retries`` times in a row, ``retry_delay_s`` apart. What was fed meanwhile, and what
    the dead one took along, is decoded afterwards. At most ``queue_s`` of audio is held;
    then the oldest goes, leaves silence, and is counted.

    ``starts`` is shared by all decoders of a service: each FFmpeg waits for its place there.
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
        starts: StartGate | None = None,
    ) -> None:
        self._command = decode_command(ffmpeg)
        self._metrics, self._log = metrics, log.bind(session=session)
        self._retries, self._retry_delay_s, self._stall_s = retries, retry_delay_s, stall_s
        self._intake = Intake(metrics, self._log, queue_s=queue_s)
        self._starts = starts or StartGate(most=1)
        self._emit: Callable[[bytes], None]  # run() brings it

    @property
    def queued_s(self) -> float:
        """PCM to come for what was fed and skipped, silence included, in seconds."""
        return self._intake.queued_s

    async def run(self, emit: Callable[[bytes], None]) -> None:
        """Decode until all is out that was fed before :meth:`end`.

        ``emit`` takes PCM as it comes, whole samples. What it raises is raised here. Cancelled,
        FFmpeg is ended first, whatever is still in it.

        Raises:
            DecoderError: FFmpeg died, and so did those that replaced it.
        """
        self._emit = emit
        try:
            await self._decode()
            for pcm in self._intake.finish():
                emit(pcm)
        finally:
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
        place = await self._place()
        try:
            return await self._run_in(place)
        except OSError as exc:
            return Ending(Outcome.CRASHED, last_words=f"cannot be started: {exc}")
        finally:
            place.leave()

    async def _place(self) -> Place:
        loop = asyncio.get_running_loop()
        came_at = loop.time()
        place = await self._starts.enter()
        self._metrics.ffmpeg_start_wait.observe(loop.time() - came_at)
        return place

    async def _run_in(self, place: Place) -> Ending:
        run = Run(self._intake, self._emit, self._stall_s, started=place.leave)
        has_worked = False
        try:
            async with child_process(
                self._command, env=ENVIRONMENT, grace_s=GRACE_S, output=run.output
            ) as child:
                self._log.debug("FFmpeg started", pid=child.pid)
                self._metrics.ffmpeg_starts.inc()
                has_worked = True
                await run.work(child)
            return run.ending()
        finally:
            if has_worked:
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

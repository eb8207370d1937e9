"""Publishes a recording as LiveKit Egress would, watches as a viewer, and says what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from realtime_core.replay.outcome import ReplayFailed, Watched, report
from realtime_core.replay.recording import Advanced, Recording, open_recording
from realtime_core.replay.service import Service, Started, connected
from realtime_core.replay.turns import Turn, read_text, read_turns, speaking

REPORT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to publish, where, and beside what.

    Attributes:
        speakers: A JSON list of turns: ``identity``, ``name``, ``from``, ``to`` in seconds.
        reference: The text that is spoken.
        lead_s: How far speaker reports run ahead of the audio; egress delivers late.
        end_within_s: How long after the recording the session may take to end.
    """

    file: Path
    session_slug: str
    url: str
    speakers: Path | None = None
    reference: Path | None = None
    lead_s: float = 2.0
    token: str | None = None
    end_within_s: float = 60.0


async def run_replay(request: ReplayRequest, console: Console) -> int:
    """Replay with a progress bar, print one line of JSON, and return the exit code.

    Raises:
        ConfigurationError: Something is missing or was refused; nothing runs.
    """
    try:
        with publishing(request, console) as advanced:
            outcome = await replay(request, advanced)
    except ReplayFailed as exc:
        complain(console, str(exc))
        return 1
    typer.echo(json.dumps(outcome))
    if not outcome["finals"]:
        complain(console, f"no final transcript came ({outcome['reason']})")
    return 0 if outcome["finals"] else 1


@contextmanager
def publishing(request: ReplayRequest, console: Console) -> Iterator[Advanced]:
    """Yield what moves a progress bar, which is shown when it is first moved."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, TimeRemainingColumn(), console=console)
    task = progress.add_task(f"Publishing {request.file.name}", total=None)

    def advanced(at_s: float, of_s: float | None) -> None:
        progress.update(task, completed=at_s, total=of_s)
        progress.start()

    try:
        yield advanced
    finally:
        if progress.live.is_started:
            progress.stop()


def complain(console: Console, text: str) -> None:
    """Say what is wrong, as all commands do."""
    console.print(f"realtime-core: {text}", markup=False, soft_wrap=True)


async def replay(request: ReplayRequest, advanced: Advanced) -> dict[str, Any]:
    """Publish the recording in real time and return the report.

    A session that it started is stopped when it fails or is cancelled.

    Raises:
        ConfigurationError: The service, FFmpeg or a file is not there, or it was refused.
        ReplayFailed: It broke off.
    """
    turns, reference = await asyncio.to_thread(_read, request)
    recording = await open_recording(request.file)
    clock = asyncio.get_running_loop().time
    began_at, watched = clock(), Watched()
    async with connected(request.url, request.session_slug, request.token) as service:
        started = await service.start()
        async with _stopped_on_failure(service, started):
            performance = _Performance(request, service, recording, turns, watched)
            audio_began_at = await performance.run(started.rtmp_url, advanced)
    outcome = report(watched, reference, audio_began_at if started.is_unheard else None)
    seconds = round(clock() - began_at, 1)
    return {"sessionSlug": request.session_slug, **outcome, "seconds": seconds}


def _read(request: ReplayRequest) -> tuple[list[Turn], str]:
    turns = read_turns(request.speakers) if request.speakers else []
    return turns, read_text(request.reference) if request.reference else ""


@asynccontextmanager
async def _stopped_on_failure(service: Service, started: Started) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:
        if started.is_new:
            await service.stop()
        raise


@dataclass
class _Performance:
    """The three who take part: egress, the participants' clients, and a viewer."""

    request: ReplayRequest
    service: Service
    recording: Recording
    turns: Sequence[Turn]
    watched: Watched

    async def run(self, rtmp_url: str, advanced: Advanced) -> float | None:
        """Play the recording to the session's end; return when its first sample went out."""
        try:
            async with self.service.viewer() as viewer, asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(viewer.watch(self.watched.take), name="viewer")
                reporting = tasks.create_task(self._report_turns(), name="speakers")
                advanced(0.0, self.recording.length_s)
                await asyncio.sleep(self.request.lead_s if self.turns else 0)
                audio_began_at = await self.recording.publish(rtmp_url, advanced)
                reporting.cancel()
                await self._ended(watching)
        except BaseExceptionGroup as failures:
            raise self._explained(failures.exceptions[0]) from None
        return audio_began_at

    async def _ended(self, watching: asyncio.Task[None]) -> None:
        await asyncio.wait([watching], timeout=self.request.end_within_s)
        if not watching.done():
            raise ReplayFailed(
                f"the session did not end within {self.request.end_within_s:g} s"
                " after the recording"
            )

    async def _report_turns(self) -> None:
        """Report who speaks, as the participants' clients would, until the session is over."""
        clock = asyncio.get_running_loop().time
        began_at = clock()
        last_s = max((turn.to_s for turn in self.turns), default=0.0)
        for number in range(int(last_s / REPORT_EVERY_S) + 1):
            at_s = number * REPORT_EVERY_S
            await asyncio.sleep(began_at + at_s - clock())
            for turn in speaking(self.turns, at_s):
                if not await self.service.report_speaker(turn.identity, turn.name):
                    return  # the viewer is told why

    def _explained(self, failure: BaseException) -> BaseException:
        """Add what the service said, if our side broke off because the session did."""
        if isinstance(failure, ReplayFailed) and self.watched.last_word:
            return ReplayFailed(f"{failure} (the service said last: {self.watched.last_word})")
        return failure

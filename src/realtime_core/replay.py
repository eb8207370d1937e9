"""Publishes a recording as LiveKit Egress would, watches as a viewer, and says what came of it."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import typer
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from realtime_core.decode.locate import locate
from realtime_core.errors import ConfigurationError
from realtime_core.processes import child_process

REPORT_EVERY_S = 0.5
AFTER_END_S = 60.0
GRACE_S = 2.0
Advanced = Callable[[float, float | None], None]
WORD = re.compile(r"[\w']+")
DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to publish, where, and beside what.

    Attributes:
        speakers: A JSON list of turns: ``identity``, ``name``, ``from``, ``to`` in seconds.
        reference: The text that is spoken.
        lead_s: How far speaker reports run ahead of the audio; egress delivers late.
    """

    file: Path
    session_slug: str
    url: str
    speakers: Path | None = None
    reference: Path | None = None
    lead_s: float = 2.0
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's turn in a recording, in seconds from its start."""

    identity: str
    name: str
    from_s: float
    to_s: float


@dataclass
class Watched:
    """What the viewer saw. Finals are kept by utterance, the latest revision of each."""

    drafts: int = 0
    finals: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrived_at: dict[str, float] = field(default_factory=dict)

    def take(self, message: dict[str, Any], now: float) -> None:
        """Note one message of the service."""
        if message.get("type") != "transcript":
            return
        if not message["isFinal"]:
            self.drafts += 1
            return
        self.arrived_at.setdefault(message["utteranceId"], now)
        self.finals[message["utteranceId"]] = message

    def in_order(self) -> list[dict[str, Any]]:
        """Return the finals in the order they were spoken."""
        return sorted(self.finals.values(), key=lambda each: each["startedAt"])

    def latencies_s(self, audio_began_at: float) -> list[float]:
        """Return how long after its last word each final arrived."""
        return [
            self.arrived_at[key] - (audio_began_at + final["endedAt"])
            for key, final in self.finals.items()
        ]


def word_error_rate(reference: str, heard: str) -> float:
    """Return the share of the reference's words that would have to be edited."""
    expected, got = (WORD.findall(text.lower()) for text in (reference, heard))
    return Levenshtein.distance(expected, got) / max(len(expected), 1)


async def run_replay(request: ReplayRequest, console: Console) -> int:
    """Replay with a progress bar, print one line of JSON, and return the exit code."""
    with publishing(request, console) as advanced:
        report = await replay(request, advanced)
    typer.echo(json.dumps(report))
    return 0 if report["finals"] else 1


@contextmanager
def publishing(request: ReplayRequest, console: Console) -> Iterator[Advanced]:
    """Show a progress bar; yields what moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(f"Publishing {request.file.name}", total=None)
        yield lambda at_s, of_s: progress.update(task, completed=at_s, total=of_s)


async def replay(request: ReplayRequest, advanced: Advanced) -> dict[str, Any]:
    """Publish the recording in real time and return the report.

    Raises:
        ConfigurationError: The service, FFmpeg or a file is not there, or it was refused.
    """
    ffmpeg = (await locate()).path
    turns = await asyncio.to_thread(_read_turns, request.speakers)
    reference = await asyncio.to_thread(_read_text, request.reference)
    loop = asyncio.get_running_loop()
    began_at, watched = loop.time(), Watched()
    async with _client(request) as http:
        started = await _post(http, request, "transcribe/start", {})
        async with _watching(http, request, watched) as ended, _reporting(http, request, turns):
            await asyncio.sleep(request.lead_s if turns else 0)
            audio_began_at = await _publish(ffmpeg, request.file, started["rtmpUrl"], advanced)
            async with asyncio.timeout(AFTER_END_S):
                await ended
    latencies = watched.latencies_s(audio_began_at)
    text = " ".join(final["text"] for final in watched.in_order())
    return {
        "sessionSlug": request.session_slug,
        "drafts": watched.drafts,
        "finals": len(watched.finals),
        "speakers": sorted({final["speaker"] for final in watched.finals.values()}),
        "latencyP50Ms": round(statistics.median(latencies) * 1000) if latencies else None,
        "latencyMaxMs": round(max(latencies) * 1000) if latencies else None,
        "wordErrorRate": round(word_error_rate(reference, text), 3) if reference else None,
        "seconds": round(loop.time() - began_at, 1),
    }


@asynccontextmanager
async def _client(request: ReplayRequest) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {request.token}"} if request.token else {}
    try:
        async with aiohttp.ClientSession(headers=headers) as http:
            yield http
    except aiohttp.ClientConnectorError:
        raise ConfigurationError(
            f"no service answers at {request.url}; start it with: realtime-core serve"
        ) from None


async def _post(
    http: aiohttp.ClientSession, request: ReplayRequest, path: str, body: dict[str, Any]
) -> dict[str, Any]:
    url = f"{request.url}/api/realtime/{path}"
    async with http.post(url, json={"sessionSlug": request.session_slug, **body}) as response:
        answer: dict[str, Any] = await response.json()
    if response.status >= 400:
        raise ConfigurationError(f"the service refused: {answer['error']['message']}")
    return answer


@asynccontextmanager
async def _watching(
    http: aiohttp.ClientSession, request: ReplayRequest, watched: Watched
) -> AsyncIterator[Awaitable[None]]:
    """Watch as a viewer does; yields what is done when the session has ended."""
    query = {"sessionSlug": request.session_slug}
    if request.token:
        query["token"] = request.token
    url = f"{request.url}/api/realtime/transcribe"
    async with http.ws_connect(url, params=query, max_msg_size=0) as socket:
        task = asyncio.ensure_future(_watch(socket, watched))
        try:
            yield task
        finally:
            task.cancel()


async def _watch(socket: aiohttp.ClientWebSocketResponse, watched: Watched) -> None:
    loop = asyncio.get_running_loop()
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            watched.take(json.loads(message.data), loop.time())


@asynccontextmanager
async def _reporting(
    http: aiohttp.ClientSession, request: ReplayRequest, turns: Sequence[Turn]
) -> AsyncIterator[None]:
    """Report the recording's speakers as its participants' clients would."""
    task = asyncio.ensure_future(_report_turns(http, request, turns))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _report_turns(
    http: aiohttp.ClientSession, request: ReplayRequest, turns: Sequence[Turn]
) -> None:
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    for number in range(int(max((turn.to_s for turn in turns), default=0) / REPORT_EVERY_S) + 1):
        at_s = number * REPORT_EVERY_S
        await asyncio.sleep(began_at + at_s - loop.time())
        for turn in turns:
            if turn.from_s <= at_s < turn.to_s:
                body = {
                    "sessionSlug": request.session_slug,
                    "identity": turn.identity,
                    "name": turn.name,
                    "timestamp": round(loop.time() * 1000),
                }
                async with http.post(f"{request.url}/api/active-speaker", json=body):
                    pass


async def _publish(ffmpeg: str, file: Path, rtmp_url: str, advanced: Advanced) -> float:
    """Push the file in real time; return when its first sample went out, on the loop's clock."""
    total_s = await _duration_s(ffmpeg, file)
    argv = [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-progress", "pipe:1"]
    argv += ["-stats_period", "0.1", "-re", "-i", str(file), "-vn", "-c:a", "aac"]
    argv += ["-b:a", "128k", "-ar", "44100", "-ac", "2", "-f", "flv", rtmp_url]
    loop = asyncio.get_running_loop()
    began_at = float("inf")
    async with child_process(argv, env={}, grace_s=GRACE_S) as process:
        async for line in process.stdout:
            name, _, value = line.decode().strip().partition("=")
            if name == "out_time_us" and value.isdigit():
                # What left earliest was held up least.
                began_at = min(began_at, loop.time() - int(value) / 1e6)
                advanced(int(value) / 1e6, total_s)
    if process.returncode != 0:
        complaint = " ".join(process.complaints.lines())
        raise ConfigurationError(f"FFmpeg could not publish {file.name}: {complaint}")
    return began_at


async def _duration_s(ffmpeg: str, file: Path) -> float | None:
    argv = [ffmpeg, "-hide_banner", "-i", str(file)]
    async with child_process(argv, env={}, grace_s=GRACE_S) as process:
        await process.stdout.read()
    found = DURATION.search(" ".join(process.complaints.lines()))
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _read_turns(path: Path | None) -> list[Turn]:
    try:
        turns = json.loads(_read_text(path) or "[]")
        return [
            Turn(each["identity"], each["name"], float(each["from"]), float(each["to"]))
            for each in turns
        ]
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(
            f"{path}: not a list of turns with identity, name, from and to ({exc!r})"
        ) from None


def _read_text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"{path}: {exc.strerror}") from None

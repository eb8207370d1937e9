"""A recording, and FFmpeg that publishes it as LiveKit Egress would."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from realtime_core.decode.locate import locate
from realtime_core.errors import ConfigurationError
from realtime_core.processes import Child, child_process
from realtime_core.replay.outcome import ReplayFailed

GRACE_S = 2.0
Advanced = Callable[[float, float | None], None]
"""Told how much has been published, and of how much if that is known; in seconds."""

QUIET = ["-nostdin", "-hide_banner", "-loglevel", "error"]
PROGRESS = ["-progress", "pipe:1", "-stats_period", "0.1"]
AS_EGRESS = ["-c:a", "aac", "-b:a", "128k", "-ar", "44100", "-ac", "2", "-f", "flv"]
DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)")
KEY = re.compile(r"\?key=\S*")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file with sound in it that FFmpeg can read.

    Attributes:
        ffmpeg: FFmpeg's path.
        length_s: Its length, if the file says so.
    """

    ffmpeg: str
    file: Path
    length_s: float | None

    async def publish(self, rtmp_url: str, advanced: Advanced) -> float | None:
        """Push the recording in real time.

        Returns:
            When its first sample went out, on the loop's clock; None if nothing did.

        Raises:
            ReplayFailed: It was not taken to the end, or could not be read to the end.
        """
        argv = [self.ffmpeg, *QUIET, *PROGRESS, "-re", *_input(self.file), *AS_EGRESS, rtmp_url]
        async with child_process(argv, env={}, grace_s=GRACE_S) as process:
            began_at = await self._follow(process, advanced)
        if process.returncode != 0:
            raise ReplayFailed(f"FFmpeg could not publish {self.file.name}: {_complaint(process)}")
        return began_at

    async def _follow(self, process: Child, advanced: Advanced) -> float | None:
        loop = asyncio.get_running_loop()
        began_at: float | None = None
        async for line in process.stdout:
            at_s = _published_s(line)
            if at_s is not None:
                advanced(at_s, self.length_s)
                # What left earliest was held up least.
                zero = loop.time() - at_s
                began_at = zero if began_at is None else min(began_at, zero)
        return began_at


async def open_recording(file: Path) -> Recording:
    """Look at a file.

    Raises:
        ConfigurationError: It cannot be read, FFmpeg finds no sound in it, or there is no FFmpeg.
    """
    await asyncio.to_thread(_check_readable, file)
    ffmpeg = (await locate()).path
    await _check_sound(ffmpeg, file)
    return Recording(ffmpeg, file, await _length_s(ffmpeg, file))


def _check_readable(file: Path) -> None:
    try:
        if file.exists() and not file.is_file():  # opening a pipe would wait for its writer
            raise ConfigurationError(f"{file}: not a file")
        with file.open("rb"):
            pass
    except OSError as exc:
        raise ConfigurationError(f"{file}: {exc.strerror}") from None


async def _check_sound(ffmpeg: str, file: Path) -> None:
    trial = [ffmpeg, *QUIET, *_input(file), "-t", "0.1", "-f", "null", "-"]
    tried = await _ran(trial)
    if tried.returncode != 0:
        raise ConfigurationError(f"{file}: FFmpeg reads no sound from it: {_complaint(tried)}")


async def _length_s(ffmpeg: str, file: Path) -> float | None:
    # Without an output it says what it knows of the file, and calls that an error.
    found = DURATION.search(_complaint(await _ran([ffmpeg, "-hide_banner", *_input(file)])))
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


async def _ran(argv: Sequence[str]) -> Child:
    async with child_process(argv, env={}, grace_s=GRACE_S) as process:
        await process.stdout.read()
    return process


def _input(file: Path) -> list[str]:
    # Said to be a file, or a colon in its name would be taken for a protocol's.
    return ["-i", f"file:{file}", "-vn"]


def _complaint(process: Child) -> str:
    """Return what a program said on its stderr, but no stream key."""
    return KEY.sub("", " ".join(process.complaints.lines()))


def _published_s(line: bytes) -> float | None:
    """Read a line of FFmpeg's progress; it says N/A before the first packet."""
    name, _, value = line.decode(errors="replace").strip().partition("=")
    return int(value) / 1e6 if name == "out_time_us" and value.isdigit() else None

"""Real publishers as child processes, and what they were meant to publish."""

import asyncio
import shutil
import subprocess
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import imageio_ffmpeg

from realtime_core.model import AudioTag

H264 = "libx264"


def ffmpeg() -> str:
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


@asynccontextmanager
async def running(*argv: str) -> AsyncIterator[Process]:
    """Run a program for the length of a block; it is killed if it still runs then."""
    process = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*argv: str) -> bytes:
    """Run a program to its successful end; return its output."""
    async with running(*argv) as process:
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output


def ffmpeg_with_h264() -> str:
    """Return an FFmpeg that can encode H.264: the one in use, else the embedded one."""
    return next(
        each for each in (ffmpeg(), str(imageio_ffmpeg.get_ffmpeg_exe())) if H264 in _encoders(each)
    )


def _encoders(program: str) -> str:
    argv = [program, "-hide_banner", "-encoders"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def audio_in(flv: bytes) -> Iterator[AudioTag]:
    """Yield the audio tags of an FLV file."""
    at = 13
    while at < len(flv):
        length = int.from_bytes(flv[at + 1 : at + 4], "big")
        payload = flv[at + 11 : at + 11 + length]
        if flv[at] == 8 and length > 2:
            time_ms = flv[at + 7] << 24 | int.from_bytes(flv[at + 4 : at + 7], "big")
            yield AudioTag(payload, time_ms, payload[1] == 0)
        at += 11 + length + 4

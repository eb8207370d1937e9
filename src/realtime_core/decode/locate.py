"""Which FFmpeg to use: the one asked for, the one on the PATH, or the embedded one."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass

from realtime_core.decode.command import ENVIRONMENT
from realtime_core.errors import ConfigurationError
from realtime_core.processes import child_process

ANSWER_WITHIN_S = 20.0
GRACE_S = 1.0
WHAT_TO_DO = (
    "install it (on Debian: apt-get install ffmpeg), or the extra with one inside: "
    'pip install "realtime-core[embedded]"'
)


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An FFmpeg that answered, as an absolute path and what it says of its version."""

    path: str
    version: str


async def locate(explicit: str | None = None) -> Ffmpeg:
    """Find an FFmpeg and ask it for its version.

    Args:
        explicit: A path, or a name on the PATH; nothing else is tried then.

    Raises:
        ConfigurationError: There is none, or it does not run.
    """
    path = await asyncio.to_thread(find, explicit)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return Ffmpeg(path, await _version(path))
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{path} is no FFmpeg that runs here: {exc}") from exc


def find(explicit: str | None = None) -> str:
    """Return the path of an FFmpeg; reads the file system.

    Raises:
        ConfigurationError: There is none.
    """
    if explicit:
        if found := shutil.which(explicit):
            return found
        raise ConfigurationError(f"{explicit!r} is not a program; correct the path, or unset it")
    # The embedded one is smaller and starts sooner, but it is newer: from version 7 on a frame
    # goes through four threads of FFmpeg's, for 1.6 to 1.9 times the processor time of version 5.
    if found := shutil.which("ffmpeg") or _embedded():
        return found
    raise ConfigurationError(f"FFmpeg was not found: {WHAT_TO_DO}")


def _embedded() -> str | None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        return None
    try:
        return str(get_ffmpeg_exe())
    except RuntimeError:  # the wheel for this platform has none inside
        return None


async def _version(path: str) -> str:
    async with child_process([path, "-version"], env=ENVIRONMENT, grace_s=GRACE_S) as child:
        answer = (await child.stdout.readline()).decode(errors="replace").split()
    if answer[:2] != ["ffmpeg", "version"]:
        raise ValueError(" ".join(child.complaints.lines()) or f"it answers {answer[:5]}")
    return answer[2]

"""The decoders of a service that runs in this process, or below it."""

from __future__ import annotations

from contextlib import suppress

import psutil


def decoders() -> list[psutil.Process]:
    """The FFmpeg processes that decode, oldest first."""
    children = psutil.Process().children(recursive=True)
    return sorted(filter(is_decoder, children), key=lambda each: float(each.create_time()))


def is_decoder(process: psutil.Process) -> bool:
    """Whether it is one, and lives."""
    with suppress(psutil.Error):
        return "pipe:0" in process.cmdline()
    return False

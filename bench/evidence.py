"""What the load's processes say, as they say it. Pure.

Times that end in ``_ns`` are CLOCK_MONOTONIC, which is the same in all processes.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


class Said(msgspec.Struct, frozen=True, rename="camel"):
    """A message of a process of the load; what it says besides is ignored."""


class Spread(Said, frozen=True):
    """How a quantity was spread, in milliseconds; None where there was nothing to measure."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class PublishedRoom(Said, frozen=True):
    """One publisher's account.

    Attributes:
        publish_ns: When Publish.Start came.
        audio_ms: How much audio was sent.
        beeps: Number, tone, and when the frame that completes the onset left.
        failed: Why it ended before its time, if it did.
    """

    publish_ns: int | None = None
    first_frame_ns: int | None = None
    last_frame_ns: int | None = None
    frames: int = 0
    audio_ms: float = 0.0
    beeps: list[tuple[int, int, int]] = []
    failed: str | None = None


class Published(Said, frozen=True):
    """What the publisher says in the end."""

    rooms: dict[str, PublishedRoom]
    lateness_ms: Spread = Spread()
    blocked: int = 0


class HeardRoom(Said, frozen=True):
    """What arrived at the speech-to-text stub of one room; a beep is its tone and its time."""

    first_pcm_ns: int | None = None
    pcm_bytes: int = 0
    beeps: list[tuple[int, int]] = []
    stamps_sent: int = 0


class Heard(Said, frozen=True):
    """What the speech-to-text stub says at any time."""

    rooms: dict[str, HeardRoom]
    loop_lag_ms: Spread = Spread()


class SeenRoom(Said, frozen=True):
    """One room's viewers: how many, and how many stamps each of them saw."""

    viewers: int = 0
    stamps: list[int] = []


class Seen(Said, frozen=True):
    """What the viewers say of the time since the last mark."""

    received: int = 0
    latency_ms: Spread = Spread()
    by_room: dict[str, SeenRoom] = {}
    closed: dict[str, int] = {}
    loop_lag_ms: Spread = Spread()


def understood(line: bytes, kind: type[T]) -> T:
    """Return what a process said.

    Raises:
        msgspec.DecodeError: It is not what a ``kind`` looks like.
    """
    return msgspec.json.decode(line, type=kind)

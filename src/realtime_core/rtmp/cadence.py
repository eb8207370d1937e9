"""When audio is worth waiting for: how busy we are, and how a publish's frames come. Pure."""

from __future__ import annotations

BUSY_FROM, BUSY_TO = 0.4, 0.25
"""The share of its time that the event loop works. Reading in pairs takes a third of the work
away, which must not look like the end of being busy."""
BUSY_TIMES = 3
"""Measurements in a row that make it busy. To start many sessions at once is over before that."""

MEASURED_FRAMES = 32
MOST_APART_S = 0.025
"""Frames that are further apart, as those of HE-AAC are, are not waited for."""
MOST_BYTES = 8 * 1024
"""Frames as large as half of this are few and far between, or there is video among them."""
BETWEEN_ONE_AND_TWO = 1.5


class BusySwitch:
    """Says whether the event loop is busy, and does not change its mind at each measurement."""

    def __init__(self) -> None:
        self.is_on = False
        self._times = 0

    def measured(self, busy_share: float) -> bool:
        """Take the share of its time that the loop worked of late; return whether it is busy."""
        is_busy = busy_share > (BUSY_TO if self.is_on else BUSY_FROM)
        self._times = self._times + 1 if is_busy else 0
        self.is_on = is_busy and (self.is_on or self._times >= BUSY_TIMES)
        return self.is_on


class Cadence:
    """How large a publish's audio frames are on the wire, and how far apart.

    Attributes:
        apart_s: The time from one to the next, by the publisher's clock; 0 while unknown.
        pair_bytes: More than one frame has, and less than two; 0 for frames that are not to be
            waited for.
    """

    def __init__(self) -> None:
        self.apart_s = 0.0
        self.pair_bytes = 0
        self._bytes = self._frames = 0
        self._from_ms: int | None = None

    def came(self, size_bytes: int) -> None:
        """Note that so much came."""
        self._bytes += size_bytes

    def saw(self, timestamp_ms: int) -> None:
        """Note a frame that was in what came, or will be."""
        self._frames += 1
        if self._frames > MEASURED_FRAMES or self._from_ms is None:
            self._measure(timestamp_ms)

    def _measure(self, timestamp_ms: int) -> None:
        if self._from_ms is not None:
            passed_ms = timestamp_ms - self._from_ms
            self.apart_s = passed_ms / 1000 / MEASURED_FRAMES
            self.pair_bytes = self._worth_waiting(round(self._bytes / MEASURED_FRAMES))
        self._from_ms, self._bytes, self._frames = timestamp_ms, 0, 1

    def _worth_waiting(self, frame_bytes: int) -> int:
        enough_bytes = round(frame_bytes * BETWEEN_ONE_AND_TWO)
        is_regular = 0 < self.apart_s <= MOST_APART_S  # a clock may also jump
        return enough_bytes if is_regular and enough_bytes <= MOST_BYTES else 0

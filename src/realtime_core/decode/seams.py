"""Where each sample of a decoder's output belongs. Pure.

A decoder joins what it is given without a seam, also where frames in between were lost. So
the places where they were lost are noted on the way in and found again on the way out.
"""

from __future__ import annotations

from collections import deque

from realtime_core.model import BYTES_PER_SAMPLE


class Seams:
    """One decoder's output, from its first sample on. All counts are samples."""

    def __init__(self) -> None:
        self.given = 0
        self._next_place = -1
        self._came = 0
        self._half_sample = b""
        # From the sample `came` on, output belongs at `place` and what follows it.
        self._seams: deque[tuple[int, int]] = deque()

    def give(self, start: int, end: int) -> None:
        """Note that the decoder was given the audio of these places."""
        if start != self._next_place:
            self._seams.append((self.given, start))
        self._next_place = end
        self.given += end - start

    def place(self, output: bytes) -> list[tuple[int, bytes]]:
        """Take the next piece of output, of any size; return places with whole samples."""
        if self._half_sample:
            output = self._half_sample + output
        whole = len(output) // BYTES_PER_SAMPLE
        self._half_sample = output[whole * BYTES_PER_SAMPLE :]
        placed, at = [], 0
        while at < whole:
            place, count = self._here(whole - at)
            self._came += count
            placed.append((place, output[at * BYTES_PER_SAMPLE : (at + count) * BYTES_PER_SAMPLE]))
            at += count
        return placed

    def _here(self, most: int) -> tuple[int, int]:
        """Return where the next sample belongs, and how many, at most, follow it there."""
        seams = self._seams
        while len(seams) > 1:
            to_next = seams[1][0] - self._came
            if to_next > 0:
                most = min(most, to_next)
                break
            seams.popleft()
        came, place = seams[0]
        return place + self._came - came, most

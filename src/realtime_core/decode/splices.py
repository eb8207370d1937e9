"""Where one publish follows another in the same decoder. Pure.

AAC frames overlap, so the first frame of a publish comes out mixed with the end of the publish
before: a click of what was said long ago. It is muted.
"""

from __future__ import annotations

from collections import deque

from realtime_core.model import BYTES_PER_SAMPLE, Silence


class Splices:
    """Mutes PCM in marked places, which are samples on the session's count, in rising order."""

    def __init__(self) -> None:
        self._marked: deque[tuple[int, int]] = deque()
        self._came = 0

    def mark(self, start: int, end: int) -> None:
        """Have what comes out between two places muted."""
        self._marked.append((start, end))

    def mute(self, pcm: bytes) -> bytes:
        """Take the next PCM; return it with what is marked muted."""
        start, self._came = self._came, self._came + len(pcm) // BYTES_PER_SAMPLE
        if not self._marked or isinstance(pcm, Silence):
            return pcm
        while self._marked and self._marked[0][1] <= start:
            self._marked.popleft()
        for from_, to in self._marked:
            if from_ >= self._came:
                break
            first, last = (max(0, at - start) * BYTES_PER_SAMPLE for at in (from_, to))
            pcm = pcm[:first] + bytes(len(pcm[first:last])) + pcm[last:]
        return pcm

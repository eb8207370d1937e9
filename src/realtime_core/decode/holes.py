"""What a publisher's timestamps say is missing between its frames. Pure.

LiveKit Egress drops audio when its socket is slow, and goes on with a timestamp that has
jumped ahead. Frames placed one after the other would make all later times too early.
"""

from __future__ import annotations

from realtime_core.model import SAMPLE_RATE_HZ

# Below the 50 ms that times are promised to, above the jitter of encoders.
LEAST = SAMPLE_RATE_HZ // 25
# Egress gives a stream up that made no progress for 30 s; what jumps further is another clock.
MOST = 30 * SAMPLE_RATE_HZ
# So far back goes no jitter either.
STEP_BACK_MS = 1_000


class PublisherClock:
    """Compares the timestamps of a publish with the audio under them, from its first frame on.

    The two are compared over the whole publish and not from frame to frame, so that rounding
    does not add up. Timestamps that fall behind the audio take nothing away from it; what
    they are behind is made good first when they catch up, so jitter does not add up either.
    """

    def __init__(self) -> None:
        # Samples at 16 kHz from the timestamps' zero to the session clock's.
        self._zero: float | None = None
        self._last_ms = 0

    def restart(self) -> None:
        """Expect a publisher whose clock may stand anywhere."""
        self._zero = None

    def hole_before(self, timestamp_ms: int, place: float) -> int:
        """Return how many samples are missing before a frame that would come at ``place``."""
        stamped = timestamp_ms * SAMPLE_RATE_HZ / 1000
        stepped_back = self._last_ms - timestamp_ms > STEP_BACK_MS
        self._last_ms = timestamp_ms
        if self._zero is None or stepped_back or stamped + self._zero - place > MOST:
            self._zero = place - stamped
        missing = round(stamped + self._zero - place)
        return missing if missing > LEAST else 0

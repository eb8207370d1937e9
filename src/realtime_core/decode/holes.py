"""What a publisher's timestamps say is missing between its frames. Pure.

LiveKit Egress drops audio when its socket is slow, and goes on with a timestamp that has
jumped ahead. Frames placed one after the other would make all later times too early.
"""

from __future__ import annotations

from realtime_core.model import SAMPLE_RATE_HZ

# Below the 50 ms that times are promised to, above the jitter of encoders.
LEAST_SAMPLES = SAMPLE_RATE_HZ // 25
# Egress gives a stream up that made no progress for 30 s. What jumps further, and further than
# the time that went by, is another clock.
MOST_SAMPLES = 30 * SAMPLE_RATE_HZ
# The frame before a pause may have come so late.
LATE_S = 1.0
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
        self._last_ms, self._last_at = 0, 0.0

    def restart(self) -> None:
        """Expect a publisher whose clock may stand anywhere."""
        self._zero = None

    def hole_before(self, timestamp_ms: int, place: float, now: float) -> int | None:
        """Return how many samples are missing before a frame that would come at ``place``.

        Returns:
            None when the clock jumped, which from here on is taken as it stands.
        """
        stamped = timestamp_ms * SAMPLE_RATE_HZ / 1000
        stepped_back = self._last_ms - timestamp_ms > STEP_BACK_MS
        went_by_s = now - self._last_at
        self._last_ms, self._last_at = timestamp_ms, now
        if self._zero is None:
            self._zero = place - stamped
            return 0
        missing = round(stamped + self._zero - place)
        if stepped_back or missing > max(MOST_SAMPLES, (went_by_s + LATE_S) * SAMPLE_RATE_HZ):
            self._zero = place - stamped
            return None
        return missing if missing > LEAST_SAMPLES else 0

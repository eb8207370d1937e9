"""Where the bytes of one STT session lie on the session clock, and how far they have got. Pure.

The provider counts the bytes it takes over all sockets of its session and dates everything
by that count. A socket that dies leaves a doubt: what was in flight may have been counted
without our hearing of it. Sending it again blindly would put it into the transcript twice
and shift every later time. So after a resume the provider's count is asked for first:

1. An empty chunk is sent. Its acknowledgement is a range of no bytes that *is* the count;
   sending goes on from exactly there, and nothing is doubled.
2. If it goes unanswered, a small piece of real audio is sent. Its acknowledgement begins at
   the count; what was doubled is at most that piece, and later times are corrected for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime_core.model import BYTES_PER_SAMPLE, BYTES_PER_SECOND

# 20 ms and a sample: no chunk of the audio has this length, so that a late acknowledgement
# of an older chunk is not taken for this one's.
PROBE_BYTES = 642


def whole_samples(count: int) -> int:
    """Round down to whole samples: half a sample turns all that follows into noise."""
    return count - count % BYTES_PER_SAMPLE


@dataclass(slots=True)
class Leg:
    """The part of the audio that goes to one STT session.

    Offsets that end in ``_at`` are bytes on the session clock; ``count`` is the provider's.

    Attributes:
        origin_at: Where its first byte lies.
        count: How many bytes the provider has acknowledged.
        acknowledged_at: Everything before this byte is with the provider.
        sent_at: The next byte to send over the present socket.
        sent_most_at: The furthest byte ever sent.
        settled: Whether the provider's count is known; until then only probes are sent.
        clock_fault_bytes: How far the provider fell behind its own acknowledgements, ever.
    """

    stt_session_id: str
    origin_at: int
    count: int = 0
    sent_at: int = -1
    sent_most_at: int = -1
    acknowledged_at: int = -1
    settled: bool = True
    clock_fault_bytes: int = 0
    _probe_at: int = 0
    _probe_bytes: int = 0
    # From which count on how many bytes have to be taken off, oldest first.
    _seams: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])

    def __post_init__(self) -> None:
        self.sent_at = self.sent_most_at = self.origin_at
        self._know(0)

    @property
    def in_flight_bytes(self) -> int:
        """How much was sent over the present socket and not acknowledged."""
        return max(0, self.sent_at - self.acknowledged_at)

    def session_s(self, stt_s: float) -> float:
        """Place a time of the provider on the session clock."""
        count, shift = stt_s * BYTES_PER_SECOND, 0
        for start, by in self._seams:  # nearly always one; this is asked of each word
            if start <= count:
                shift = by
        return max(0.0, (self.origin_at - shift) / BYTES_PER_SECOND + stt_s)

    def resume(self) -> None:
        """A new socket replaces the one before; what was in flight is in doubt."""
        self.sent_at = self._probe_at = self.acknowledged_at
        self._probe_bytes = 0
        self.settled = self.sent_most_at == self.sent_at

    def sent(self, count: int) -> None:
        """So many bytes went out from :attr:`sent_at` on."""
        if not self.settled:
            self._probe_at, self._probe_bytes = self.sent_at, count
        self.sent_at += count
        if self.sent_at > self.sent_most_at:
            self.sent_most_at = self.sent_at
            self._know(self.count)

    def acknowledge(self, start: int, end: int) -> None:
        """The provider took bytes ``start`` to ``end`` by its count."""
        # Half-open by the schema; one document calls the range inclusive.
        if not self.settled and self._probe_bytes - (end - start) in (0, 1):
            self._settle(start)
        self._know(max(self.count, end))
        self.sent_at = max(self.sent_at, self.acknowledged_at)

    def delivered(self) -> None:
        """The provider has shown that it got everything that was ever sent."""
        self.settled = True
        self.sent_at = self.sent_most_at
        self._know(max(self.count, self.sent_at - self._at(0)))

    def _settle(self, count: int) -> None:
        """Learn that the provider's count was ``count`` when it took the probe."""
        probed_at = self._probe_at if self._probe_bytes else self.acknowledged_at
        probed_to = probed_at + self._probe_bytes
        already_at = self._at(count)
        surplus = already_at - probed_at
        skipped = max(0, whole_samples(min(already_at, self.sent_most_at)) - probed_to)
        if surplus != skipped:
            self._seams.append((count, self._seams[-1][1] + surplus - skipped))
        self.clock_fault_bytes += max(0, -surplus)
        self._know(count)
        self.sent_at = probed_to + skipped
        self.settled = True

    def _know(self, count: int) -> None:
        """The provider has so many bytes, though never more than were sent."""
        self.count = count
        self.acknowledged_at = whole_samples(min(self._at(count), self.sent_most_at))

    def _at(self, count: int) -> int:
        return self.origin_at + count - self._seams[-1][1]

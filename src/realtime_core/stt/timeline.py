"""A session's audio on its way to the provider: kept until it has been transcribed. Pure.

The audio is addressed by its offset on the session clock. One STT session after another
hears it (see ``leg``); what none of them has finished is kept for the next (see
``open_speech``), within a bound. Past the bound the oldest goes, and since bytes must not
go missing in the middle of an STT session, the next one starts after the hole.
"""

from __future__ import annotations

from realtime_core.model import BYTES_PER_SAMPLE, BYTES_PER_SECOND, AudioGap, seconds_of
from realtime_core.stt.leg import PROBE_BYTES, Leg, whole_samples
from realtime_core.stt.open_speech import OpenSpeech


class Timeline:
    """The audio between what has been transcribed and now, and the STT session that hears it.

    Attributes:
        leg: The present STT session; None before the first and between two.
        end_at: How many bytes of audio have come, ever: the session clock.
    """

    def __init__(self, replay_s: float) -> None:
        self.leg: Leg | None = None
        self.end_at = 0
        self._limit_bytes = whole_samples(int(replay_s * BYTES_PER_SECOND))
        self._kept = bytearray()
        self._kept_at = 0
        self._open = OpenSpeech()
        self._lost_bytes = self._lost_since_gap = 0

    @property
    def unsent_bytes(self) -> int:
        """How much audio is to be sent, to this STT session or to the next."""
        return whole_samples(self.end_at - self._next_at)

    @property
    def unacknowledged_bytes(self) -> int:
        """How much audio the provider is not known to have."""
        acknowledged_at = self._needed_at if self.leg is None else self.leg.acknowledged_at
        return self.end_at - max(self._kept_at, acknowledged_at)

    @property
    def has_hole(self) -> bool:
        """Whether the STT session's next bytes are gone, so that it cannot go on."""
        return self.leg is not None and self._kept_at > self.leg.acknowledged_at

    @property
    def quiet(self) -> bool:
        """Whether nobody is speaking, as far as is known."""
        return self._open.quiet

    # Audio in.

    def append(self, pcm: bytes) -> None:
        """Take the session's next audio."""
        self._kept += pcm
        self.end_at += len(pcm)
        excess = len(self._kept) - self._limit_bytes
        if excess > 0:
            wanted_at = max(self._kept_at, self._acknowledged_at)
            self._forget_before(self._kept_at + excess + excess % BYTES_PER_SAMPLE)
            self._lose(self._kept_at - wanted_at)

    def take_lost_bytes(self) -> int:
        """Return how much audio was lost since this was last asked."""
        lost, self._lost_bytes = self._lost_bytes, 0
        return lost

    # STT sessions come and go.

    def begin(self, stt_session_id: str, now: float) -> AudioGap | None:
        """Give the audio to a new STT session; return the hole that it starts after."""
        needed_at = self._needed_at
        start_at = max(needed_at, self._kept_at)
        self.leg = Leg(stt_session_id, start_at)
        self._open.begin(seconds_of(start_at), now)
        return self._gap(needed_at, start_at)

    def abandon(self) -> None:
        """The STT session is gone; what it has not transcribed waits for the next."""
        self.leg = None

    def finish(self) -> None:
        """The STT session has transcribed all that it was sent, and is over."""
        if self.leg is not None:
            self._open.settle(seconds_of(self.leg.sent_most_at))
            self.leg = None

    def give_up(self) -> AudioGap | None:
        """Nothing more will be sent; return what no STT session has heard."""
        heard_at = self._needed_at if self.leg is None else self.leg.acknowledged_at
        self._forget_before(self.end_at)
        return self._gap(heard_at, self.end_at)

    # Audio out.

    def take(self, most_bytes: int, least_bytes: int = BYTES_PER_SAMPLE) -> bytes:
        """Return the next audio to send now, empty if there is less than ``least_bytes``.

        What is returned counts as sent. Nothing is given out while the provider's count
        is in doubt: see :meth:`take_probe`.
        """
        leg = self.leg
        if leg is None or not leg.settled or self._kept_at > leg.acknowledged_at:
            return b""
        unsent = whole_samples(self.end_at - leg.sent_at)
        if unsent < least_bytes or unsent == 0:
            return b""
        return self._send(min(unsent, whole_samples(most_bytes)))

    def take_probe(self) -> bytes:
        """Return a little of the doubtful audio, whose acknowledgement ends the doubt."""
        if self.leg is None or self.leg.settled or self.has_hole:
            return b""
        return self._send(min(PROBE_BYTES, self.leg.sent_most_at - self.leg.sent_at))

    # What the provider says.

    def acknowledge(self, start: int, end: int, now: float) -> int:
        """Note an acknowledgement; return how many bytes are newly with the provider."""
        assert self.leg is not None
        before_at = self.leg.acknowledged_at
        self.leg.acknowledge(start, end)
        return self._progressed(before_at, now)

    def delivered(self, now: float) -> int:
        """Note that the provider got everything; return how many bytes that is news of."""
        assert self.leg is not None
        before_at = self.leg.acknowledged_at
        self.leg.delivered()
        return self._progressed(before_at, now)

    def hear(self, utterance_id: str, start_s: float, end_s: float, *, is_final: bool) -> None:
        """Note a draft or a final, on the session clock."""
        if self.leg is not None:
            # A clock gone mad must not make us throw away what was never sent.
            end_s = min(end_s, seconds_of(self.leg.sent_most_at))
            key = (self.leg.stt_session_id, utterance_id)
            self._open.hear(key, min(start_s, end_s), end_s, is_final=is_final)
            self._forget_transcribed()

    def speech_begun(self, at_s: float) -> None:
        """Note that the provider heard speech begin, on the session clock."""
        if self.leg is not None:
            at_s = min(at_s, seconds_of(self.leg.sent_most_at))
            self._open.begun(self.leg.stt_session_id, at_s)

    # Inside.

    @property
    def _needed_at(self) -> int:
        """Where the next STT session should begin."""
        needed_at = whole_samples(round(self._open.needed_from_s * BYTES_PER_SECOND))
        return min(needed_at, self.end_at)

    @property
    def _acknowledged_at(self) -> int:
        return self._needed_at if self.leg is None else self.leg.acknowledged_at

    @property
    def _next_at(self) -> int:
        next_at = self._needed_at if self.leg is None else self.leg.sent_at
        return max(next_at, self._kept_at)

    def _send(self, count: int) -> bytes:
        assert self.leg is not None
        first = self.leg.sent_at - self._kept_at
        self.leg.sent(count)
        return bytes(memoryview(self._kept)[first : first + count])

    def _progressed(self, before_at: int, now: float) -> int:
        assert self.leg is not None
        acknowledged_at = self.leg.acknowledged_at
        self._open.acknowledged(seconds_of(acknowledged_at), now)
        self._forget_transcribed()
        return max(0, acknowledged_at - before_at)

    def _forget_transcribed(self) -> None:
        self._forget_before(min(self._needed_at, self._acknowledged_at))

    def _forget_before(self, offset_at: int) -> None:
        count = min(offset_at - self._kept_at, len(self._kept))
        if count > 0:
            del self._kept[:count]
            self._kept_at += count

    def _gap(self, from_at: int, to_at: int) -> AudioGap | None:
        if to_at - from_at < BYTES_PER_SAMPLE:
            return None
        # Some of it was counted when it had to go.
        self._lose(to_at - from_at - self._lost_since_gap)
        self._lost_since_gap = 0
        return AudioGap(seconds_of(from_at), seconds_of(to_at), "stt unavailable")

    def _lose(self, count: int) -> None:
        if count > 0:
            self._lost_bytes += count
            self._lost_since_gap += count

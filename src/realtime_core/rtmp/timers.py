"""The timers of one connection, without a clock. Pure."""

from __future__ import annotations

from enum import StrEnum


class Timer(StrEnum):
    """What may fall due on a connection."""

    HANDSHAKE = "handshake"
    PUBLISH = "publish"
    FIRST_AUDIO = "first_audio"
    IDLE = "idle"
    WRITE = "write"
    PING = "ping"
    ACK = "ack"
    REFUSAL = "refusal"


class Timers:
    """Times at which something is due; the caller looks at the clock.

    Attributes:
        next_at: When the next one is due; None while none runs.
    """

    def __init__(self) -> None:
        self._due: dict[Timer, float] = {}
        self.next_at: float | None = None

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._due

    def start(self, timer: Timer, at: float) -> None:
        """Let ``timer`` be due at ``at``; it was perhaps due at another time before."""
        self._due[timer] = at
        self._find_next()

    def stop(self, *timers: Timer) -> None:
        """Forget timers, running or not."""
        for timer in timers:
            self._due.pop(timer, None)
        self._find_next()

    def stop_all(self) -> None:
        """Forget them all."""
        self._due.clear()
        self._find_next()

    def take_expired(self, now: float) -> list[Timer]:
        """Return those due by ``now``, the oldest first, and forget them."""
        expired = [timer for timer, at in self._due.items() if at <= now]
        expired.sort(key=self._due.__getitem__)
        self.stop(*expired)
        return expired

    def _find_next(self) -> None:
        # Here, because timers change seldom and the answer is asked for with each message.
        self.next_at = min(self._due.values(), default=None)

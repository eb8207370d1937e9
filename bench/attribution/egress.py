"""How late the room's audio comes to the service. Pure.

The session's clock is the service's here: audio that comes at 12.0 s lies at 12.0 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Publish:
    """One publisher's time, on the session clock, and the delay of what it sends.

    Attributes:
        lag_s: The delay of its first audio.
        drift: Seconds per second by which the delay grows.
    """

    from_s: float
    to_s: float
    lag_s: float
    drift: float

    def lag_at(self, session_s: float) -> float:
        """Return how old the audio is that comes at this moment."""
        return self.lag_s + self.drift * (session_s - self.from_s)

    def heard_at(self, room_s: float) -> float:
        """Return where on the session clock a moment of the room is heard."""
        return (room_s + self.lag_s - self.drift * self.from_s) / (1 - self.drift)


@dataclass(frozen=True, slots=True)
class Pipe:
    """How a meeting is published.

    Attributes:
        lag_s: The delay lies between these.
        drift_ms_per_min: The delay grows or falls by at most so much.
        republishes: How often the publisher is lost, and another comes.
    """

    lag_s: tuple[float, float] = (0.5, 4.0)
    drift_ms_per_min: float = 30.0
    republishes: int = 0


@dataclass(frozen=True, slots=True)
class Egress:
    """The publishes of one meeting, in order."""

    publishes: tuple[Publish, ...]

    def heard_at(self, room_s: float) -> float | None:
        """Return where on the session clock a moment of the room is heard; None if it is lost."""
        for publish in self.publishes:
            at_s = publish.heard_at(room_s)
            if publish.from_s <= at_s < publish.to_s:
                return at_s
        return None

    def lag_at(self, session_s: float) -> float:
        """Return how old the audio is that comes at a moment."""
        begun = [each for each in self.publishes if each.from_s <= session_s]
        return (begun or self.publishes)[-1 if begun else 0].lag_at(session_s)


def publish(pipe: Pipe, length_s: float, rng: Random) -> Egress:
    """Draw how a meeting is published."""
    return Egress(tuple(_publishes(pipe, length_s, rng)))


def _publishes(pipe: Pipe, length_s: float, rng: Random) -> Iterator[Publish]:
    from_s, count = 0.0, pipe.republishes + 1
    for number in range(count):
        to_s = length_s + 60
        if number < pipe.republishes:
            to_s = length_s * (number + 1) / count + rng.uniform(-20.0, 20.0)
        lag_s = rng.uniform(*pipe.lag_s)
        drift = rng.uniform(-1, 1) * pipe.drift_ms_per_min / 60_000
        yield Publish(from_s, to_s, lag_s, drift)
        from_s = to_s + rng.uniform(2.0, 8.0)

"""What a fault is: a name, how often it comes, what it touches, and the deed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.chaos.world import World

STT, DECODER, SERVICE, DATABASE = "stt", "decoder", "service", "database"
PUBLISHER, VIEWERS, PORTS = "publisher", "viewers", "ports"


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    Attributes:
        deed: Breaks something, mends it where it does not mend itself, and says in a few words
            what it did. What the judge has to know it tells the world.
        touches: Faults that touch the same never meet.
        weight: How many times it lies in the bag that faults are drawn from.
        settles_s: How long what it touched is left in peace afterwards.
    """

    name: str
    deed: Callable[[World, Random], Awaitable[str]]
    touches: frozenset[str]
    weight: int = 1
    settles_s: float = 0.0

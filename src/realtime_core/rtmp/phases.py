"""The states of a publisher's connection as a table. Pure.

::

    HANDSHAKE ─▶ OPEN ─connect─▶ CONNECTED ─createStream─▶ STREAM_CREATED ─publish─▶ DECIDING
                                                                        accept │   │ refuse
                                                                  PUBLISHING ◀─┘   └─▶ REFUSED

and from everywhere to CLOSED. What a state does not expect is answered with an error and
counted; only violations of the chunk layer, limits and timers end a connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class Phase(Enum):
    """Where a connection stands."""

    HANDSHAKE = auto()
    OPEN = auto()
    CONNECTED = auto()
    STREAM_CREATED = auto()
    DECIDING = auto()
    REFUSED = auto()
    PUBLISHING = auto()
    CLOSED = auto()

    @property
    def listens(self) -> bool:
        """Whether what the peer says still matters."""
        return self is not Phase.CLOSED and self is not Phase.REFUSED


class Signal(Enum):
    """What moves it."""

    SHAKEN = auto()
    CONNECT = auto()
    CREATE_STREAM = auto()
    PUBLISH = auto()
    ACCEPT = auto()
    REFUSE = auto()
    CLOSE = auto()


TRANSITIONS: Mapping[Phase, Mapping[Signal, Phase]] = {
    Phase.HANDSHAKE: {Signal.SHAKEN: Phase.OPEN, Signal.CLOSE: Phase.CLOSED},
    Phase.OPEN: {Signal.CONNECT: Phase.CONNECTED, Signal.CLOSE: Phase.CLOSED},
    Phase.CONNECTED: {Signal.CREATE_STREAM: Phase.STREAM_CREATED, Signal.CLOSE: Phase.CLOSED},
    Phase.STREAM_CREATED: {
        Signal.CREATE_STREAM: Phase.STREAM_CREATED,
        Signal.PUBLISH: Phase.DECIDING,
        Signal.CLOSE: Phase.CLOSED,
    },
    Phase.DECIDING: {
        Signal.ACCEPT: Phase.PUBLISHING,
        Signal.REFUSE: Phase.REFUSED,
        Signal.CLOSE: Phase.CLOSED,
    },
    Phase.REFUSED: {Signal.CLOSE: Phase.CLOSED},
    Phase.PUBLISHING: {Signal.CLOSE: Phase.CLOSED},
    Phase.CLOSED: {},
}


def next_phase(phase: Phase, signal: Signal) -> Phase:
    """Return where ``signal`` leads from ``phase``.

    Raises:
        ValueError: The table has no such arrow; that is a bug in the caller.
    """
    try:
        return TRANSITIONS[phase][signal]
    except KeyError:
        raise ValueError(f"{signal.name} means nothing in phase {phase.name}") from None

"""A session's states as a table; what is not drawn is refused. Pure.

::

    WAITING_FOR_EGRESS ─▶ LIVE ⇄ RECONNECTING
             │              └──▶ DRAINING ◀──┘
             └──▶ ENDED ◀──────────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from realtime_core.model import SessionRecord, SessionState


class Signal(Enum):
    """What can happen to a session; the value is what viewers are told."""

    PUBLISHED = "publisher connected"
    PUBLISHER_LOST = "publisher lost"
    INPUT_ENDED = "the publisher ended the stream"
    GRACE_OVER = "the publisher did not come back"
    IDLE = "no publisher came"
    STOPPED = "stopped"
    SUSPENDED = "the service restarts"
    FAILED = "failed"
    DRAINED = "drained"


TRANSITIONS: Mapping[SessionState, Mapping[Signal, SessionState]] = {
    SessionState.WAITING_FOR_EGRESS: {
        Signal.PUBLISHED: SessionState.LIVE,
        Signal.STOPPED: SessionState.ENDED,
        Signal.SUSPENDED: SessionState.ENDED,
        Signal.IDLE: SessionState.ENDED,
        Signal.FAILED: SessionState.ENDED,
    },
    SessionState.LIVE: {
        Signal.PUBLISHED: SessionState.LIVE,  # a take-over
        Signal.PUBLISHER_LOST: SessionState.RECONNECTING,
        Signal.INPUT_ENDED: SessionState.DRAINING,
        Signal.STOPPED: SessionState.DRAINING,
        Signal.SUSPENDED: SessionState.DRAINING,
        Signal.FAILED: SessionState.DRAINING,
    },
    SessionState.RECONNECTING: {
        Signal.PUBLISHED: SessionState.LIVE,
        Signal.GRACE_OVER: SessionState.DRAINING,
        Signal.STOPPED: SessionState.DRAINING,
        Signal.SUSPENDED: SessionState.DRAINING,
        Signal.FAILED: SessionState.DRAINING,
    },
    SessionState.DRAINING: {Signal.DRAINED: SessionState.ENDED},
    SessionState.ENDED: {},
}


def first_state(record: SessionRecord) -> SessionState:
    """Return where a session begins: new, or as an earlier process left it."""
    if record.is_ending:
        return SessionState.DRAINING
    if record.was_published:
        return SessionState.RECONNECTING
    return SessionState.WAITING_FOR_EGRESS


def allows(state: SessionState, signal: Signal) -> bool:
    """Whether ``signal`` means anything in ``state``."""
    return signal in TRANSITIONS[state]


def next_state(state: SessionState, signal: Signal) -> SessionState:
    """Return where ``signal`` leads from ``state``.

    Raises:
        ValueError: The table has no such arrow; that is a bug in the caller.
    """
    try:
        return TRANSITIONS[state][signal]
    except KeyError:
        raise ValueError(f"{signal.name} means nothing in state {state.name}") from None

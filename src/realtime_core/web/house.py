"""What the conversations with clients share: the hub, whom they may ask, and what one may cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from realtime_core.access import Identity, Role
from realtime_core.aio import TaskSet
from realtime_core.hub.replay import Lack, Older
from realtime_core.hub.rooms import Hub

ReadMissed = Callable[[str, Lack], Awaitable[Older | None]]
"""Returns what the table has of what a viewer lacks; None when it does not say so in time."""


class SessionControl(Protocol):
    """What clients can do to sessions."""

    async def start(
        self, slug: str, options: Mapping[str, object]
    ) -> tuple[Mapping[str, Any], bool]:
        """Start a session, or find it; return what the client is told, and if it is new.

        Raises:
            RequestError: It cannot be started.
        """

    async def stop(self, slug: str) -> Mapping[str, Any]:
        """End a session; return, when it has drained, what the client is told.

        Raises:
            RequestError: It does not run.
        """

    def report_speaker(
        self, slug: str, report: Mapping[str, object], client: str, *, is_own: bool = False
    ) -> None:
        """Note who is speaking now, as ``client`` sees it; ``is_own``: it may see only itself.

        Raises:
            RequestError: The session does not run, or the report is malformed.
        """


class Gate(Protocol):
    """Decides who may do what."""

    def admit(self, token: str | None, slug: str, role: Role) -> Identity:
        """Return who the token's bearer is.

        Raises:
            RequestError: 401 without a valid token, 403 when it does not cover this.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost.

    Attributes:
        buffer_bytes: What may wait for one client before an answer does not fit.
        subscribe_timeout_s: How long a client may stay without naming a session.
        heartbeat_s: How often a silent client is asked whether it is still there.
        close_timeout_s: How long a client has to read what is left and say goodbye.
        messages_per_s, burst: How fast a client may send.
    """

    buffer_bytes: int = 262_144
    subscribe_timeout_s: float = 10.0
    heartbeat_s: float = 25.0
    close_timeout_s: float = 5.0
    messages_per_s: float = 20.0
    burst: int = 40


@dataclass(frozen=True, slots=True)
class House:
    """What conversations share.

    Attributes:
        undertakings: Starts and stops under way. They go on when their client leaves.
        missed: Reads from the table what the hub has forgotten; None when nothing is stored.
        catching_up: Subscriptions that wait for it.
    """

    hub: Hub
    control: SessionControl
    gate: Gate
    limits: Limits
    undertakings: TaskSet
    missed: ReadMissed | None
    catching_up: TaskSet

"""Breaks the connections of a session as the armed faults want it. Waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gladia_emulator.faults import Fault, FaultName
from gladia_emulator.outbox import Outlet, TakeFault

ABNORMAL, INTERNAL_ERROR = 1006, 1011


def ends_session(code: int) -> bool:
    """Whether a session is over once the server has closed with ``code``."""
    return code == 1000 or 4400 <= code <= 4499


@dataclass(slots=True)
class _InFlight:
    """A cut that strikes when so many more bytes have come in unacknowledged."""

    cut: Fault
    left_bytes: int


class Sabotage:
    """Cuts and freezes.

    Args:
        take: Returns the fault that strikes the session now.
        kill: Ends the session for good.
    """

    def __init__(self, take: TakeFault, kill: Callable[[], None]) -> None:
        self._take, self._kill = take, kill
        self._in_flight: _InFlight | None = None

    @property
    def swallows(self) -> str | None:
        """What becomes of audio that comes in now: None, or ``counted`` or ``lost``."""
        return None if self._in_flight is None else self._in_flight.cut.in_flight

    def greet(self, outlet: Outlet) -> None:
        """A connection was accepted."""
        if fault := self._take(FaultName.ACCEPT_THEN_CLOSE):
            self._cut(outlet, fault, INTERNAL_ERROR)

    def strike(self, outlet: Outlet | None) -> None:
        """Let the faults strike that wait for nothing but a connection."""
        if outlet is None or self._in_flight is not None:
            return
        if fault := self._take(FaultName.CUT):
            if fault.in_flight_bytes:
                self._in_flight = _InFlight(fault, fault.in_flight_bytes)
            else:
                self._cut(outlet, fault, ABNORMAL)
        elif fault := self._take(FaultName.FREEZE):
            outlet.freeze(fault.seconds)

    def swallowed(self, size: int, outlet: Outlet | None) -> None:
        """So many bytes came in unacknowledged."""
        assert self._in_flight is not None
        self._in_flight.left_bytes -= size
        if self._in_flight.left_bytes <= 0 and outlet is not None:
            self._cut(outlet, self._in_flight.cut, ABNORMAL)

    def gone(self) -> None:
        """The connection is gone, and what was in flight with it."""
        self._in_flight = None

    def _cut(self, outlet: Outlet, fault: Fault, usual_code: int) -> None:
        code = fault.code or usual_code
        if code == ABNORMAL:
            outlet.abort()
        else:
            outlet.close(code, fault.reason)
        if ends_session(code):
            self._kill()

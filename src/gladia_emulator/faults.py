"""What can be made to go wrong, for whom, and how often. Pure.

==========================  ===================================================================
name                        what it does, and its parameters
==========================  ===================================================================
refuse_post                 answers POST with ``status`` (429), ``message``, ``retry_after_s``
slow_post                   lets POST wait ``seconds`` (1)
refuse_connect              answers the WebSocket handshake with ``status`` (403)
accept_then_close           accepts the socket and closes it at once with ``code`` (1011)
cut                         cuts the socket now with ``code`` (1006: without a word) and
                            ``reason``. With ``in_flight_bytes`` only after so many more bytes
                            came in, none of them acknowledged; ``in_flight`` says whether they
                            are ``counted`` (and transcribed) or ``lost``
freeze                      neither reads nor writes for ``seconds`` (until the socket ends)
swallow_acks                does not acknowledge a chunk that it accepts
delay_acks                  acknowledges after ``seconds`` (1)
refuse_audio                does not take a chunk: ``acknowledged: false``, ``message``
swallow_stop                does not hear ``stop_recording``
no_final                    never sends a final (GET has it)
delay_final                 sends a final ``seconds`` (1) later
repeat_final                sends a final twice
repeat_final_after_resume   sends the last final again when the client comes back
change_id                   gives a final another id than its drafts
malformed_json              sends half a message before the next one
unknown_type                sends a message of a type nobody knows before the next one
null_data                   sends the next message of ``type`` (transcript) with ``data: null``
==========================  ===================================================================

Every fault can be meant for one ``session`` (its id, or the ``sessionSlug`` in its custom
metadata), strikes ``times`` (1; null: until cleared) and, but for those of POST, waits until the
session has received ``after_bytes`` (0).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FaultName(Enum):
    """What goes wrong; the module says what each does."""

    REFUSE_POST = "refuse_post"
    SLOW_POST = "slow_post"
    REFUSE_CONNECT = "refuse_connect"
    ACCEPT_THEN_CLOSE = "accept_then_close"
    CUT = "cut"
    FREEZE = "freeze"
    SWALLOW_ACKS = "swallow_acks"
    DELAY_ACKS = "delay_acks"
    REFUSE_AUDIO = "refuse_audio"
    SWALLOW_STOP = "swallow_stop"
    NO_FINAL = "no_final"
    DELAY_FINAL = "delay_final"
    REPEAT_FINAL = "repeat_final"
    REPEAT_FINAL_AFTER_RESUME = "repeat_final_after_resume"
    CHANGE_ID = "change_id"
    MALFORMED_JSON = "malformed_json"
    UNKNOWN_TYPE = "unknown_type"
    NULL_DATA = "null_data"


PARAMETERS: Mapping[FaultName, Collection[str]] = {
    FaultName.REFUSE_POST: ("status", "message", "retry_after_s"),
    FaultName.SLOW_POST: ("seconds",),
    FaultName.REFUSE_CONNECT: ("status",),
    FaultName.ACCEPT_THEN_CLOSE: ("code", "reason"),
    FaultName.CUT: ("code", "reason", "in_flight", "in_flight_bytes"),
    FaultName.FREEZE: ("seconds",),
    FaultName.DELAY_ACKS: ("seconds",),
    FaultName.REFUSE_AUDIO: ("message",),
    FaultName.DELAY_FINAL: ("seconds",),
    FaultName.NULL_DATA: ("type",),
}
COMMON = frozenset({"name", "session", "times", "after_bytes"})


class Fault(BaseModel):
    """One thing that is to go wrong. Parameters left out have the defaults of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: FaultName
    session: str | None = None
    times: Annotated[int, Field(ge=1)] | None = 1
    after_bytes: Annotated[int, Field(ge=0)] = 0
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None
    retry_after_s: Annotated[float, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None
    code: Annotated[int, Field(ge=1000, le=4999)] | None = None
    reason: str = ""
    in_flight: Literal["counted", "lost"] = "counted"
    in_flight_bytes: Annotated[int, Field(ge=0)] = 0
    type: str = "transcript"

    @model_validator(mode="after")
    def _only_its_parameters(self) -> Fault:
        odd = self.model_fields_set - COMMON - set(PARAMETERS.get(self.name, ()))
        if odd:
            raise ValueError(f"{self.name.value} has no {', '.join(sorted(odd))}")
        return self


class ArmedFault:
    """A fault and how often it has struck."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.struck = 0

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it was meant to."""
        return self.fault.times is not None and self.struck >= self.fault.times


class FaultBook:
    """The faults that are armed, oldest first."""

    def __init__(self) -> None:
        self._armed: list[ArmedFault] = []

    @property
    def armed(self) -> list[ArmedFault]:
        """What has still to strike."""
        return [each for each in self._armed if not each.spent]

    def arm(self, fault: Fault) -> ArmedFault:
        """Let a fault strike from now on; the return value tells how often it did."""
        armed = ArmedFault(fault)
        self._armed = [*self.armed, armed]
        return armed

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()

    def take(
        self,
        name: FaultName,
        names: Collection[str | None],
        received_bytes: int = 0,
        message_type: str | None = None,
    ) -> Fault | None:
        """Return the fault that strikes the session with these names now, if one does."""
        for armed in self._armed:
            fault = armed.fault
            for_it = fault.session is None or fault.session in names
            due = received_bytes >= fault.after_bytes
            fits = message_type is None or fault.type == message_type
            if fault.name is name and for_it and due and fits and not armed.spent:
                armed.struck += 1
                return fault
        return None

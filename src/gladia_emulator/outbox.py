"""What a session says: stamped, filtered, recorded, broken on demand, delivered."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gladia_emulator.config import MessagesConfig
from gladia_emulator.faults import Fault, FaultName
from gladia_emulator.wire import Message, encode, gate_of, is_final, stamped

KEPT_MESSAGES = 20_000
KEPT_ACKS = 1_000
KEPT_MISSED = 500


class Outlet(Protocol):
    """What a session needs of a connection. Nothing here waits."""

    def send(self, text: str) -> None: ...
    def close(self, code: int, reason: str = "") -> None:
        """Close after what was sent before; later calls do nothing."""

    def abort(self) -> None:
        """Cut the connection without a word; what was not written yet is lost."""

    def freeze(self, seconds: float | None) -> None:
        """Neither read nor write for so long; None: until the connection ends."""


class TakeFault(Protocol):
    """Returns the fault of that name that strikes this session now, if one does."""

    def __call__(self, name: FaultName, message_type: str | None = None) -> Fault | None: ...


class Outbox:
    """The messages of one session, whether or not a connection is there to take them.

    Attributes:
        messages: The text of each message that passed ``messages_config``, acks apart.
        acks: The last acknowledgements of audio.
        sent: What was handed to a connection, faults included, oldest first.
    """

    def __init__(
        self,
        session_id: str,
        config: MessagesConfig,
        take: TakeFault,
        *,
        replay_missed: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session_id, self._config, self._take = session_id, config, take
        self._clock = clock
        self._missed: deque[str] = deque(maxlen=KEPT_MISSED if replay_missed else 0)
        self._last_final: str | None = None
        self._delayed: set[asyncio.TimerHandle] = set()
        self.outlet: Outlet | None = None
        self.messages: deque[str] = deque(maxlen=KEPT_MESSAGES)
        self.acks: deque[str] = deque(maxlen=KEPT_ACKS)
        self.sent: deque[str] = deque(maxlen=KEPT_MESSAGES)

    def plug(self, outlet: Outlet) -> None:
        """Deliver to this connection from now on."""
        self.outlet = outlet
        missed = list(self._missed)
        self._missed.clear()
        for text in missed:
            self._send(text)

    def unplug(self) -> None:
        """The connection is gone."""
        self.outlet = None

    def emit(self, message: Message) -> None:
        """Say something, unless ``messages_config`` has it filtered out."""
        if not getattr(self._config, gate_of(message)):
            return
        message = stamped(message, self._session_id, self._clock())
        text = encode(message)
        if message["type"] == "audio_chunk":
            self.acks.append(text)
            self._deliver_ack(text)
            return
        self.messages.append(text)
        self._deliver(message, text)

    def repeat_last_final(self) -> None:
        """Send the last final again."""
        if self._last_final is not None:
            self._send(self._last_final)

    def close(self) -> None:
        """Forget what is still delayed. May be called twice."""
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()

    def _deliver_ack(self, text: str) -> None:
        if self._take(FaultName.SWALLOW_ACKS):
            return
        if fault := self._take(FaultName.DELAY_ACKS):
            self._send_later(1.0 if fault.seconds is None else fault.seconds, text)
            return
        self._break_before(text)
        self._send(text)

    def _deliver(self, message: Message, text: str) -> None:
        final = is_final(message)
        if final and self._take(FaultName.NO_FINAL):
            return
        self._break_before(text)
        if self._take(FaultName.NULL_DATA, message["type"]):
            text = encode({**message, "data": None})
        self._send(text)
        if final:
            self._last_final = text
            if self._take(FaultName.REPEAT_FINAL):
                self._send(text)

    def _break_before(self, text: str) -> None:
        if self._take(FaultName.MALFORMED_JSON):
            self._send(text[: len(text) // 2])
        if self._take(FaultName.UNKNOWN_TYPE):
            odd: Message = {"type": "weather_report", "data": {"rain": True}}
            self._send(encode(stamped(odd, self._session_id, self._clock())))

    def _send_later(self, delay_s: float, text: str) -> None:
        def send() -> None:
            self._delayed.discard(handle)
            self._send(text)

        handle = asyncio.get_running_loop().call_later(delay_s, send)
        self._delayed.add(handle)

    def _send(self, text: str) -> None:
        if self.outlet is None:
            self._missed.append(text)
            return
        self.sent.append(text)
        self.outlet.send(text)

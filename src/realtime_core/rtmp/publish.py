"""The server's side of one publisher's connection: bytes in, events and bytes out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

from realtime_core.errors import ProtocolViolation
from realtime_core.rtmp.chunks import ChunkReader
from realtime_core.rtmp.conversation import Conversation
from realtime_core.rtmp.events import Closed, Event
from realtime_core.rtmp.handshake import ServerHandshake
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.messages import Message, MessageKind, MessageType
from realtime_core.rtmp.phases import Phase, Signal
from realtime_core.rtmp.reasons import CloseReason, Refusal, violation
from realtime_core.rtmp.timers import Timer, Timers

TIMEOUTS = {
    Timer.HANDSHAKE: CloseReason.HANDSHAKE_TIMEOUT,
    Timer.PUBLISH: CloseReason.PUBLISH_TIMEOUT,
    Timer.WRITE: CloseReason.WRITE_TIMEOUT,
}
"""Timers that simply end the connection."""


class PublishSession:
    """One connection, from its first byte to :class:`Closed`.

    Exhaust what :meth:`receive` and :meth:`tick` return, event by event, then send
    :meth:`take_output`, and call :meth:`tick` at :attr:`due_at`. ``now`` is any clock
    that only goes forward, in seconds.

    Args:
        nonce: Randomness for the handshake.
        now: When the connection was made.
        tally: Where messages are counted, by kind.
    """

    def __init__(
        self, limits: Limits, nonce: bytes, now: float, tally: Counter[MessageKind]
    ) -> None:
        self._limits = limits
        self._handshake = ServerHandshake(nonce)
        self._outbox = bytearray()
        self._reader = ChunkReader(limits, tally)
        self._conversation = Conversation(limits, tally, self._outbox.extend)
        self._timers = Timers()
        self._refusal: Refusal | None = None
        self._received_bytes = self._acknowledged_bytes = 0
        self._ack_bytes = limits.ack_bytes
        self._quiet_to_bytes = 0  # received up to here, nothing has to be said of it
        self._heard_at = now
        self._timers.start(Timer.HANDSHAKE, now + limits.handshake_s)
        self._timers.start(Timer.IDLE, now + limits.idle_s)

    @property
    def phase(self) -> Phase:
        """Where the connection stands."""
        return self._conversation.phase

    @property
    def due_at(self) -> float | None:
        """When :meth:`tick` is to be called at the latest."""
        return None if self.phase is Phase.CLOSED else self._timers.next_at

    @property
    def has_output(self) -> bool:
        """Whether there is something to be sent."""
        return bool(self._outbox)

    @property
    def unfinished_bytes(self) -> int:
        """What is held of messages in the making."""
        return self._reader.unfinished_bytes

    def take_output(self) -> bytes:
        """Return what is to be sent and forget it."""
        output = bytes(self._outbox)
        self._outbox.clear()
        return output

    def receive(self, data: bytes, now: float) -> Iterable[Event]:
        """Take bytes in pieces of any size; return what they mean."""
        self._heard_at = now
        self._received_bytes += len(data)
        if self._conversation.phase is not Phase.PUBLISHING:
            return self._go_on(data, now)
        self._reader.feed(data)
        heard = self._hear()
        if self._reader.is_empty and self._received_bytes <= self._quiet_to_bytes:
            return heard  # the way of nearly all pieces of a publish
        return chain(heard, self._go_on(b"", now))

    def _hear(self) -> list[Event]:
        """Take the plain audio that comes next, however much of it there is."""
        heard: list[Event] = []
        while (message := self._reader.whole_audio()) is not None:
            event = self._conversation.hear(message)
            if event is not None:
                heard.append(event)
        return heard

    def _go_on(self, data: bytes, now: float) -> Iterator[Event]:
        """Take all that may come; what each event is answered decides on what follows it."""
        if not self.phase.listens:
            return
        try:
            yield from self._read(data, now)
        except ProtocolViolation as broken:
            yield self._conversation.closed(CloseReason(broken.reason), str(broken))
        if self.phase is Phase.PUBLISHING:
            self._acknowledge_in_time(now)

    def tick(self, now: float) -> Iterator[Event]:
        """Do what is due; yield what follows from it."""
        for timer in self._timers.take_expired(now):
            if self.phase is not Phase.CLOSED:
                yield from self._on_timer(timer, now)

    def accept(self, now: float) -> None:
        """Let the publish that was requested begin."""
        self._conversation.accept()
        self._timers.stop(Timer.PUBLISH)
        self._timers.start(Timer.FIRST_AUDIO, now + self._limits.first_audio_s)
        self._timers.start(Timer.PING, now + self._limits.ping_s)
        # Egress gives a stream up for good when it breaks before any acknowledgement.
        self._acknowledge()

    def refuse(self, refusal: Refusal, answer_at: float) -> None:
        """Refuse the publish that was requested, and say so at ``answer_at``."""
        self._conversation.refuse()
        self._refusal = refusal
        self._timers.stop_all()
        self._timers.start(Timer.REFUSAL, answer_at)

    def close(self, reason: CloseReason) -> None:
        """End the connection from our side; a live publisher is told. No event follows.

        May be called twice.
        """
        if self.phase is not Phase.CLOSED:
            self._conversation.close_live(reason)

    def output_blocked(self, now: float) -> None:
        """Learn that the peer does not read; it has so long to begin again."""
        self._timers.start(Timer.WRITE, now + self._limits.write_s)

    def output_flowing(self) -> None:
        """Learn that the peer reads again."""
        self._timers.stop(Timer.WRITE)

    def _read(self, data: bytes, now: float) -> Iterator[Event]:
        if self.phase is Phase.HANDSHAKE:
            data = self._shake_hands(data, now)
        self._reader.feed(data)
        for message in self._reader.messages():
            self._check_before_publish()
            if message.type_id == MessageType.WINDOW_ACK_SIZE:
                self._set_window(message)
            yield from self._conversation.receive(message)
            if not self.phase.listens:
                return
        self._check_before_publish()

    def _shake_hands(self, data: bytes, now: float) -> bytes:
        behind = self._handshake.receive(data)
        self._outbox += self._handshake.take_output()
        if self._handshake.done:
            self._conversation.move(Signal.SHAKEN)
            self._timers.stop(Timer.HANDSHAKE)
            self._timers.start(Timer.PUBLISH, now + self._limits.publish_s)
        return behind

    def _check_before_publish(self) -> None:
        # What was parsed, not what was received: a publish may follow in the same piece.
        too_much = self._reader.consumed_bytes > self._limits.before_publish_bytes
        if too_much and self.phase is not Phase.PUBLISHING:
            raise violation(CloseReason.TOO_MUCH_BEFORE_PUBLISH)

    def _set_window(self, message: Message) -> None:
        window_bytes = int.from_bytes(message.payload[:4], "big")
        self._ack_bytes = min(window_bytes // 2, self._limits.ack_bytes)

    def _acknowledge_in_time(self, now: float) -> None:
        unacknowledged_bytes = self._received_bytes - self._acknowledged_bytes
        if unacknowledged_bytes >= self._ack_bytes:
            self._acknowledge()
        elif unacknowledged_bytes:
            self._quiet_to_bytes = self._acknowledged_bytes + self._ack_bytes - 1
            if Timer.ACK not in self._timers:
                self._timers.start(Timer.ACK, now + self._limits.ack_s)

    def _acknowledge(self) -> None:
        self._acknowledged_bytes = self._quiet_to_bytes = self._received_bytes
        self._timers.stop(Timer.ACK)
        self._conversation.acknowledge(self._received_bytes)

    def _on_timer(self, timer: Timer, now: float) -> Iterator[Event]:
        match timer:
            case Timer.ACK:
                self._acknowledge()
            case Timer.PING:
                self._conversation.ping((int(now * 1000) & 0xFFFFFFFF).to_bytes(4, "big"))
                self._timers.start(Timer.PING, now + self._limits.ping_s)
            case Timer.REFUSAL:
                assert self._refusal is not None
                yield self._conversation.close_refused(self._refusal)
            case Timer.IDLE:
                yield from self._on_idle_timer(now)
            case Timer.FIRST_AUDIO:
                if not self._conversation.has_audio:
                    yield self._conversation.closed(CloseReason.FIRST_AUDIO_TIMEOUT)
            case Timer.HANDSHAKE | Timer.PUBLISH | Timer.WRITE:
                yield self._conversation.closed(TIMEOUTS[timer])

    def _on_idle_timer(self, now: float) -> Iterator[Closed]:
        # Not restarted with each piece of data: that is the hot path.
        due_at = self._heard_at + self._limits.idle_s
        if due_at > now:
            self._timers.start(Timer.IDLE, due_at)
        else:
            yield self._conversation.closed(CloseReason.IDLE_TIMEOUT)

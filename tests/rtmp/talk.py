"""Runs a PublishSession on bytes, without a socket and without a clock."""

from collections import Counter
from dataclasses import dataclass, field

from realtime_core.model import AudioTag
from realtime_core.rtmp.chunks import ChunkReader
from realtime_core.rtmp.events import Closed, Event, PublishRequested
from realtime_core.rtmp.limits import DEFAULT_LIMITS, Limits
from realtime_core.rtmp.messages import Message, MessageKind, MessageType
from realtime_core.rtmp.publish import PublishSession
from realtime_core.rtmp.reasons import CloseReason, Refusal
from tests.rtmp.vectors import NONCE, Slicing, whole

SERVER_HANDSHAKE_BYTES = 1 + 2 * 1536


@dataclass
class Talk:
    """A session with the host's part played: publishes are accepted unless told."""

    limits: Limits = DEFAULT_LIMITS
    refusal: Refusal | None = None
    now: float = 0.0
    events: list[Event] = field(default_factory=list)
    output: bytes = b""
    tally: Counter[MessageKind] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.session = PublishSession(self.limits, NONCE, self.now, self.tally)

    def say(self, data: bytes, slicing: Slicing = whole) -> "Talk":
        for piece in slicing(data):
            for event in self.session.receive(piece, self.now):
                self._take(event)
            self._collect()
        return self

    def wait(self, seconds: float) -> "Talk":
        """Let time pass, from one timer to the next."""
        end = self.now + seconds
        while (due_at := self.session.due_at) is not None and due_at <= end:
            self.now = due_at
            for event in self.session.tick(self.now):
                self._take(event)
        self.now = end
        self._collect()
        return self

    @property
    def tags(self) -> list[AudioTag]:
        return [event for event in self.events if isinstance(event, AudioTag)]

    @property
    def closed(self) -> CloseReason | None:
        reasons = [event.reason for event in self.events if isinstance(event, Closed)]
        assert len(reasons) <= 1
        return reasons[0] if reasons else None

    @property
    def replies(self) -> list[Message]:
        """Everything said after the handshake."""
        return messages_in(self.output[SERVER_HANDSHAKE_BYTES:])

    @property
    def acknowledged(self) -> list[int]:
        return [
            int.from_bytes(message.payload, "big")
            for message in self.replies
            if message.type_id == MessageType.ACKNOWLEDGEMENT
        ]

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, PublishRequested):
            if self.refusal is None:
                self.session.accept(self.now)
            else:
                self.session.refuse(self.refusal, self.now + 1.5)

    def _collect(self) -> None:
        self.output += self.session.take_output()


def messages_in(
    data: bytes, slicing: Slicing = whole, limits: Limits = DEFAULT_LIMITS
) -> list[Message]:
    """Return the messages in bytes that begin behind a handshake."""
    reader = ChunkReader(limits, Counter())
    read: list[Message] = []
    for piece in slicing(data):
        reader.feed(piece)
        read += reader.messages()
    return read

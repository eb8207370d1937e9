"""Writers that choose chunk headers as GStreamer and FFmpeg do, for property tests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from realtime_core.rtmp.messages import Message
from tests.rtmp.vectors import CHUNK, MASK, basic, header, u32

ESCAPE = 0xFFFFFF
HALF = 2**31


class Repeat(Enum):
    """What a type 3 chunk repeats of an extended timestamp; all three are in the field."""

    FIELD = auto()
    ABSOLUTE = auto()
    NOTHING = auto()


@dataclass
class EncoderStream:
    """One chunk stream of an encoder: the shortest header that says what is new.

    Attributes:
        back_as_full: Write a step back as type 0, like FFmpeg; else as a wrapped delta.
    """

    csid: int
    repeat: Repeat = Repeat.FIELD
    back_as_full: bool = False
    _last: Message | None = None
    _field: int = 0

    def chunks(self, message: Message) -> list[bytes]:
        """Return the chunks of a message, the first with its header."""
        chunk_type = self._choose(message)
        if chunk_type == 0:
            self._field = message.timestamp_ms
        elif self._last is not None:
            self._field = (message.timestamp_ms - self._last.timestamp_ms) & MASK
        self._last = message
        payload = message.payload
        cuts = [payload[at : at + CHUNK] for at in range(0, len(payload), CHUNK)] or [b""]
        return [
            self._head(chunk_type if index == 0 else 3, message) + cut
            for index, cut in enumerate(cuts)
        ]

    def _choose(self, message: Message) -> int:
        last = self._last
        if last is None or last.stream_id != message.stream_id:
            return 0
        step = (message.timestamp_ms - last.timestamp_ms) & MASK
        if self.back_as_full and step >= HALF:
            return 0
        if last.type_id != message.type_id or len(last.payload) != len(message.payload):
            return 1
        return 3 if step == self._field else 2

    def _head(self, chunk_type: int, message: Message) -> bytes:
        if chunk_type < 3:
            return header(
                chunk_type,
                self.csid,
                self._field,
                len(message.payload),
                message.type_id,
                message.stream_id,
            )
        repeated = {
            Repeat.FIELD: u32(self._field),
            Repeat.ABSOLUTE: u32(message.timestamp_ms),
            Repeat.NOTHING: b"",
        }[self.repeat]
        return basic(3, self.csid) + (repeated if self._field >= ESCAPE else b"")


@dataclass
class Encoder:
    """Several chunk streams whose chunks are interleaved."""

    streams: Sequence[EncoderStream]
    _queues: dict[int, list[bytes]] = field(default_factory=dict)

    def write(self, messages: Iterable[tuple[int, Message]], turns: Iterable[int]) -> bytes:
        """Return all messages, each on the stream with its index.

        Args:
            turns: Which stream's chunk comes next; what is left over comes at the end.
        """
        self._queues = {index: [] for index in range(len(self.streams))}
        for index, message in messages:
            self._queues[index] += self.streams[index].chunks(message)
        order = [index for index in turns if index in self._queues]
        order += [index for index, queue in self._queues.items() for _ in queue]
        return b"".join(self._queues[index].pop(0) for index in order if self._queues[index])

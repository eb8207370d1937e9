"""The chunk layer (specification 5.3): chunks in, messages out, and back. Pure.

Two rules carry most of the weight. Whether a timestamp is extended is decided by the
field on the wire, never by a sum. And a type 3 chunk means "continue" when its chunk
stream has a message in the making, else "a new message, the same header again".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.messages import (
    LEAST_BYTES,
    Message,
    MessageKind,
    MessageType,
    most_bytes,
)
from realtime_core.rtmp.reasons import CloseReason, violation

DEFAULT_CHUNK_BYTES = 128
EXTENDED = 0xFFFFFF
EXTENSION_BYTES = 4
TIME_MASK = 0xFFFFFFFF
HEADER_BYTES = (11, 7, 3, 0)
"""Length of the message header by chunk type, without basic header and extension."""


class _ChunkStream:
    """What a chunk stream inherits from chunk to chunk."""

    __slots__ = (
        "absolute", "extended", "field", "length", "partial", "stream_id", "timestamp_ms", "type_id"
    )  # fmt: skip

    def __init__(self) -> None:
        self.field = 0  # the last timestamp field, absolute or delta, after extension
        self.absolute = False  # whether that field was a type 0's
        self.extended = False
        self.length = self.type_id = self.stream_id = self.timestamp_ms = 0
        self.partial: bytearray | None = None


class ChunkReader:
    """Puts messages together from bytes that come in pieces of any size.

    :meth:`feed` bytes, then exhaust :meth:`messages`. SetChunkSize and Abort are obeyed
    here, between two chunks, and handed on like all others.

    Args:
        tally: Where oddities that are survived are counted.
    """

    def __init__(self, limits: Limits, tally: Counter[MessageKind]) -> None:
        self._limits, self._tally = limits, tally
        self._streams: dict[int, _ChunkStream] = {}
        self._chunk_bytes = DEFAULT_CHUNK_BYTES
        self._inbox = bytearray()
        self._at = 0
        self._current: _ChunkStream | None = None  # the one whose chunk is being read
        self._missing = 0  # bytes of that chunk's payload still to come
        self.unfinished_bytes = 0
        self.consumed_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; nothing is looked at yet."""
        self._inbox += data

    def messages(self) -> Iterator[Message]:
        """Yield the messages that are complete.

        Raises:
            ProtocolViolation: After the messages that came before the fault. The reader
                is of no use afterwards.
        """
        while self._current is not None or self._begin_chunk():
            assert self._current is not None
            if not self._take_payload(self._current):
                break
            message = self._finish_chunk(self._current)
            if message is not None:
                self._obey(message)
                yield message
        del self._inbox[: self._at]
        self._at = 0

    def _begin_chunk(self) -> bool:
        """Read a chunk's headers if all of them are here; change nothing if not."""
        basic = self._basic_header()
        if basic is None:
            return False
        chunk_type, csid, at = basic
        stream = self._streams.get(csid) or self._fresh(csid, chunk_type)
        end = self._header_end(chunk_type, stream, at)
        if end is None:
            return False
        if chunk_type != 3:
            self._start(stream, chunk_type, at, end)
        elif stream.partial is None:
            self._repeat(stream)
        self._streams[csid] = stream
        self._advance(end)
        self._expect_payload(stream)
        return True

    def _basic_header(self) -> tuple[int, int, int] | None:
        """Return chunk type, chunk stream id and where the message header begins."""
        inbox, at = self._inbox, self._at
        if at >= len(inbox):
            return None
        chunk_type, csid = inbox[at] >> 6, inbox[at] & 0x3F
        if csid >= 2:
            return chunk_type, csid, at + 1
        more = csid + 1
        if at + 1 + more > len(inbox):
            return None
        # The only little-endian number of the chunk header beside the message stream id.
        return (
            chunk_type,
            64 + int.from_bytes(inbox[at + 1 : at + 1 + more], "little"),
            at + 1 + more,
        )

    def _fresh(self, csid: int, chunk_type: int) -> _ChunkStream:
        # librtmp opens a chunk stream with type 1; types 2 and 3 would have no length.
        if chunk_type >= 2:
            raise violation(
                CloseReason.BAD_CHUNK_HEADER, f"type {chunk_type} on unused chunk stream {csid}"
            )
        if len(self._streams) >= self._limits.chunk_streams:
            raise violation(CloseReason.TOO_MANY_CHUNK_STREAMS)
        return _ChunkStream()

    def _header_end(self, chunk_type: int, stream: _ChunkStream, at: int) -> int | None:
        """Return where the payload begins; None while that cannot be known."""
        if chunk_type == 3:
            repeated = self._repeated_extension(stream, at) if stream.extended else 0
            return None if repeated is None else at + repeated
        end = at + HEADER_BYTES[chunk_type]
        if len(self._inbox) < end:
            return None
        if self._inbox[at] == self._inbox[at + 1] == self._inbox[at + 2] == 0xFF:
            end += EXTENSION_BYTES
        return end if len(self._inbox) >= end else None

    def _repeated_extension(self, stream: _ChunkStream, at: int) -> int | None:
        """Return how many bytes a type 3 chunk spends on repeating the extended timestamp.

        Most writers repeat the field, some the absolute time, and some nothing; so the
        bytes are compared, and a prefix that differs decides without waiting for more.
        """
        head = bytes(self._inbox[at : at + EXTENSION_BYTES])
        begun = stream.partial is not None
        absolute = stream.timestamp_ms if begun else stream.timestamp_ms + stream.field
        for value in (stream.field, absolute & TIME_MASK):
            if value.to_bytes(EXTENSION_BYTES, "big").startswith(head):
                return EXTENSION_BYTES if len(head) == EXTENSION_BYTES else None
        return 0

    def _start(self, stream: _ChunkStream, chunk_type: int, at: int, end: int) -> None:
        """Begin a message whose header (type 0, 1 or 2) lies between ``at`` and ``end``."""
        self._drop_partial(stream)
        header = bytes(self._inbox[at:end])
        stream.field = int.from_bytes(header[:3], "big")
        stream.extended = stream.field == EXTENDED
        if stream.extended:
            stream.field = int.from_bytes(header[-EXTENSION_BYTES:], "big")
        stream.absolute = chunk_type == 0
        if chunk_type <= 1:
            stream.length, stream.type_id = int.from_bytes(header[3:6], "big"), header[6]
            self._check_length(stream)
        if chunk_type == 0:
            stream.stream_id = int.from_bytes(header[7:11], "little")
            stream.timestamp_ms = 0
        stream.timestamp_ms = (stream.timestamp_ms + stream.field) & TIME_MASK
        stream.partial = bytearray()

    def _repeat(self, stream: _ChunkStream) -> None:
        """Begin a message with the header of the one before."""
        if stream.absolute and stream.field:
            # The specification adds the absolute time once more, and GStreamer and FFmpeg
            # write so; some servers read a delta of 0. Counted, to be seen in the field.
            self._tally[MessageKind.AMBIGUOUS_DELTA] += 1
        stream.timestamp_ms = (stream.timestamp_ms + stream.field) & TIME_MASK
        stream.partial = bytearray()

    def _check_length(self, stream: _ChunkStream) -> None:
        if stream.length > most_bytes(stream.type_id, self._limits):
            raise violation(
                CloseReason.MESSAGE_TOO_LARGE, f"{stream.length} bytes of type {stream.type_id}"
            )
        if stream.length < LEAST_BYTES.get(stream.type_id, 0):
            raise violation(CloseReason.BAD_CONTROL_MESSAGE, f"type {stream.type_id} too short")

    def _expect_payload(self, stream: _ChunkStream) -> None:
        assert stream.partial is not None
        self._current = stream
        self._missing = min(self._chunk_bytes, stream.length - len(stream.partial))
        self.unfinished_bytes += self._missing
        if self.unfinished_bytes > self._limits.unfinished_bytes:
            raise violation(CloseReason.TOO_MUCH_UNFINISHED)

    def _take_payload(self, stream: _ChunkStream) -> bool:
        """Move what is here of the chunk's payload; return whether that was all of it."""
        assert stream.partial is not None
        end = min(self._at + self._missing, len(self._inbox))
        stream.partial += self._inbox[self._at : end]
        self._missing -= end - self._at
        self._advance(end)
        return self._missing == 0

    def _finish_chunk(self, stream: _ChunkStream) -> Message | None:
        assert stream.partial is not None
        self._current = None
        if len(stream.partial) < stream.length:
            return None
        payload, stream.partial = bytes(stream.partial), None
        self.unfinished_bytes -= stream.length
        return Message(stream.type_id, stream.timestamp_ms, stream.stream_id, payload)

    def _advance(self, end: int) -> None:
        self.consumed_bytes += end - self._at
        self._at = end

    def _obey(self, message: Message) -> None:
        if message.type_id == MessageType.SET_CHUNK_SIZE:
            self._set_chunk_size(int.from_bytes(message.payload[:4], "big"))
        elif message.type_id == MessageType.ABORT:
            aborted = self._streams.get(int.from_bytes(message.payload[:4], "big"))
            if aborted is not None:
                self._drop_partial(aborted)

    def _set_chunk_size(self, size_bytes: int) -> None:
        size_bytes &= 0x7FFFFFFF
        if size_bytes == 0:
            raise violation(CloseReason.BAD_CHUNK_SIZE)
        self._chunk_bytes = min(size_bytes, self._limits.media_bytes)

    def _drop_partial(self, stream: _ChunkStream) -> None:
        if stream.partial is not None:
            self._tally[MessageKind.PARTIAL_DROPPED] += 1
            self.unfinished_bytes -= len(stream.partial)
            stream.partial = None


class ChunkWriter:
    """Writes messages as chunks: type 0 first, type 3 for the rest.

    Never a header that inherits: rtmp2sink waits for ever when a reply's message stream
    id has to be inherited from a reply on another stream.
    """

    def __init__(self) -> None:
        self.chunk_bytes = DEFAULT_CHUNK_BYTES

    def message(self, csid: int, type_id: int, stream_id: int, payload: bytes) -> bytes:
        """Return one message, at time 0, on a chunk stream from 2 to 63."""
        header = bytes([csid, 0, 0, 0]) + len(payload).to_bytes(3, "big")
        header += bytes([type_id]) + stream_id.to_bytes(4, "little")
        pieces = [
            payload[at : at + self.chunk_bytes] for at in range(0, len(payload), self.chunk_bytes)
        ]
        return header + bytes([0xC0 | csid]).join(pieces)

"""The chunk layer (specification 5.3): chunks in, messages out. Pure.

Two rules carry most of the weight. Whether a timestamp is extended is decided by the
field on the wire, never by a sum. And a type 3 chunk means "continue" when its chunk
stream has a message in the making, else "a new message, the same header again".

Audio that is here as one whole takes a short cut, because each session has 43 of it in a
second; all else is read chunk by chunk, and property tests hold both ways to one outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from struct import Struct

from realtime_core.rtmp.chunk_stream import EXTENDED, EXTENSION_BYTES, TIME_MASK, ChunkStream
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.messages import (
    LEAST_BYTES,
    Message,
    MessageKind,
    MessageType,
    most_bytes,
)
from realtime_core.rtmp.reasons import CloseReason, violation

AUDIO = int(MessageType.AUDIO)  # to compare with a member of an enumeration takes longer
DEFAULT_CHUNK_BYTES = 128
SHORT_HEAD = Struct(">II")
"""Of a type 1 chunk: basic header (1 byte), time delta (3), length (3), type id (1)."""
HEADER_BYTES = (11, 7, 3, 0)
"""Length of the message header by chunk type, without basic header and extension."""


class ChunkReader:
    """Puts messages together from bytes that come in pieces of any size.

    :meth:`feed` bytes, then exhaust :meth:`messages`. SetChunkSize and Abort are obeyed
    here, between two chunks, and handed on like all others.

    Args:
        tally: Where oddities that are survived are counted.
    """

    def __init__(self, limits: Limits, tally: Counter[MessageKind]) -> None:
        self._limits, self._tally = limits, tally
        self._streams: dict[int, ChunkStream] = {}
        self._chunk_bytes = DEFAULT_CHUNK_BYTES
        self._inbox = b""
        self._at = 0  # what lies before it has been read
        self._current: ChunkStream | None = None  # the one whose chunk is being read
        self._missing = 0  # bytes of that chunk's payload still to come
        self._consumed_before = 0  # bytes of earlier inboxes
        self.unfinished_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take bytes from the peer; nothing is looked at yet."""
        # What is left is a piece of a header: payload is taken as it comes.
        self._inbox = self._inbox + data if self._inbox else data

    @property
    def consumed_bytes(self) -> int:
        """How much of all that was fed has been read."""
        return self._consumed_before + self._at

    @property
    def is_empty(self) -> bool:
        """Whether all that was fed has been read."""
        return not self._inbox

    def whole_audio(self) -> Message | None:
        """Return the audio message that comes next, if all of it is here and it is plain.

        Plain is what a publisher repeats for hours: a chunk stream that is known, a short
        header, no extended timestamp. For all else the answer is None, nothing has changed,
        and :meth:`messages` has to be asked.
        """
        inbox, at = self._inbox, self._at
        if self._current is not None or len(inbox) < at + SHORT_HEAD.size:
            return None
        first, second = SHORT_HEAD.unpack_from(inbox, at)
        stream = self._streams.get(first >> 24 & 0x3F)  # longer ids are above these numbers
        if stream is None or stream.partial is not None or stream.extended:
            return None
        chunk_type, field = first >> 30, first & EXTENDED
        length, type_id = stream.length, stream.type_id
        if chunk_type == 1:
            length, type_id = second >> 8, second & 0xFF
        elif chunk_type == 3 and not stream.absolute:
            field = stream.field
        elif chunk_type != 2:
            return None
        if type_id != AUDIO or field == EXTENDED:
            return None
        payload = self._whole_payload(at + 1 + HEADER_BYTES[chunk_type], length, stream.again)
        if payload is None:
            return None
        stream.field, stream.length, stream.type_id = field, length, type_id
        stream.absolute = False
        stream.timestamp_ms = timestamp_ms = (stream.timestamp_ms + field) & TIME_MASK
        return Message(AUDIO, timestamp_ms, stream.stream_id, payload)

    def _whole_payload(self, start: int, length: int, again: bytes) -> bytes | None:
        """Take a payload that lies behind its header, if all of it is here and may be."""
        chunk_bytes, limits = self._chunk_bytes, self._limits
        cuts = (length - 1) // chunk_bytes
        end = start + length + cuts
        if not 0 < length <= limits.media_bytes or end > len(self._inbox):
            return None
        if self.unfinished_bytes + length > limits.unfinished_bytes:
            return None
        payload = self._inbox[start:end]
        if cuts:
            if payload[chunk_bytes :: chunk_bytes + 1] != again * cuts:
                return None  # another chunk stream, or a new header, comes between
            chunked = bytearray(payload)
            del chunked[chunk_bytes :: chunk_bytes + 1]
            payload = bytes(chunked)
        self._at = end
        if end == len(self._inbox):
            self._forget()
        return payload

    def messages(self) -> Iterator[Message]:
        """Yield the messages that are complete.

        Raises:
            ProtocolViolation: After the messages that came before the fault. The reader
                is of no use afterwards.
        """
        while (message := self.whole_audio()) is not None or self._has_chunk():
            message = message or self._finish_chunk()
            if message is not None:
                self._obey(message)
                yield message
        self._forget()

    def _forget(self) -> None:
        """Let go of what has been read.

        At once: asyncio reads into 256 KiB, and to hold on to one such piece while it reads
        the next one would have the allocator get and give back memory for every message.
        """
        self._consumed_before += self._at
        self._inbox, self._at = self._inbox[self._at :], 0

    def _has_chunk(self) -> bool:
        """Read on in a chunk, the next one if need be; return whether all of it was here."""
        return (self._current is not None or self._begin_chunk()) and self._take_payload()

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
        self._at = end
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

    def _fresh(self, csid: int, chunk_type: int) -> ChunkStream:
        # librtmp opens a chunk stream with type 1; types 2 and 3 would have no length.
        if chunk_type >= 2:
            raise violation(
                CloseReason.BAD_CHUNK_HEADER, f"type {chunk_type} on unused chunk stream {csid}"
            )
        if len(self._streams) >= self._limits.chunk_streams:
            raise violation(CloseReason.TOO_MANY_CHUNK_STREAMS)
        return ChunkStream(csid)

    def _header_end(self, chunk_type: int, stream: ChunkStream, at: int) -> int | None:
        """Return where the payload begins; None while that cannot be known."""
        if chunk_type == 3:
            head = self._inbox[at : at + EXTENSION_BYTES]
            repeated = stream.repeated_extension(head) if stream.extended else 0
            return None if repeated is None else at + repeated
        end = at + HEADER_BYTES[chunk_type]
        if len(self._inbox) < end:
            return None
        if self._inbox[at] == self._inbox[at + 1] == self._inbox[at + 2] == 0xFF:
            end += EXTENSION_BYTES
        return end if len(self._inbox) >= end else None

    def _start(self, stream: ChunkStream, chunk_type: int, at: int, end: int) -> None:
        """Begin a message whose header (type 0, 1 or 2) lies between ``at`` and ``end``."""
        self._drop_partial(stream)
        stream.inherit(chunk_type, self._inbox[at:end])
        self._check_length(stream)
        stream.advance()

    def _repeat(self, stream: ChunkStream) -> None:
        """Begin a message with the header of the one before."""
        if stream.absolute and stream.field:
            # The specification adds the absolute time once more, and GStreamer and FFmpeg
            # write so; some servers read a delta of 0. Counted, to be seen in the field.
            self._tally[MessageKind.AMBIGUOUS_DELTA] += 1
        stream.advance()

    def _check_length(self, stream: ChunkStream) -> None:
        if stream.length > most_bytes(stream.type_id, self._limits):
            raise violation(
                CloseReason.MESSAGE_TOO_LARGE, f"{stream.length} bytes of type {stream.type_id}"
            )
        if stream.length < LEAST_BYTES.get(stream.type_id, 0):
            raise violation(CloseReason.BAD_CONTROL_MESSAGE, f"type {stream.type_id} too short")

    def _expect_payload(self, stream: ChunkStream) -> None:
        assert stream.partial is not None
        self._current = stream
        self._missing = min(self._chunk_bytes, stream.length - len(stream.partial))
        self.unfinished_bytes += self._missing
        if self.unfinished_bytes > self._limits.unfinished_bytes:
            raise violation(CloseReason.TOO_MUCH_UNFINISHED)

    def _take_payload(self) -> bool:
        """Move what is here of the chunk's payload; return whether that was all of it."""
        assert self._current is not None
        assert self._current.partial is not None
        part = self._inbox[self._at : self._at + self._missing]
        self._current.partial += part
        self._missing -= len(part)
        self._at += len(part)
        return self._missing == 0

    def _finish_chunk(self) -> Message | None:
        stream, self._current = self._current, None
        assert stream is not None
        assert stream.partial is not None
        if len(stream.partial) < stream.length:
            return None
        payload, stream.partial = bytes(stream.partial), None
        self.unfinished_bytes -= stream.length
        return Message(stream.type_id, stream.timestamp_ms, stream.stream_id, payload)

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

    def _drop_partial(self, stream: ChunkStream) -> None:
        if stream.partial is not None:
            self._tally[MessageKind.PARTIAL_DROPPED] += 1
            self.unfinished_bytes -= len(stream.partial)
            stream.partial = None

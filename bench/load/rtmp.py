"""As much RTMP as a publisher needs, written for the bench: AMF0, and chunks both ways. Pure.

It shares nothing with the service, so that no error of the service's codec can hide in its
mirror image.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

CHUNK_BYTES = 128
"""What rtmp2sink, LiveKit Egress's sink, sends; it does not adopt the server's."""

SET_CHUNK_SIZE, USER_CONTROL, WINDOW_SIZE, PEER_BANDWIDTH = 1, 4, 5, 6
AUDIO, DATA, COMMAND = 8, 18, 20
PING_REQUEST, PING_RESPONSE = b"\x00\x06", b"\x00\x07"

HEADER_BYTES = (11, 7, 3, 0)
EXTENDED = 0xFFFFFF

Amf = str | float | None | Mapping[str, "str | float"]


def amf(*values: Amf) -> bytes:
    """Encode values as AMF0; a mapping becomes an object."""
    return b"".join(_encoded(value) for value in values)


def _encoded(value: Amf) -> bytes:
    if value is None:
        return b"\x05"
    if isinstance(value, str):
        return b"\x02" + _text(value)
    if isinstance(value, Mapping):
        inside = b"".join(_text(name) + _encoded(each) for name, each in value.items())
        return b"\x03" + inside + b"\x00\x00\x09"
    return b"\x00" + struct.pack(">d", value)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded


class ChunkWriter:
    """One chunk stream, with the shortest headers that say what is new, as GStreamer chooses.

    Timestamps must stay below 4 h 39 min, where they would need more than three bytes.
    """

    def __init__(self, csid: int) -> None:
        self._csid = csid
        self._last: tuple[int, int, int] | None = None  # type, stream, length
        self._time_ms = self._delta_ms = 0

    def message(self, kind: int, stream: int, payload: bytes, time_ms: int = 0) -> bytes:
        """Return one message in chunks."""
        delta_ms, self._time_ms = time_ms - self._time_ms, time_ms
        header = self._header(kind, stream, len(payload), delta_ms)
        self._last, self._delta_ms = (kind, stream, len(payload)), delta_ms
        continued = bytes([3 << 6 | self._csid])
        return header + continued.join(
            payload[at : at + CHUNK_BYTES] for at in range(0, len(payload), CHUNK_BYTES)
        )

    def _header(self, kind: int, stream: int, length: int, delta_ms: int) -> bytes:
        named = length.to_bytes(3, "big") + bytes([kind])
        if self._last is None or self._last[1] != stream:
            time_ms = self._time_ms.to_bytes(3, "big")
            return bytes([self._csid]) + time_ms + named + struct.pack("<I", stream)
        if self._last != (kind, stream, length):
            return bytes([1 << 6 | self._csid]) + delta_ms.to_bytes(3, "big") + named
        if self._delta_ms != delta_ms:
            return bytes([2 << 6 | self._csid]) + delta_ms.to_bytes(3, "big")
        return bytes([3 << 6 | self._csid])


@dataclass(slots=True)
class _Incoming:
    """What a chunk stream of the server's remembers."""

    length: int = 0
    kind: int = 0
    extended: bool = False
    payload: bytes = b""


class ChunkReader:
    """Reads a server's messages; timestamps do not matter here."""

    def __init__(self) -> None:
        self._inbox = b""
        self._chunk_bytes = CHUNK_BYTES
        self._streams: dict[int, _Incoming] = {}

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes, in pieces of any size; return the messages (type, payload) they end."""
        self._inbox += data
        messages: list[tuple[int, bytes]] = []
        while size := self._chunk(messages):
            self._inbox = self._inbox[size:]
        return messages

    def _chunk(self, messages: list[tuple[int, bytes]]) -> int:
        """Read one chunk; return its size, or 0 when it is not all there."""
        # Servers need few chunk streams: ids above 63 take further bytes, and do not occur.
        if not self._inbox:
            return 0
        form, csid = self._inbox[0] >> 6, self._inbox[0] & 0x3F
        header = self._inbox[1 : 1 + HEADER_BYTES[form]]
        if len(header) < HEADER_BYTES[form]:
            return 0
        stream = self._streams.setdefault(csid, _Incoming())
        if form < 3:
            stream.extended = int.from_bytes(header[:3], "big") == EXTENDED
        if form < 2:
            stream.length, stream.kind = int.from_bytes(header[3:6], "big"), header[6]
        start = 1 + len(header) + 4 * stream.extended
        size = min(self._chunk_bytes, stream.length - len(stream.payload))
        if len(self._inbox) < start + size:
            return 0
        stream.payload += self._inbox[start : start + size]
        if len(stream.payload) == stream.length:
            self._message(stream, messages)
        return start + size

    def _message(self, stream: _Incoming, messages: list[tuple[int, bytes]]) -> None:
        if stream.kind == SET_CHUNK_SIZE:
            self._chunk_bytes = int.from_bytes(stream.payload, "big") & 0x7FFFFFFF
        messages.append((stream.kind, stream.payload))
        stream.payload = b""

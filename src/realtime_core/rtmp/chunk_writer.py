"""Replies as chunks (specification 5.3). Pure."""

from __future__ import annotations

from realtime_core.rtmp.chunks import DEFAULT_CHUNK_BYTES


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

"""What a chunk stream inherits from chunk to chunk (specification 5.3.1). Pure."""

from __future__ import annotations

EXTENDED = 0xFFFFFF
EXTENSION_BYTES = 4
TIME_MASK = 0xFFFFFFFF


class ChunkStream:
    """The last header of one chunk stream, and its message in the making.

    Attributes:
        again: Its type 3 header, as long as its id fits into one byte.
        field: The last timestamp field, absolute or delta, after extension.
        absolute: Whether that field was a type 0's.
        extended: Whether it was extended.
        partial: What is here of a message; None between two of them.
    """

    __slots__ = (
        "absolute", "again", "extended", "field", "length", "partial", "stream_id",
        "timestamp_ms", "type_id",
    )  # fmt: skip

    def __init__(self, csid: int) -> None:
        self.again = bytes([0xC0 | csid & 0x3F])
        self.field = self.length = self.type_id = self.stream_id = self.timestamp_ms = 0
        self.absolute = self.extended = False
        self.partial: bytearray | None = None

    def inherit(self, chunk_type: int, header: bytes) -> None:
        """Replace what a header of type 0, 1 or 2 names, and keep the rest."""
        self.field = int.from_bytes(header[:3], "big")
        self.extended = self.field == EXTENDED
        if self.extended:
            self.field = int.from_bytes(header[-EXTENSION_BYTES:], "big")
        self.absolute = chunk_type == 0
        if chunk_type <= 1:
            self.length, self.type_id = int.from_bytes(header[3:6], "big"), header[6]
        if chunk_type == 0:
            self.stream_id = int.from_bytes(header[7:11], "little")
            self.timestamp_ms = 0

    def advance(self) -> None:
        """Begin a message, one field later."""
        self.timestamp_ms = (self.timestamp_ms + self.field) & TIME_MASK
        self.partial = bytearray()

    def repeated_extension(self, head: bytes) -> int | None:
        """Return how many bytes a type 3 chunk spends on repeating the extended timestamp.

        Most writers repeat the field, some the absolute time, and some nothing; so the
        bytes are compared, and a prefix that differs decides without waiting for more.

        Args:
            head: What follows the basic header, as far as it is here: four bytes at most.
        """
        begun = self.partial is not None
        absolute = self.timestamp_ms if begun else self.timestamp_ms + self.field
        for value in (self.field, absolute & TIME_MASK):
            if value.to_bytes(EXTENSION_BYTES, "big").startswith(head):
                return EXTENSION_BYTES if len(head) == EXTENSION_BYTES else None
        return 0

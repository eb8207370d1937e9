"""The two WebSocket frames (RFC 6455, section 5.2) that come and go all the time. Pure.

What goes out is audio, nearly all that comes is a short text, each whole in one frame. To read
that takes a look at four bytes; what can read everything that may come needs twenty times as
long. So what comes is only cut into frames here, and all other kinds are left to the library.
"""

from __future__ import annotations

import struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library has no compiled part
    from websockets.utils import apply_mask

WHOLE_TEXT, WHOLE_BINARY, MASKED = 0x81, 0x82, 0x80
LENGTH_BITS = 0x7F
# Such lengths say that the length follows, in two bytes or in eight.
IN_TWO_BYTES, IN_EIGHT_BYTES = 126, 127
LONGEST_HEADER_BYTES = 10


def binary_frame(chunk: bytes, mask: bytes) -> bytes:
    """Return a chunk of audio as a client sends it; ``mask`` is 4 bytes that nobody can guess."""
    length = len(chunk)
    if length < IN_TWO_BYTES:
        head = struct.pack("!BB", WHOLE_BINARY, MASKED | length)
    elif length < 2**16:
        head = struct.pack("!BBH", WHOLE_BINARY, MASKED | IN_TWO_BYTES, length)
    else:
        head = struct.pack("!BBQ", WHOLE_BINARY, MASKED | IN_EIGHT_BYTES, length)
    return b"".join((head, mask, apply_mask(chunk, mask)))


class FrameSplitter:
    """Takes bytes in pieces of any size, gives whole frames with their headers.

    Args:
        most_bytes: A frame that announces more comes out in pieces: its reader shall refuse it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes + LONGEST_HEADER_BYTES
        self._rest = bytearray()

    def split(self, data: bytes) -> list[bytes]:
        """Take more bytes; return the frames that are complete now."""
        if not self._rest and data and _size(data) == len(data):
            return [data]
        self._rest += data
        frames = []
        while 0 < (size := _size(self._rest)) <= len(self._rest) or size > self._most_bytes:
            frames.append(bytes(self._rest[:size]))
            del self._rest[:size]
        return frames


def text_of(frame: bytes) -> bytes | None:
    """Return the text of a frame that holds a whole one; None for any other frame."""
    if frame[0] != WHOLE_TEXT or frame[1] >= IN_EIGHT_BYTES:
        return None  # longer than 64 KiB, or masked, which a server must not do
    return frame[4:] if frame[1] == IN_TWO_BYTES else frame[2:]


def _size(data: bytes | bytearray) -> int:
    """Return how long the first frame is, header included; 0 while that is not known."""
    if len(data) < 2:
        return 0
    length = data[1] & LENGTH_BITS
    if length < IN_TWO_BYTES:
        return 2 + length
    ends_at = 4 if length == IN_TWO_BYTES else 10
    return ends_at + int.from_bytes(data[2:ends_at], "big") if len(data) >= ends_at else 0

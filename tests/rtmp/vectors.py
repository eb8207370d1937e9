"""Bytes as publishers send them, built by hand: independent of the code under test.

What the names T0 to S19 stand for is in README.md beside this file.
"""

import random
import struct
from collections.abc import Callable, Iterable, Sequence

NONCE = bytes(range(256)) * 5 + bytes(248)
CLIENT_NONCE = bytes(reversed(range(256))) * 6
ASC = bytes.fromhex("af001210")
MASK = 0xFFFFFFFF
CHUNK = 128

HELLO = b"\x03" + bytes(8) + CLIENT_NONCE[:1528]
ECHO = bytes(8) + NONCE
HANDSHAKE = HELLO + ECHO

CONNECT = bytes.fromhex(
    "030000000000 5d 14 00000000 020007 636f6e6e656374 00 3ff0000000000000 03 0003 617070 020004"
    "6c697665 0004 74797065 02000a 6e6f6e70726976617465 0008 666c617368566572 020003 726177 0005"
    "746355726c 02000d 72746d703a2f2f682f6c697665 000009"
)
CREATE = bytes.fromhex(
    "03000000 000019 14 00000000 02000c 63726561746553747265616d 00 4000000000000000 05"
)
PUBLISH = bytes.fromhex(
    "03000000 00001f 14 01000000 020007 7075626c697368 00 0000000000000000 05 020001 6b 020004"
    "6c697665"
)
START = HANDSHAKE + CONNECT + CREATE + PUBLISH


def frame(length: int, index: int = 0) -> bytes:
    """Return an AAC frame's message body; every byte behind its header tells which one it is."""
    return b"\xaf\x01" + bytes([index % 256]) * (length - 2)


def u24(value: int) -> bytes:
    return value.to_bytes(3, "big")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def basic(chunk_type: int, csid: int) -> bytes:
    if csid < 64:
        return bytes([chunk_type << 6 | csid])
    if csid < 320:
        return bytes([chunk_type << 6, csid - 64])
    return bytes([chunk_type << 6 | 1]) + (csid - 64).to_bytes(2, "little")


def header(
    chunk_type: int,
    csid: int,
    field: int = 0,
    length: int = 0,
    type_id: int = 8,
    stream_id: int = 1,
) -> bytes:
    """Return a chunk's headers; a field from 0xffffff on is extended."""
    message = u24(min(field, 0xFFFFFF)) + u24(length) + bytes([type_id])
    message += stream_id.to_bytes(4, "little")
    extension = u32(field) if field >= 0xFFFFFF else b""
    return (
        basic(chunk_type, csid)
        + message[: (11, 7, 3, 0)[chunk_type]]
        + (extension if chunk_type < 3 else b"")
    )


def chunks(
    head: bytes, payload: bytes, csid: int, *, repeat: bytes = b"", size: int = CHUNK
) -> bytes:
    """Return a message: its header, and its payload cut by type 3 chunks."""
    cuts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    return head + (basic(3, csid) + repeat).join(cuts)


def full(csid: int, at: int, payload: bytes, *, type_id: int = 8, stream_id: int = 1) -> bytes:
    """Return a message that begins with a type 0 chunk."""
    repeat = u32(at) if at >= 0xFFFFFF else b""
    head = header(0, csid, at, len(payload), type_id, stream_id)
    return chunks(head, payload, csid, repeat=repeat)


def delta(csid: int, step: int, payload: bytes, *, type_id: int = 8) -> bytes:
    """Return a message that begins with a type 1 chunk."""
    repeat = u32(step) if step >= 0xFFFFFF else b""
    return chunks(header(1, csid, step, len(payload), type_id), payload, csid, repeat=repeat)


def same(csid: int, payload: bytes, *, repeat: bytes = b"") -> bytes:
    """Return a message that begins with a type 3 chunk."""
    return chunks(basic(3, csid) + repeat, payload, csid, repeat=repeat)


def control(type_id: int, payload: bytes) -> bytes:
    return full(2, 0, payload, type_id=type_id, stream_id=0)


def set_chunk_size(size: int) -> bytes:
    return control(1, u32(size))


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return b"\x02" + struct.pack(">H", len(raw)) + raw


def number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)


NULL = b"\x05"


def command(
    name: str,
    transaction: float,
    *rest: bytes,
    csid: int = 3,
    stream_id: int = 0,
    type_id: int = 20,
) -> bytes:
    payload = text(name) + number(transaction) + b"".join(rest)
    marker = b"\x00" if type_id == 17 else b""
    return full(csid, 0, marker + payload, type_id=type_id, stream_id=stream_id)


def connect(*properties: bytes, app: str = "live") -> bytes:
    """Return a connect with further properties, each a name and a value."""
    pairs = text("app")[1:] + text(app) + b"".join(properties)
    return command("connect", 1.0, b"\x03" + pairs + b"\x00\x00\x09")


def publish(key: str | bytes, *, stream_id: int = 1) -> bytes:
    return command("publish", 0.0, NULL, text(key), text("live"), csid=8, stream_id=stream_id)


def metadata(*values: bytes) -> bytes:
    """Return metadata whose properties are a, b, c … with these values."""
    pairs = b"".join(text(chr(97 + i))[1:] + value for i, value in enumerate(values))
    body = text("@setDataFrame") + text("onMetaData") + b"\x08\x00\x00\x00\x00" + pairs
    return full(4, 0, body + b"\x00\x00\x09", type_id=18)


# How a vector may be cut

Slicing = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def at_random(seed: int) -> Slicing:
    def cut(data: bytes) -> Iterable[bytes]:
        dice, at = random.Random(seed), 0
        while at < len(data):
            step = dice.choice((1, 2, 3, 11, 127, 129, 1000))
            yield data[at : at + step]
            at += step

    return cut


SLICINGS: dict[str, Slicing] = {
    "whole": whole,
    "bytes": byte_by_byte,
    "random-1": at_random(1),
    "random-2": at_random(2),
}


# Timestamps (T0 to T13): bytes after START, and the audio times in them

Timed = tuple[bytes, Sequence[int]]


def baseline() -> Timed:
    data = full(4, 0, ASC) + b"".join(full(4, 23 * i, frame(372, i)) for i in range(20))
    return data, [0, *range(0, 460, 23)]


def silence_times() -> list[int]:
    return [k * 1_024_000 // 44_100 for k in range(189)]


def silence(length: int) -> Timed:
    """T1: frames of equal length, so that most messages are a bare type 3 byte."""
    times = silence_times()
    data = full(5, 0, bytes.fromhex("af00121056e500"))
    data += delta(5, 0, frame(340)) + delta(5, 23, frame(length, 1))
    steps = [times[k] - times[k - 1] for k in range(1, 189)]
    for k in range(2, 189):
        payload, step = frame(length, k), steps[k - 1]
        repeats = step == steps[k - 2]
        data += same(5, payload) if repeats else chunks(header(2, 5, step), payload, 5)
    return data, [0, *times]


def type_3_run() -> Timed:
    data = full(5, 0, frame(100)) + delta(5, 23, frame(101))
    data += b"".join(same(5, frame(101, i)) for i in range(50))
    return data, range(0, 52 * 23, 23)


def type_3_after_type_0() -> Timed:
    return full(5, 23, frame(101)) + same(5, frame(101)), [23, 46]


def extended_type_0(*, omit: bool) -> Timed:
    data, times = b"", [20_000_000]
    data += full(4, 20_000_000, ASC)
    for i in range(5):
        at = 20_000_000 + 23 * i
        repeat = b"" if omit else u32(at)
        data += chunks(header(0, 4, at, 372), frame(372, i + 2), 4, repeat=repeat)
        times.append(at)
    return data, times


def extended_then_deltas() -> Timed:
    data = full(5, 20_000_000, frame(372, 7))
    data += b"".join(delta(5, 23, frame(372 + i, i)) for i in range(1, 6))
    return data, [20_000_000 + 23 * i for i in range(6)]


def sum_is_the_escape() -> Timed:
    data = full(5, 0xFFFFD1, frame(100))
    data += b"".join(delta(5, 23, frame(100 + i, i)) for i in range(1, 6))
    return data, [16_777_169 + 23 * i for i in range(6)]


def late_reconnect(step: int, *, equal_lengths: bool = False) -> Timed:
    data = set_chunk_size(128) + full(5, 0, ASC) + delta(5, step, frame(372))
    for i in range(1, 40):
        if not equal_lengths:
            data += delta(5, 23, frame(372 + i % 3, i))
        elif i == 1:
            data += chunks(header(2, 5, 23), frame(372, i), 5)
        else:
            data += same(5, frame(372, i))
    return data, [0, *(step + 23 * i for i in range(40))]


def wrap() -> Timed:
    return full(5, 0xFFFFFFF0, frame(100)) + delta(5, 23, frame(101)), [0xFFFFFFF0, 7]


def step_back() -> Timed:
    return full(5, 1000, frame(100)) + delta(5, 0xFFFFFFFB, frame(101)), [1000, 995]


def extended_type_3(*, omit: bool) -> Timed:
    repeat = b"" if omit else u32(20_000_000)
    data = full(5, 0, ASC) + delta(5, 20_000_000, frame(100, 7))
    return data + same(5, frame(100, 8), repeat=repeat), [0, 20_000_000, 40_000_000]


def absolute_repeat() -> Timed:
    at = 20_000_005
    first = chunks(header(1, 5, 20_000_000, 372), frame(372, 9), 5, repeat=u32(at))
    return full(5, 5, ASC) + first, [5, at]


TIMESTAMPS: dict[str, Timed] = {
    "T0-baseline": baseline(),
    "T1-silence": silence(10),
    "T1-silence-in-pieces": silence(200),
    "T2-type-3-run": type_3_run(),
    "T3-type-3-after-type-0": type_3_after_type_0(),
    "T4-extended-type-0": extended_type_0(omit=False),
    "T5-omitted-repeat": extended_type_0(omit=True),
    "T6-extended-then-deltas": extended_then_deltas(),
    "T7-sum-is-0xffffff": sum_is_the_escape(),
    "T8-late-reconnect": late_reconnect(20_000_000),
    "T8-equal-lengths": late_reconnect(20_000_000, equal_lengths=True),
    "T9-not-so-late": late_reconnect(16_000_000),
    "T10-wrap": wrap(),
    "T11-step-back": step_back(),
    "T12-extended-type-3": extended_type_3(omit=False),
    "T12-without-repeat": extended_type_3(omit=True),
    "T13-absolute-repeat": absolute_repeat(),
}

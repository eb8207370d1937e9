"""AMF0, the encoding of commands and metadata. Pure.

Decoded values are Python's own: float, bool, str, dict, list and None, and ``UNDEFINED``
for what AMF0 tells apart from null. A date becomes its milliseconds since 1970. What a
peer can make us build is bounded: see the constants.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import Enum
from typing import ClassVar

from realtime_core.errors import ProtocolViolation

MOST_DEPTH = 8
MOST_VALUES = 256
"""Values in one message, all depths together; encoders send about 20."""

MALFORMED = "malformed_amf"


class Undefined(Enum):
    """The type of AMF0's ``undefined``."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED

Value = None | bool | float | str | Undefined | dict[str, "Value"] | list["Value"]


class Reader:
    """Reads one value after the other.

    Every method raises ProtocolViolation when the bytes end early, name a type that does
    not exist, or say more than the bounds allow.
    """

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0
        self._depth = 0
        self._values = 0

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._at >= len(self._payload)

    def value(self) -> Value:
        """Read the next value, whatever it is."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise ProtocolViolation(MALFORMED, "too many values")
        marker = self._take(1)[0]
        read = self._BY_MARKER.get(marker)
        if read is None:
            raise ProtocolViolation(MALFORMED, f"unknown marker {marker}")
        return read(self)

    def rest(self) -> list[Value]:
        """Read all values that are left."""
        values = []
        while not self.at_end:
            values.append(self.value())
        return values

    def _take(self, count: int) -> bytes:
        taken = self._payload[self._at : self._at + count]
        if len(taken) < count:
            raise ProtocolViolation(MALFORMED, "ends early")
        self._at += count
        return taken

    def _unsigned(self, count: int) -> int:
        return int.from_bytes(self._take(count), "big")

    def _number(self) -> float:
        return float(struct.unpack(">d", self._take(8))[0])

    def _boolean(self) -> bool:
        return self._take(1) != b"\0"

    def _text(self) -> str:
        return self._characters(self._unsigned(2))

    def _long_text(self) -> str:
        return self._characters(self._unsigned(4))

    def _characters(self, count: int) -> str:
        # Names end up in checks that refuse the replacement character, so no error here.
        return self._take(count).decode("utf-8", "replace")

    def _null(self) -> None:
        return None

    def _undefined(self) -> Undefined:
        return UNDEFINED

    def _reference(self) -> None:
        # Nothing a publisher tells us is worth following a reference, which may be a cycle.
        self._take(2)

    def _properties(self) -> dict[str, Value]:
        self._descend()
        properties: dict[str, Value] = {}
        while True:
            name = self._text()
            if not name and self._payload[self._at : self._at + 1] == b"\x09":
                self._at += 1
                self._depth -= 1
                return properties
            properties[name] = self.value()

    def _ecma_array(self) -> dict[str, Value]:
        self._take(4)  # a count that encoders get wrong; the end marker decides
        return self._properties()

    def _typed_object(self) -> dict[str, Value]:
        self._text()
        return self._properties()

    def _strict_array(self) -> list[Value]:
        self._descend()
        count = self._unsigned(4)
        values = [self.value() for _ in range(min(count, MOST_VALUES + 1))]
        self._depth -= 1
        return values

    def _date(self) -> float:
        milliseconds = self._number()
        self._take(2)  # a time zone, always 0
        return milliseconds

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise ProtocolViolation(MALFORMED, "too deep")

    _BY_MARKER: ClassVar[Mapping[int, Callable[[Reader], Value]]] = {
        0x00: _number,
        0x01: _boolean,
        0x02: _text,
        0x03: _properties,
        0x05: _null,
        0x06: _undefined,
        0x07: _reference,
        0x08: _ecma_array,
        0x0A: _strict_array,
        0x0B: _date,
        0x0C: _long_text,
        0x10: _typed_object,
    }


def decode(payload: bytes) -> list[Value]:
    """Return all values in ``payload``.

    Raises:
        ProtocolViolation: It is not AMF0, ends early, or is larger than the bounds.
    """
    return Reader(payload).rest()


def encode(*values: Value) -> bytes:
    """Return ``values`` one after the other; a dict is written as an object."""
    return b"".join(map(_encoded, values))


def _encoded(value: Value) -> bytes:
    match value:
        case None:
            return b"\x05"
        case Undefined.UNDEFINED:
            return b"\x06"
        case bool():
            return bytes([1, value])
        case int() | float():
            return b"\x00" + struct.pack(">d", value)
        case str():
            return _encoded_text(value)
        case list():
            return b"\x0a" + len(value).to_bytes(4, "big") + encode(*value)
        case dict():
            return b"\x03" + _encoded_properties(value)


def _encoded_text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 0xFFFF:
        return b"\x0c" + len(raw).to_bytes(4, "big") + raw
    return b"\x02" + len(raw).to_bytes(2, "big") + raw


def _encoded_properties(properties: Mapping[str, Value]) -> bytes:
    pairs = (_encoded_text(name)[1:] + _encoded(value) for name, value in properties.items())
    return b"".join(pairs) + b"\0\0\x09"

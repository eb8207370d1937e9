"""AMF0: every marker, every bound, and arbitrary bytes."""

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ProtocolViolation
from realtime_core.rtmp import amf
from realtime_core.rtmp.amf import UNDEFINED, Value
from tests.rtmp.vectors import number, text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.just(UNDEFINED),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth(value: Value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, (dict, list)) else 0


@given(VALUES.filter(lambda value: depth(value) <= amf.MOST_DEPTH))
def test_what_is_written_is_read(value: Value) -> None:
    assert amf.decode(amf.encode(value)) == [value]


@pytest.mark.parametrize("length", [0, 65_535, 65_536])
def test_strings_of_every_length_are_written_and_read(length: int) -> None:
    assert amf.decode(amf.encode("a" * length)) == ["a" * length]


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (number(1.5), 1.5),
        (b"\x01\x02", True),
        (text("hé"), "hé"),
        (b"\x02\x00\x02\xff\xfe", "\ufffd\ufffd"),
        (b"\x03\x00\x01a\x05\x00\x00\x09", {"a": None}),
        (b"\x03\x00\x00\x05\x00\x00\x09", {"": None}),
        (b"\x05", None),
        (b"\x06", UNDEFINED),
        (b"\x07\x00\x00", None),
        (b"\x08\xff\xff\xff\xff\x00\x01a" + number(10) + b"\x00\x00\x09", {"a": 10.0}),
        (b"\x0a\x00\x00\x00\x01" + number(1), [1.0]),
        (b"\x0b" + struct.pack(">d", 1e12) + b"\x00\x00", 1e12),
        (b"\x0c\x00\x00\x00\x01a", "a"),
        (b"\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", {"a": None}),
    ],
)
def test_every_marker_is_read(wire: bytes, value: Value) -> None:
    assert amf.decode(wire + number(7)) == [value, 7.0]


def test_not_a_number_is_read() -> None:
    (value,) = amf.decode(number(math.nan))
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "wire",
    [
        b"\x00\x00",
        b"\x02\x00\x09abc",
        b"\x0c\xff\xff\xff\xffa",
        b"\x03\x00\x01a\x05",
        b"\x03\x00\x01a",
        b"\x04",
        b"\x11\x05",
        b"\x0a\x00\x00\x00\x02\x05",
        b"\x0a\xff\xff\xff\xff" + b"\x05" * 10_000,
        b"\x0a\x00\x00\x00\x01" * 100 + b"\x05",
        (b"\x03\x00\x01a") * 100,
        b"\x03" + b"\x00\x01a\x05" * 10_000 + b"\x00\x00\x09",
    ],
)
def test_what_ends_early_or_goes_too_far_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="malformed_amf"):
        amf.decode(wire)


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_raise_only_the_protocol_error(wire: bytes) -> None:
    with contextlib.suppress(ProtocolViolation):
        assert sum(map(count, amf.decode(wire))) <= amf.MOST_VALUES


@given(st.lists(st.sampled_from(list(b"\x00\x01\x02\x03\x05\x08\x09\x0a\x0c\x10a")), max_size=400))
def test_arbitrary_markers_raise_only_the_protocol_error(wire: list[int]) -> None:
    with contextlib.suppress(ProtocolViolation):
        assert all(depth(value) <= amf.MOST_DEPTH for value in amf.decode(bytes(wire)))


def count(value: Value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(count, inner))

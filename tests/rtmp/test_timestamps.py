"""Conformance T0 to T13: every way in which publishers write time."""

from itertools import pairwise

import pytest

from realtime_core.rtmp.messages import MessageKind, MessageType
from tests.rtmp.talk import Talk, messages_in
from tests.rtmp.vectors import ASC, START, TIMESTAMPS, Slicing, full, late_reconnect, silence, wrap


@pytest.mark.parametrize("name", TIMESTAMPS)
def test_wire_times_are_read(name: str, cut: Slicing) -> None:
    data, times = TIMESTAMPS[name]
    audio = [m for m in messages_in(data, cut) if m.type_id == MessageType.AUDIO]
    assert [message.timestamp_ms for message in audio] == list(times)


@pytest.mark.parametrize("name", TIMESTAMPS)
def test_payloads_are_intact(name: str, cut: Slicing) -> None:
    for message in messages_in(TIMESTAMPS[name][0], cut):
        if message.type_id == MessageType.AUDIO and message.payload[1] == 1:
            assert message.payload == b"\xaf\x01" + message.payload[2:3] * (
                len(message.payload) - 2
            )


@pytest.mark.parametrize("name", TIMESTAMPS)
def test_publish_delivers_every_tag(name: str, cut: Slicing) -> None:
    data, times = TIMESTAMPS[name]
    talk = Talk().say(START + _with_configuration(data), cut)
    assert talk.closed is None
    assert [tag.timestamp_ms % 2**32 for tag in talk.tags][-len(times) :] == list(times)


def _with_configuration(data: bytes) -> bytes:
    return data if ASC[:2] in data[:32] else full(20, 0, ASC) + data


def test_silence_needs_the_delta_on_type_3() -> None:
    # T1 proves itself: a reader that adds nothing on type 3 ends at these very numbers.
    times = silence(10)[1]
    assert (len(times), times[-1]) == (190, 4365)
    steps = [b - a for a, b in pairwise(times)]  # the first: configuration to first frame
    naive = [0 if k > 1 and step == steps[k - 1] else step for k, step in enumerate(steps)]
    assert (sum(naive), naive.count(0)) == (1950, 106)


def test_clock_goes_on_past_32_bits() -> None:
    talk = Talk().say(START + full(20, 0, ASC) + wrap()[0])
    assert [tag.timestamp_ms for tag in talk.tags] == [0, 0xFFFFFFF0, 4_294_967_303]


def test_configuration_does_not_set_the_clock() -> None:
    # rtmp2sink sends its configuration at 0 again; half a day later that is a step back.
    late_ms = 0xFFFF0000
    talk = Talk().say(START + _reconnect(late_ms))
    assert [tag.timestamp_ms for tag in talk.tags] == [0, late_ms]


def _reconnect(at_ms: int) -> bytes:
    return full(5, 0, ASC) + full(5, at_ms, b"\xaf\x01x")


def test_ambiguous_delta_is_counted() -> None:
    data = TIMESTAMPS["T3-type-3-after-type-0"][0]
    talk = Talk().say(START + full(20, 0, ASC) + data)
    assert talk.tally[MessageKind.AMBIGUOUS_DELTA] == 1


def test_late_reconnect_has_the_sizes_of_the_recording() -> None:
    data = late_reconnect(20_000_000)[0]
    first = data[16 + 16 :]
    assert first[:12] == bytes.fromhex("45ffffff0001740801312d00")
    assert first[140:145] == first[140 + 133 : 145 + 133] == bytes.fromhex("c501312d00")
    assert first[140 + 133 + 121 :][:8] == bytes.fromhex("4500001700017508")

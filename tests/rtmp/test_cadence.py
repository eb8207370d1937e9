"""What is worth waiting for, and when."""

import pytest

from realtime_core.rtmp.cadence import (
    BUSY_FROM,
    BUSY_TIMES,
    BUSY_TO,
    MEASURED_FRAMES,
    MOST_BYTES,
    BusySwitch,
    Cadence,
)


def heard(frame_bytes: int, apart_ms: float, frames: int = MEASURED_FRAMES + 1) -> Cadence:
    cadence = Cadence()
    for number in range(frames):
        cadence.saw(round(1000 + number * apart_ms))
        cadence.came(frame_bytes)
    return cadence


def test_regular_frames_are_waited_for_until_there_is_more_than_one_and_less_than_two() -> None:
    cadence = heard(400, 1024 / 48)
    assert 400 < cadence.pair_bytes < 800
    assert cadence.apart_s == pytest.approx(1.024 / 48, rel=0.02)


def test_nothing_is_waited_for_until_enough_was_seen() -> None:
    assert heard(400, 1024 / 48, frames=MEASURED_FRAMES).pair_bytes == 0


@pytest.mark.parametrize("apart_ms", [2048 / 48, 0, -21])
def test_frames_that_come_seldom_or_out_of_time_are_not_waited_for(apart_ms: float) -> None:
    assert heard(400, apart_ms).pair_bytes == 0


def test_a_publish_with_video_is_not_waited_for() -> None:
    assert heard(MOST_BYTES, 1024 / 48).pair_bytes == 0


def test_it_follows_a_publish_that_changes() -> None:
    cadence = heard(400, 1024 / 48)
    before = cadence.pair_bytes
    for number in range(2 * MEASURED_FRAMES + 1):
        cadence.saw(2000 + number * 21)
        cadence.came(40)
    assert cadence.pair_bytes < before / 5


def test_a_loop_is_busy_until_it_is_clearly_not() -> None:
    switch, between = BusySwitch(), (BUSY_FROM + BUSY_TO) / 2
    assert not any(switch.measured(share) for share in [between] * BUSY_TIMES)
    assert [switch.measured(0.9) for _ in range(BUSY_TIMES)][-1]
    assert [switch.measured(share) for share in [between, 0.1, between]] == [True, False, False]


def test_a_burst_does_not_make_a_loop_busy() -> None:
    switch = BusySwitch()
    for _ in range(3):
        assert not any(switch.measured(0.9) for _ in range(BUSY_TIMES - 1))
        assert not switch.measured(0.1)

"""A publisher's timestamps against the audio under them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.decode.holes import LATE_S, LEAST_SAMPLES, MOST_SAMPLES, PublisherClock

FRAME = 1024 * 16_000 / 44_100
FRAME_MS = 1024 * 1000 / 44_100
JITTER_MS = 30


class Publish:
    """Frames one after the other, each placed after what the clock says is missing.

    Attributes:
        jumps: How often the clock was set anew.
    """

    def __init__(self) -> None:
        self.clock = PublisherClock()
        self.place = self.now = 0.0
        self.jumps = 0

    def send(self, timestamp_ms: float, *, after_s: float = 0.0) -> int:
        """Return what is missing before the frame, in samples."""
        self.now += after_s
        hole = self.clock.hole_before(round(timestamp_ms), self.place, self.now)
        self.jumps += hole is None
        self.place += (hole or 0) + FRAME
        return hole or 0

    def send_all(self, *timestamps_ms: float) -> list[int]:
        return [self.send(each) for each in timestamps_ms]


def steady(count: int, start_ms: float = 0.0) -> list[float]:
    return [start_ms + n * FRAME_MS for n in range(count)]


def test_a_steady_publish_has_no_holes_wherever_its_clock_starts() -> None:
    for start_ms in (0, 20_000_000, 2**40):
        publish = Publish()
        assert not any(publish.send_all(*steady(10_000, start_ms)))
        assert publish.jumps == 0


@pytest.mark.parametrize("missing_ms", [60, 1_000, 29_900])
def test_a_jump_ahead_is_a_hole_of_that_length(missing_ms: float) -> None:
    publish = Publish()
    publish.send_all(*steady(100))
    holes = publish.send_all(*steady(100, 100 * FRAME_MS + missing_ms))
    assert holes[0] == pytest.approx(missing_ms * 16, abs=16)
    assert not any(holes[1:])


def test_small_holes_add_up_until_they_matter() -> None:
    holes = Publish().send_all(*(n * (FRAME_MS + 5) for n in range(1_000)))
    assert sum(holes) == pytest.approx(999 * 5 * 16, abs=LEAST_SAMPLES + 16)
    assert set(holes) - {0}
    assert min(filter(None, holes)) > LEAST_SAMPLES


@pytest.mark.parametrize("jump_ms", [31_000, 10_000_000, -1_100, -10_000_000])
def test_a_jump_too_far_or_back_is_another_clock(jump_ms: float) -> None:
    publish = Publish()
    publish.send_all(*steady(100, 20_000_000))
    last_ms = 20_000_000 + 100 * FRAME_MS
    assert not any(publish.send_all(*steady(100, last_ms + jump_ms)))
    assert publish.jumps == 1
    assert publish.send(last_ms + jump_ms + 100 * FRAME_MS + 500) == pytest.approx(8_000, abs=16)


@pytest.mark.parametrize("after_s", [31, 600])
def test_a_pause_that_time_bears_out_is_a_hole_however_long(after_s: float) -> None:
    publish = Publish()
    publish.send_all(*steady(100))
    hole = publish.send(100 * FRAME_MS + after_s * 1_000, after_s=after_s - LATE_S + 0.1)
    assert hole == pytest.approx(after_s * 16_000, abs=16)
    assert publish.jumps == 0


def test_a_jump_further_than_the_time_that_went_by_is_another_clock() -> None:
    publish = Publish()
    publish.send_all(*steady(100))
    assert publish.send(100 * FRAME_MS + 40_000, after_s=40 - LATE_S - 0.1) == 0
    assert publish.jumps == 1


def test_after_a_restart_the_clock_may_stand_anywhere() -> None:
    publish = Publish()
    publish.send_all(*steady(100))
    publish.clock.restart()
    assert publish.send(100 * FRAME_MS + 5_000) == 0
    assert publish.send(101 * FRAME_MS + 5_000) == 0
    assert publish.jumps == 0


def test_what_comes_early_is_made_good_before_a_hole_is_seen() -> None:
    publish = Publish()
    publish.send_all(*steady(100))
    publish.send_all(*steady(100, 100 * FRAME_MS - 500))
    assert not any(publish.send_all(*steady(100, 200 * FRAME_MS)))


@given(st.lists(st.floats(-JITTER_MS, JITTER_MS), min_size=2, max_size=200))
def test_jitter_costs_at_most_its_own_width(jitter_ms: list[float]) -> None:
    times_ms = [n * FRAME_MS + each for n, each in enumerate(jitter_ms)]
    assert sum(Publish().send_all(*times_ms)) <= 2 * JITTER_MS * 16 + 16


@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 5_000)), max_size=200))
def test_whatever_is_left_out_the_audio_stays_in_its_place(left_out_ms: list[float]) -> None:
    publish, at_ms = Publish(), 7_000.0
    publish.send(at_ms)
    for each in left_out_ms:
        at_ms += FRAME_MS + each
        publish.send(at_ms)
        assert abs((at_ms - 7_000 + FRAME_MS) * 16 - publish.place) <= LEAST_SAMPLES + 16


@given(st.lists(st.integers(-(2**40), 2**40), max_size=50))
def test_no_timestamps_make_more_silence_than_the_bound(times_ms: list[int]) -> None:
    publish = Publish()
    assert all(0 <= publish.send(each) <= MOST_SAMPLES for each in times_ms)
    most = max(MOST_SAMPLES, (100 + LATE_S) * 16_000)
    assert all(0 <= publish.send(each, after_s=100) <= most for each in times_ms)

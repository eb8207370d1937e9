import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.transcript.clock import SessionClock


def test_it_is_zero_before_the_first_audio() -> None:
    assert SessionClock().at(1234.5) == 0


def test_it_runs_on_between_arrivals() -> None:
    clock = SessionClock()
    clock.audio_arrived(100.0, 1.0)
    assert clock.at(100.0) == 1.0
    assert clock.at(100.5) == 1.5


def test_the_least_delayed_arrival_counts() -> None:
    clock = SessionClock()
    clock.audio_arrived(100.0, 1.0)
    clock.audio_arrived(103.0, 1.1)  # a stall
    clock.audio_arrived(103.0, 4.1)  # and what it held back: 100 ms less late than the first
    assert clock.at(104.0) == pytest.approx(5.1)


def test_it_is_never_negative() -> None:
    clock = SessionClock()
    clock.audio_arrived(100.0, 1.0)
    assert clock.at(50.0) == 0


def test_it_stands_still_when_audio_stays_away() -> None:
    clock = SessionClock(window_s=10)
    clock.audio_arrived(100.0, 1.0)
    assert clock.at(1000.0) == 11.0


def test_an_outage_without_audio_sets_it_anew() -> None:
    clock = SessionClock(window_s=10)
    clock.audio_arrived(100.0, 1.0)
    clock.audio_arrived(160.0, 1.1)
    assert clock.at(160.0) == pytest.approx(1.1)


def test_a_short_outage_is_followed_within_the_window() -> None:
    clock = SessionClock(window_s=10)
    clock.audio_arrived(100.0, 1.0)
    for step in range(120):
        clock.audio_arrived(105.0 + step / 10, 1.1 + step / 10)
    assert clock.at(117.0) == pytest.approx(13.1)


@pytest.mark.parametrize("drift", [-1e-3, 1e-3])
def test_drift_is_followed(drift: float) -> None:
    clock = SessionClock()
    for step in range(60_000):
        clock.audio_arrived(step / 50, step / 50 * (1 + drift))
    assert clock.at(1200.0) == pytest.approx(1200 * (1 + drift), abs=0.02)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_odd_times_are_ignored(odd: float) -> None:
    clock = SessionClock()
    clock.audio_arrived(100.0, 1.0)
    clock.audio_arrived(100.1, odd)
    clock.audio_arrived(odd, 1.2)
    assert clock.at(101.0) == 2.0


@given(st.integers(0, 2**32), st.floats(0, 1e6))
def test_jitter_does_not_move_it(seed: int, began: float) -> None:
    """Audio in steps of 20 ms, each up to 2 s late, one in ten on time."""
    dice, clock, now = random.Random(seed), SessionClock(), began
    for step in range(1, 1500):
        late_s = 0.0 if step % 10 == 1 else dice.uniform(0, 2)
        now = max(now, began + step * 0.02 + late_s)  # TCP keeps the order
        clock.audio_arrived(now, step * 0.02)
    assert clock.at(now) <= now - began + 1e-6
    assert clock.at(now) >= now - began - 2.0 - 1e-6
    positions = [clock.at(now + step / 10) for step in range(50)]
    assert positions == sorted(positions)

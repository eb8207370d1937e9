import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.transcript.report_clock import MOST_AGE_S, MOST_CLIENTS, WINDOW_S, ReportClock


def test_a_report_is_as_old_as_it_took_longer_than_the_quickest() -> None:
    clock = ReportClock()
    off_s = -90.0  # the client's clock is late by a minute and a half
    ages = [
        clock.age_s("one", 100 + at_s + took_s, 100 + at_s + off_s)
        for at_s, took_s in [(0.0, 0.05), (0.5, 0.05), (1.0, 0.85), (1.5, 0.05)]
    ]
    assert ages == pytest.approx([0.0, 0.0, 0.8, 0.0])


def test_each_client_has_a_clock_of_its_own() -> None:
    clock = ReportClock()
    clock.age_s("one", 10, 10)
    assert clock.age_s("two", 10.5, 7) == 0.0
    assert clock.age_s("one", 11, 10.5) == pytest.approx(0.5)


@pytest.mark.parametrize("said_at", [None, math.nan, math.inf, -math.inf])
def test_without_a_sound_time_a_report_counts_from_its_arrival(said_at: float | None) -> None:
    clock = ReportClock()
    clock.age_s("one", 10, 10)
    assert clock.age_s("one", 12, said_at) == 0.0
    assert clock.age_s("one", 12, 11) == pytest.approx(1.0)


@pytest.mark.parametrize("leap_s", [-100.0, 100.0])
def test_a_clock_that_was_set_is_learnt_anew(leap_s: float) -> None:
    clock = ReportClock()
    clock.age_s("one", 10, 10)
    assert clock.age_s("one", 11, 11 + leap_s) == 0.0
    assert clock.age_s("one", 12, 11.7 + leap_s) == pytest.approx(0.3)


def test_drift_is_followed_because_what_is_old_is_forgotten() -> None:
    clock = ReportClock()
    drift = 1e-3
    for step in range(1200):
        age_s = clock.age_s("one", step / 2, step / 2 * (1 - drift))
        assert age_s <= WINDOW_S * drift + 1e-9


def test_only_so_many_clients_are_remembered() -> None:
    clock = ReportClock()
    for number in range(MOST_CLIENTS + 1):
        clock.age_s(f"client {number}", 10, 10)
    assert clock.age_s("client 0", 11, 10) == 0.0  # forgotten, so that it begins anew
    assert clock.age_s(f"client {MOST_CLIENTS}", 11, 10) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(), st.none() | st.floats())))
def test_no_age_is_negative_or_endless(reports: list[tuple[float, float | None]]) -> None:
    clock = ReportClock()
    for arrived_at, said_at in reports:
        assert 0 <= clock.age_s("one", arrived_at, said_at) <= MOST_AGE_S


def test_repeats_and_disorder_do_no_harm() -> None:
    clock, dice = ReportClock(), random.Random(5)
    made = [at / 2 for at in range(200)]
    arrivals = sorted((at_s + dice.choice([0.03, 0.6]), at_s) for at_s in [*made, *made[::3]])
    for arrived_at, made_at in arrivals[20:]:
        age_s = clock.age_s("one", arrived_at, made_at + 3600)
        assert arrived_at - age_s == pytest.approx(made_at, abs=0.6)

"""How many words get the right name, in meetings of the benchmark. Their seeds are fixed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from bench.attribution.ours import Ours
from bench.attribution.run import run
from bench.attribution.scenarios import SCENARIOS, simulate
from bench.attribution.summary import FIXED, OURS, Summary, summaries
from bench.attribution.systems import play

MEETINGS = 4
LEAST = {"clean": 0.98, "dirty": 0.93, "crowded": 0.925, "republish": 0.955, "one client": 0.955}
LEAST |= {"own reports": 0.955, "own, dirty": 0.8}
"""Seen: 0.988, 0.955, 0.947, 0.973, 0.972, 0.97, 0.87. The goals of the first three: 0.97, 0.93,
0.88."""
LEAST_LEAD = 0.10
"""Points of accuracy above a fixed lag, as shares."""
MOST_LAG_ERROR_MS = 120
"""Seen: 53 to 79. The goal: 150."""
MOST_GROWTH = 1.5
"""Of what is held after an hour, beside ten minutes."""

pytestmark = pytest.mark.slow


@cache
def found(scenario: str) -> dict[str, Summary]:
    """By system. Not in other processes: the tests run in several already."""
    scores = [score for seed in range(MEETINGS) for score in run((scenario, seed))]
    return summaries(scores)[scenario]


@pytest.mark.parametrize("scenario", LEAST)
def test_words_get_the_right_name_and_more_of_them_than_by_a_fixed_lag(scenario: str) -> None:
    ours, fixed = found(scenario)[OURS], found(scenario)[FIXED]
    assert ours.later_accuracy >= LEAST[scenario]
    assert ours.accuracy >= fixed.accuracy + LEAST_LEAD


@pytest.mark.parametrize("scenario", ["clean", "dirty", "crowded"])
def test_the_lag_is_known_after_a_minute(scenario: str) -> None:
    error_ms = found(scenario)[OURS].lag_error_ms
    assert error_ms is not None
    assert error_ms <= MOST_LAG_ERROR_MS


def test_an_hour_takes_no_more_memory_than_a_few_minutes() -> None:
    held = [held_bytes(length_s) for length_s in (600.0, 3600.0)]
    assert held[1] < MOST_GROWTH * held[0]


def held_bytes(length_s: float) -> int:
    clean = SCENARIOS["clean"]
    long = replace(clean, manners=replace(clean.manners, length_s=length_s))
    return play(simulate(long, 1), Ours()).cost.held_bytes

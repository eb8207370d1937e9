"""Plays meetings to all systems, on two processors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from bench.attribution.baselines import AtArrival, FixedLag, OracleLag
from bench.attribution.ours import Ours
from bench.attribution.scenarios import SCENARIOS, simulate
from bench.attribution.score import Score, score
from bench.attribution.systems import System, play
from bench.attribution.truth import truth_of

PROCESSES = 2

Draw = tuple[str, int]
"""A scenario and a seed: one meeting."""


def draws(*, quick: bool) -> list[Draw]:
    """Return all meetings of the benchmark, or two of each scenario."""
    return [
        (scenario.name, seed)
        for scenario in SCENARIOS.values()
        for seed in (range(2) if quick else range(scenario.meetings))
    ]


def run_all(which: Sequence[Draw]) -> Iterator[list[Score]]:
    """Yield the scores of each meeting, in the order given."""
    # Fresh processes: a fork takes other threads' locks along.
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        yield from pool.map(run, which)


def run(which: Draw) -> list[Score]:
    """Hold one meeting, and tell it to each system."""
    name, seed = which
    meeting = simulate(SCENARIOS[name], seed)
    truth = truth_of(meeting)
    systems: dict[str, System] = {
        "ours": Ours(),
        "at arrival": AtArrival(),
        "fixed lag": FixedLag(),
        "oracle lag": OracleLag(truth.lag_at),
    }
    return [
        score(name, seed, system, play(meeting, each), truth) for system, each in systems.items()
    ]

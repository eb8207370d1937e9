"""What attribution is to reach, and whether it does. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.attribution.score import Score
from bench.attribution.summary import FIXED, OURS, Summaries, summaries, summarise

LEAST_CLEAN, LEAST_DIRTY, LEAST_CROWDED = 0.97, 0.93, 0.88
LEAST_LEAD = 0.10
MOST_LAG_ERROR_MS = 150.0
MOST_MS_PER_FINAL = 1.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One thing that is to be reached, what was seen, and whether that is enough."""

    text: str
    wanted: str
    seen: str
    reached: bool


def goals(scores: Sequence[Score]) -> list[Goal]:
    """Judge by all meetings of the benchmark; goals whose scenario was not run are left out."""
    found = summaries(scores)
    ours = [each for each in scores if each.system == OURS]
    return [*_accuracy(found), *_lead(found), *_lag(ours), _cost(ours)]


def _accuracy(found: Summaries) -> list[Goal]:
    wanted = {
        "clean": ("words right, clean, after the first minute", LEAST_CLEAN),
        "dirty": ("words right, dirty, after the first minute", LEAST_DIRTY),
        "crowded": ("words right, crowded, from the start", LEAST_CROWDED),
    }
    judged = []
    for scenario, (text, least) in wanted.items():
        if scenario in found:
            ours = found[scenario][OURS]
            share = ours.accuracy if scenario == "crowded" else ours.later_accuracy
            judged.append(Goal(text, f"≥ {least:.0%}", f"{share:.1%}", share >= least))
    return judged


def _lead(found: Summaries) -> list[Goal]:
    if "crowded" not in found:
        return []
    lead = found["crowded"][OURS].accuracy - found["crowded"][FIXED].accuracy
    text, wanted = "points above fixed lag, crowded", f"≥ {100 * LEAST_LEAD:.0f}"
    return [Goal(text, wanted, f"{100 * lead:.1f}", lead >= LEAST_LEAD)]


def _lag(ours: Sequence[Score]) -> list[Goal]:
    whole = summarise(ours)
    errors_ms = {
        "median lag error at the end of the first minute": whole.lag_error_at_minute_ms,
        "median lag error from then on": whole.lag_error_ms,
    }
    wanted = f"≤ {MOST_LAG_ERROR_MS:.0f} ms"
    return [
        Goal(text, wanted, f"{error_ms:.0f} ms", error_ms <= MOST_LAG_ERROR_MS)
        for text, error_ms in errors_ms.items()
        if error_ms is not None
    ]


def _cost(ours: Sequence[Score]) -> Goal:
    spent_ms = summarise(ours).cpu_ms_per_final
    text = "processor time per final, with all that is done later with it"
    wanted = f"< {MOST_MS_PER_FINAL:.0f} ms"
    return Goal(text, wanted, f"{spent_ms:.2f} ms", spent_ms < MOST_MS_PER_FINAL)

"""How far each client is to be believed, from how far it says what the others say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_WEIGHT = 0.02
"""No client counts for less: it may be the only one left."""

FIRST_TRUST = 2.0
"""A client begins as if it had agreed with the others so often already."""

FIRST_TRUST_OWN = 10.0
"""The same for one that may report only itself: it speaks seldom, and whoever is stuck with
itself contradicts it each time."""

SEVERITY = 3
"""The power of its agreement by which a client counts."""

MISSING = object()
"""Instead of an answer, where a client gave none."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a client said at moments a step apart.

    Attributes:
        run: For how many moments the first answer had been the same by then.
        is_own: It may say only that it speaks itself. Nobody can confirm that by saying the
            same, so to be the only one who speaks counts as that.
    """

    said: Sequence[object]
    run: float = 1.0
    is_own: bool = False

    def runs(self) -> list[float]:
        """Return for how many moments each answer has been the same."""
        runs = [self.run]
        for one, other in pairwise(self.said):
            runs.append(runs[-1] + 1 if one == other else 1.0)
        return runs


def weigh(answers: Mapping[str, Answers]) -> dict[str, float]:
    """Return each client's weight; the most trusted one's is 1.

    Of two that contradict each other, the one that has not changed for longer is rather
    stuck than the other, and gets more of the blame.

    Args:
        answers: What each client said, all at the same moments.
    """
    if not answers:
        return {}
    agreed = {
        name: FIRST_TRUST_OWN if each.is_own else FIRST_TRUST for name, each in answers.items()
    }
    contested: list[list[_Answer]] = []
    runs = [each.runs() for each in answers.values()]
    moments = zip(*(each.said for each in answers.values()), strict=True)
    for said, run in zip(moments, zip(*runs, strict=True), strict=True):
        given = [each for each in zip(answers, said, run, strict=True) if each[1] is not MISSING]
        if len({answer for _, answer, _ in given}) > 1:
            contested.append(given)
        else:
            for name, _, _ in given:
                agreed[name] += len(given) > 1 or answers[name].is_own
    weights = dict.fromkeys(answers, 1.0)
    for _ in range(2):  # the second time those that are not to be trusted count for less
        weights = _weighed(agreed, contested, weights)
    return weights


_Answer = tuple[str, object, float]
"""Who said what, and for how long it was the same."""


def _weighed(
    agreed: Mapping[str, float],
    contested: Sequence[Sequence[_Answer]],
    weights: Mapping[str, float],
) -> dict[str, float]:
    good, bad = dict(agreed), dict.fromkeys(agreed, 0.0)
    for given in contested:
        by_answer: dict[object, float] = {}
        runs: dict[object, float] = {}
        for name, answer, run in given:
            by_answer[answer] = by_answer.get(answer, 0.0) + weights[name]
            runs[answer] = runs.get(answer, 0.0) + weights[name] * run
        total, run_total = sum(by_answer.values()), sum(runs.values())
        for name, answer, run in given:
            others, against = total - weights[name], total - by_answer[answer]
            good[name] += (others - against) / others
            run_against = (run_total - runs[answer]) / against
            bad[name] += 2 * run / (run + run_against) * against / others
    trust = {name: (each / (each + bad[name])) ** SEVERITY for name, each in good.items()}
    most = max(trust.values())
    return {name: max(LEAST_WEIGHT, each / most) for name, each in trust.items()}

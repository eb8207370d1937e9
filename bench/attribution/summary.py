"""Scores of many meetings, by scenario and system. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import msgspec

from bench.attribution.score import FIRST_MINUTE_S, Score

OURS, AT_ARRIVAL, FIXED, ORACLE = "ours", "at arrival", "fixed lag", "oracle lag"


class Summary(msgspec.Struct, frozen=True, rename="camel"):
    """One system in all meetings of a scenario; shares are of words.

    Attributes:
        accuracy, later_accuracy: Of all words, and of those after the first minute.
        lag_error_ms: The median of the error's size from a minute of conversation on; None
            if it has no estimate. With the sign: ``lag_bias_ms``.
        lag_error_at_minute_ms: The median at the end of that minute, one per meeting.
        settle_s: Median time until the estimate stayed within 200 ms; None if it never did
            in half of the meetings.
        cpu_ms_per_final: With all that is done later with it: ``again_ms_per_final``.
    """

    meetings: int
    words: int
    accuracy: float
    later_accuracy: float
    room: float
    words_off: float
    relabels_per_min: float
    lag_error_ms: float | None
    lag_error_at_minute_ms: float | None
    lag_bias_ms: float | None
    settle_s: float | None
    cpu_ms_per_final: float
    again_ms_per_final: float
    cpu_us_per_draft: float
    cpu_us_per_report: float
    held_kb: float


Summaries = dict[str, dict[str, Summary]]
"""By scenario, then by system."""


def summarise(scores: Sequence[Score]) -> Summary:
    """Sum up one system's scores."""
    errors = [ms for each in scores for at_s, ms in each.lag_errors_ms if at_s >= FIRST_MINUTE_S]
    costs = [each.cost for each in scores]
    later = sum(each.later_words for each in scores)
    words = sum(each.words for each in scores)
    finals, again_s = sum(cost.finals for cost in costs), sum(cost.again_s for cost in costs)
    finals_s = sum(cost.finals_s for cost in costs) + again_s
    return Summary(
        meetings=len(scores),
        words=words,
        accuracy=ratio(sum(each.right for each in scores), words),
        later_accuracy=ratio(sum(each.later_right for each in scores), later),
        room=ratio(sum(each.nobodys for each in scores), words),
        words_off=ratio(sum(e.words_off for e in scores), sum(e.changes for e in scores)),
        relabels_per_min=ratio(sum(e.relabels for e in scores), sum(e.minutes for e in scores)),
        lag_error_ms=round(median(map(abs, errors))) if errors else None,
        lag_error_at_minute_ms=_at_minute_ms(scores),
        lag_bias_ms=round(median(errors)) if errors else None,
        settle_s=_median_or_never(each.settled_s for each in scores),
        cpu_ms_per_final=ratio(1e3 * finals_s, finals),
        again_ms_per_final=ratio(1e3 * again_s, finals),
        cpu_us_per_draft=ratio(1e6 * sum(c.drafts_s for c in costs), sum(c.drafts for c in costs)),
        cpu_us_per_report=ratio(
            1e6 * sum(c.reports_s for c in costs), sum(c.reports for c in costs)
        ),
        held_kb=round(max(cost.held_bytes for cost in costs) / 1024, 1),
    )


def summaries(scores: Iterable[Score]) -> Summaries:
    """Sum up by scenario and system, in the order of the scores."""
    groups: dict[str, dict[str, list[Score]]] = {}
    for each in scores:
        groups.setdefault(each.scenario, {}).setdefault(each.system, []).append(each)
    return {
        scenario: {system: summarise(found) for system, found in group.items()}
        for scenario, group in groups.items()
    }


def one_line(scores: Sequence[Score]) -> str:
    """Return the line of JSON that a run ends with; accuracy is that after the first minute."""
    found = summaries(scores)
    whole = summarise([each for each in scores if each.system == OURS])
    said: dict[str, Any] = {
        "accuracy": _of_all(found, "later_accuracy"),
        "accuracyFromStart": _of_all(found, "accuracy"),
        "wordsOff": _of_all(found, "words_off"),
    }
    for each in ("room", "relabels_per_min", "lag_error_ms", "lag_bias_ms", "settle_s"):
        said[_camel(each)] = _of_ours(found, each)
    times = ("cpu_ms_per_final", "again_ms_per_final", "cpu_us_per_draft", "cpu_us_per_report")
    fields = ("lag_error_ms", "lag_error_at_minute_ms", *times, "held_kb")
    said["whole"] = {_camel(each): getattr(whole, each) for each in fields}
    return msgspec.json.encode(said).decode()


def in_short(scores: Sequence[Score]) -> str:
    """Return what a person wants to know of one meeting at once."""
    first = scores[0]
    parts = [f"{first.scenario} {first.seed}: {first.words} words"]
    parts += [f"{e.system} {100 * ratio(e.later_right, e.later_words):.1f} %" for e in scores]
    return ", ".join(parts)


def ratio(part: float, whole: float) -> float:
    """Return the part's share, to four places; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _of_all(found: Summaries, field: str) -> dict[str, dict[str, float]]:
    return {
        name: {system: getattr(each, field) for system, each in systems.items()}
        for name, systems in found.items()
    }


def _of_ours(found: Summaries, field: str) -> dict[str, float | None]:
    return {name: getattr(systems[OURS], field) for name, systems in found.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.title() for each in rest)


def _at_minute_ms(scores: Iterable[Score]) -> float | None:
    later = ((ms for at_s, ms in e.lag_errors_ms if at_s >= FIRST_MINUTE_S) for e in scores)
    found = [abs(first) for each in later if (first := next(each, None)) is not None]
    return round(median(found)) if found else None


def _median_or_never(times_s: Iterable[float | None]) -> float | None:
    """Return the median, where never is later than any time."""
    never = float("inf")
    middle_s = median([never if each is None else each for each in times_s])
    return None if middle_s == never else round(middle_s, 1)

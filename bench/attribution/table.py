"""Scores as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.attribution.goals import goals
from bench.attribution.score import Score
from bench.attribution.summary import (
    AT_ARRIVAL,
    FIXED,
    ORACLE,
    OURS,
    Summary,
    summaries,
    summarise,
)

PLACE = "results"
"""What the markers of its place in the document are called."""
SYSTEMS = (OURS, AT_ARRIVAL, FIXED, ORACLE)
NAMES = {FIXED: "fixed lag, 2 s"}
CELL = "{:.1f}"


def results_text(scores: Sequence[Score]) -> str:
    """Return everything that the markers hold."""
    parts = [_goals(scores), _accuracy(scores), _boundaries(scores), _ours(scores), _cost(scores)]
    return "\n\n".join(parts)


def _goals(scores: Sequence[Score]) -> str:
    rows = [
        [goal.text, goal.wanted, goal.seen, "reached" if goal.reached else "**missed**"]
        for goal in goals(scores)
    ]
    return _table(["goal", "wanted", "seen", ""], rows)


def _accuracy(scores: Sequence[Score]) -> str:
    rows = [
        [name, str(found[OURS].meetings), str(found[OURS].words)]
        + [_two(found[each].later_accuracy, found[each].accuracy) for each in SYSTEMS]
        for name, found in summaries(scores).items()
    ]
    names = [NAMES.get(each, each) for each in SYSTEMS]
    head = "Words with the right name, in %: after the first minute (from the start)."
    return f"{head}\n\n{_table(['scenario', 'meetings', 'words', *names], rows)}"


def _boundaries(scores: Sequence[Score]) -> str:
    rows = [
        [name, *(CELL.format(found[each].words_off) for each in SYSTEMS)]
        for name, found in summaries(scores).items()
    ]
    names = [NAMES.get(each, each) for each in SYSTEMS]
    head = (
        "How many words off the nearest shown change of speaker is from each true one, on average."
    )
    return f"{head}\n\n{_table(['scenario', *names], rows)}"


def _ours(scores: Sequence[Score]) -> str:
    head = ["scenario", "left to `room` (%)", "relabels per minute", "lag error at a minute (ms)"]
    head += ["from then on (ms)", "lag bias (ms)", "within 200 ms for good after (s)"]
    rows = [[name, *_ours_cells(found[OURS])] for name, found in summaries(scores).items()]
    return f"Ours, more closely.\n\n{_table(head, rows)}"


def _ours_cells(ours: Summary) -> list[str]:
    return [
        CELL.format(100 * ours.room),
        CELL.format(ours.relabels_per_min),
        _or_never(ours.lag_error_at_minute_ms),
        _or_never(ours.lag_error_ms),
        _or_never(ours.lag_bias_ms),
        _or_never(ours.settle_s),
    ]


def _cost(scores: Sequence[Score]) -> str:
    ours = summarise([each for each in scores if each.system == OURS])
    return (
        f"Processor time on this machine: {ours.cpu_ms_per_final:.2f} ms per final, of which "
        f"{ours.again_ms_per_final:.2f} ms for looking at it again while it may change; "
        f"{ours.cpu_us_per_draft:.0f} µs per draft, {ours.cpu_us_per_report:.0f} µs per report. "
        f"Speakers and report clocks together held at most {ours.held_kb:.0f} KB per session, "
        "pickled."
    )


def _two(later: float, whole: float) -> str:
    return f"{100 * later:.1f} ({100 * whole:.1f})"


def _or_never(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

"""Scores as pictures: SVG files that are equal when the scores are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

from matplotlib.figure import Figure

from bench.attribution.goals import MOST_LAG_ERROR_MS
from bench.attribution.score import Score
from bench.attribution.summary import AT_ARRIVAL, FIXED, ORACLE, OURS, Summaries, summaries
from bench.paper import blank_figure, save_figure

# Told apart by people who do not see red and green, and by their marks in print.
LOOKS = {
    OURS: ("#0072b2", "o"),
    AT_ARRIVAL: ("#d55e00", "^"),
    FIXED: ("#e69f00", "s"),
    ORACLE: ("#555555", "x"),
}
EVERY_S = 5
LAST_S = 420


def plot_all(scores: Sequence[Score], folder: Path) -> list[Path]:
    """Draw accuracy by scenario and the lag's error over time, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save_figure(_accuracy(summaries(scores)), folder / "attribution.svg"),
        save_figure(_lag(scores), folder / "attribution-lag.svg"),
    ]


def _accuracy(found: Summaries) -> Figure:
    figure, axes = blank_figure("words with the right name, after the first minute (%)", "")
    names = list(found)
    for system, (color, mark) in LOOKS.items():
        shares = [100 * found[name][system].later_accuracy for name in names]
        axes.plot(shares, names, color=color, marker=mark, linestyle="", label=system)
    axes.invert_yaxis()
    axes.set_xlim(right=100.5)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def _lag(scores: Sequence[Score]) -> Figure:
    figure, axes = blank_figure("seconds of conversation", "error of the lag's estimate (ms)")
    times_s, errors = _errors_over_time(scores)
    spread = [quantiles(each, n=10) for each in errors]
    color = LOOKS[OURS][0]
    axes.plot(times_s, [each[4] for each in spread], color=color, label="median of all meetings")
    axes.plot(
        times_s, [each[8] for each in spread], color=color, linestyle=":", label="worst tenth"
    )
    axes.axhline(
        MOST_LAG_ERROR_MS, color="black", linewidth=0.8, linestyle="--", label="goal after a minute"
    )
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return figure


def _errors_over_time(scores: Sequence[Score]) -> tuple[list[int], list[list[float]]]:
    """Return moments and the sizes of the errors of all meetings then; at least two each."""
    at: dict[int, list[float]] = {}
    for each in scores:
        if each.system == OURS:
            for at_s, error_ms in each.lag_errors_ms:
                at.setdefault(int(at_s) // EVERY_S * EVERY_S, []).append(abs(error_ms))
    times_s = [at_s for at_s in sorted(at) if at_s <= LAST_S and len(at[at_s]) > 1]
    return times_s, [at[at_s] for at_s in times_s]

"""Writes what was seen: the results, the table of ``docs/attribution.md`` and its plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.attribution.plots import plot_all
from bench.attribution.score import Score
from bench.attribution.summary import ratio, summaries
from bench.attribution.table import PLACE, results_text
from bench.errors import BenchError
from bench.machine import describe
from bench.paper import between_markers
from bench.process import ROOT

RESULTS = "bench/results/attribution.json"
PAGE = "docs/attribution.md"


def write_report(scores: Sequence[Score], root: Path = ROOT) -> list[Path]:
    """Write all of it, and return the files that were written.

    Raises:
        BenchError: The page cannot be read, or has no place for the table.
    """
    page, results = root / PAGE, root / RESULTS
    try:
        text = between_markers(page.read_text(), PLACE, results_text(scores))
    except (OSError, ValueError) as exc:
        raise BenchError(f"{page}: {exc}") from exc
    page.write_text(text)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_bytes(msgspec.json.format(msgspec.json.encode(_kept(scores)), indent=1) + b"\n")
    return [page, results, *plot_all(scores, root / "docs" / "plots")]


def _kept(scores: Sequence[Score]) -> dict[str, Any]:
    """Return the results as they are kept: sums, and of each meeting the words that were right."""
    meetings: dict[str, dict[str, float]] = {}
    for each in scores:
        shares = meetings.setdefault(f"{each.scenario} {each.seed}", {"words": each.words})
        shares[each.system] = ratio(each.later_right, each.later_words)
    return {"machine": describe(), "summaries": summaries(scores), "laterAccuracy": meetings}

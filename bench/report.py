"""Writes what was seen into the documentation: the table, and the plots."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench import plots
from bench.errors import BenchError
from bench.ladder import RESULTS
from bench.outcome import Ladder, from_pages
from bench.paper import between_markers
from bench.process import ROOT
from bench.table import PLACE, ladder_text

DOCS = ROOT / "docs"
FAN_OUT = "fanout.json"


def newest(folder: Path = RESULTS) -> Path:
    """Return the ladder that was written last; their names begin with the time.

    Raises:
        BenchError: There is none.
    """
    found = sorted(folder.glob("2*-*.json"))
    if not found:
        raise BenchError(f"no results in {folder}: run `python -m bench ladder` first")
    return found[-1]


def write_report(results: Path, docs: Path = DOCS) -> list[Path]:
    """Write the table and the plots of a ladder, and return the files that were written.

    The fan-out over viewers is drawn if it lies beside the results.

    Raises:
        BenchError: The results, or the page they go to, cannot be understood.
    """
    ladder = _understood(results)
    page = docs / "performance.md"
    try:
        text = between_markers(page.read_text(), PLACE, ladder_text(ladder))
    except (OSError, ValueError) as exc:
        raise BenchError(f"{page}: {exc}") from exc
    page.write_text(text)
    written = [page, *plots.plot_ladder(ladder, docs / "plots")]
    fan_out = results.parent / FAN_OUT
    if fan_out.exists():
        written.append(plots.plot_fan_out(plots.fan_outs(fan_out.read_bytes()), docs / "plots"))
    return written


def _understood(results: Path) -> Ladder:
    try:
        return from_pages(results.read_bytes())
    except (OSError, msgspec.DecodeError) as exc:
        raise BenchError(f"{results}: {exc}") from exc

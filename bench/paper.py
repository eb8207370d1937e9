"""What all figures and tables of the documents share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

STYLE: dict[RcKeyType, Any] = {
    "svg.hashsalt": "realtime-core",  # else the names inside differ from run to run
    "svg.fonttype": "path",
    "font.size": 10,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
INCHES = (7.0, 4.2)


def between_markers(page: str, name: str, text: str) -> str:
    """Return the page with the text in the place that the markers of this name leave for it.

    Raises:
        ValueError: The markers are missing.
    """
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise ValueError(f"{marks[0]} and {marks[1]} are missing")
    return f"{before}{begin}\n{text}\n{end}{after}"


def blank_figure(x: str, y: str) -> tuple[Figure, Axes]:
    """Return a figure with nothing on it but what its axes are called."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure as an SVG file that is the same when the figure is; return the path."""
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path

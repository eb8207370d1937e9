"""A ladder as pictures: SVG files that are equal when the data are.

White ground and dark ink, so that they can be read on light pages and on dark ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.evidence import Said
from bench.outcome import Ladder
from bench.paper import blank_figure, save_figure
from bench.point import MOST_AUDIO_P99_MS, Point

# Told apart by people who do not see red and green, and by their marks in print.
LOOKS = {
    "ours-ffmpeg": ("#0072b2", "o"),
    "ours-inprocess": ("#009e73", "s"),
    "original": ("#d55e00", "^"),
}
OTHER_LOOKS = ("#555555", "x")

Value = Callable[[Point], float | None]


class FanOut(Said, frozen=True):
    """One broadcast to so many viewers, as ``bench/hub_fanout.py`` measures it."""

    viewers: int
    bare_send_us: float
    hub_publish_us: float


def fan_outs(text: bytes) -> list[FanOut]:
    """Return what was measured, fewest viewers first.

    Raises:
        msgspec.DecodeError: It is something else.
    """
    return sorted(msgspec.json.decode(text, type=list[FanOut]), key=lambda each: each.viewers)


def plot_ladder(ladder: Ladder, folder: Path) -> list[Path]:
    """Draw latency, CPU and memory over rooms, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save_figure(_latency(ladder), folder / "latency.svg"),
        save_figure(
            _over_rooms(ladder, lambda p: p.cores, "processor cores, whole tree"),
            folder / "cpu.svg",
        ),
        save_figure(
            _over_rooms(ladder, lambda p: p.memory_mb, "PSS, whole tree (MB)"),
            folder / "memory.svg",
        ),
    ]


def plot_fan_out(measured: Sequence[FanOut], folder: Path) -> Path:
    """Draw the cost of a broadcast over its viewers, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = blank_figure("viewers of one session", "one broadcast (ms of processor time)")
    viewers = [each.viewers for each in measured]
    ours = [each.hub_publish_us / 1000 for each in measured]
    bare = [each.bare_send_us / 1000 for each in measured]
    axes.plot(viewers, ours, color=LOOKS["ours-ffmpeg"][0], marker="o", label="Hub.publish")
    axes.plot(
        viewers, bare, color="black", marker="x", linestyle="--", label="bare socket.send loop"
    )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()
    return save_figure(figure, folder / "fanout.svg")


def _latency(ladder: Ladder) -> Figure:
    figure, axes = blank_figure("rooms", "audio in → speech-to-text (ms)")
    for server in ladder.servers():
        _line(axes, ladder, server, lambda point: point.audio_ms.p99, f"{server}, p99")
        _line(axes, ladder, server, lambda point: point.audio_ms.p50, f"{server}, p50", ":")
    axes.axhline(MOST_AUDIO_P99_MS, color="black", linewidth=0.8, linestyle="--")
    axes.set_yscale("log")
    axes.legend(fontsize=8)
    return figure


def _over_rooms(ladder: Ladder, value: Value, label: str) -> Figure:
    figure, axes = blank_figure("rooms", label)
    for server in ladder.servers():
        _line(axes, ladder, server, value, server)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def _line(
    axes: Axes, ladder: Ladder, server: str, value: Value, label: str, style: str = "-"
) -> None:
    color, mark = LOOKS.get(server, OTHER_LOOKS)
    points = [rung[server] for rung in ladder.rungs().values() if server in rung]
    known = [(point.rooms, found) for point in points if (found := value(point)) is not None]
    rooms, values = [each[0] for each in known], [each[1] for each in known]
    axes.plot(rooms, values, color=color, marker=mark, linestyle=style, label=label)

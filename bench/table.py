"""A ladder as Markdown. Pure."""

from __future__ import annotations

from bench.evidence import Spread
from bench.outcome import Ladder, ratios
from bench.point import Point

PLACE = "ladder"
"""What the markers of its place in the document are called."""
HEAD = (
    "rooms",
    "server",
    "audio in → STT, p50 / p99 / max (ms)",
    "beeps lost",
    "audio lost at start / later (ms per room)",
    "STT → viewer, p50 / p99 / max (ms)",
    "messages lost",
    "publish → first PCM, p50 / max (ms)",
    "CPU (cores)",
    "memory, PSS (MB)",
    "load + database (cores)",
)


def ladder_text(ladder: Ladder) -> str:
    """Return everything that the markers hold: the machine, the table, who fell, the ratios."""
    parts = [_machine(ladder), _table(ladder), *_notes(ladder), _ratios(ladder)]
    return "\n\n".join(part for part in parts if part)


def _machine(ladder: Ladder) -> str:
    machine = ladder.machine
    what = f"{machine['cpu']}, {machine['cores']} cores, {machine['memoryMb']} MB, "
    what += f"{machine['system']}, Python {machine['python']}"
    commit = f", commit `{ladder.commit}`" if ladder.commit else ""
    return f"{what}; {ladder.at}{commit}. Load, database and server share this machine."


def _table(ladder: Ladder) -> str:
    lines = [_row(HEAD), _row(["---"] * len(HEAD))]
    for rung in ladder.rungs().values():
        lines += [_row(_cells(rung[name])) for name in ladder.servers() if name in rung]
    return "\n".join(lines)


def _cells(point: Point) -> list[str]:
    return [
        str(point.rooms),
        point.server + ("¹" if point.load_bound else ""),
        _spread(point.audio_ms),
        _share(point.beeps_lost, point.beeps),
        f"{point.lost_at_start_ms:.0f} / {point.lost_later_ms:.0f}",
        _spread(point.fan_out_ms),
        _share(point.messages_lost, point.messages),
        f"{_number(point.start_up_ms.p50)} / {_number(point.start_up_ms.max)}",
        f"{point.cores:.2f}",
        f"{point.memory_mb:.0f}",
        f"{sum(point.load.cores.values()):.2f}",
    ]


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(spread: Spread) -> str:
    return " / ".join(_number(each) for each in (spread.p50, spread.p99, spread.max))


def _number(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" if part else "0"


def _notes(ladder: Ladder) -> list[str]:
    lines = [f"- `{name}` went no further: {reason}." for name, reason in ladder.broke.items()]
    lines += [f"- `{name}` was not measured: {reason}." for name, reason in ladder.missing.items()]
    lines += [
        f"- ¹ {point.rooms} rooms, `{point.server}`: {point.load_bound}."
        for point in ladder.points
        if point.load_bound
    ]
    return ["\n".join(lines)] if lines else []


def _ratios(ladder: Ladder) -> str:
    rows = [
        [str(rooms), name, *(_ratio(value) for value in shares.values())]
        for rooms, rung in ladder.rungs().items()
        for name, shares in sorted(ratios(rung).items())
    ]
    if not rows:
        return ""
    head = ["rooms", "ours ÷ original", "audio p99", "fan-out p99", "start-up p50", "memory", "CPU"]
    return "\n".join([_row(head), _row(["---"] * len(head)), *map(_row, rows)])


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"

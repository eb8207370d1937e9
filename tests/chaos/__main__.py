"""``python -m tests.chaos``: progress on stderr, one line of JSON on stdout at the end."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import structlog
import typer

from realtime_core.decode.locate import find
from tests.chaos.faults import EVERY
from tests.chaos.report import line
from tests.chaos.run import Outcome, Plan, run

MOST_WRONGS_TOLD = 50


def main(
    seconds: Annotated[float, typer.Option(min=10, help="How long the storm lasts.")] = 120.0,
    seed: Annotated[int | None, typer.Option(help="What to draw faults by.")] = None,
    sessions: Annotated[int, typer.Option(min=1, max=50, help="How many meetings there are.")] = 3,
    without: Annotated[
        str, typer.Option(help="Kinds of fault to leave out, comma-separated.")
    ] = "",
    only: Annotated[str, typer.Option(help="The only kinds of fault, comma-separated.")] = "",
    keep: Annotated[Path | None, typer.Option(help="Folder for data and log, kept.")] = None,
) -> None:
    """Break the whole system at random, and compare what was spoken with what was kept.

    Ends with 0 only if no promise was broken, and enough was done to break one.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    excluded, included = _names(without), _names(only)
    kinds = [f for f in EVERY if f.name not in excluded and (not included or f.name in included)]
    seed = seed if seed is not None else int(time.time())
    tell(f"seed {seed}, {seconds:g} seconds, {len(kinds)} kinds of fault")
    with TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        plan = Plan(seed, seconds, kinds, keep or Path(folder), find(), sessions)
        plan.folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(run(plan, tell))
    _tell_wrongs(outcome)
    sys.stdout.write(line(outcome) + "\n")
    raise typer.Exit(0 if outcome.ok else 1)


def _names(text: str) -> set[str]:
    names = set(text.split(",")) - {""}
    if unknown := names - {fault.name for fault in EVERY}:
        known = ", ".join(sorted(fault.name for fault in EVERY))
        raise typer.BadParameter(f"no such kind: {', '.join(sorted(unknown))}; there are {known}")
    return names


def tell(text: str) -> None:
    """Say how it goes."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _tell_wrongs(outcome: Outcome) -> None:
    for wrong in outcome.verdict.wrongs[:MOST_WRONGS_TOLD]:
        tell(wrong)
    if outcome.is_weak:
        tell("too few faults, or kinds of them, struck for a run as long as this")


if __name__ == "__main__":
    typer.run(main)

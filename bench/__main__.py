"""``python -m bench``: measures ours beside the original, and reports what was seen."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
from rich.console import Console

from bench import ladder as ladders
from bench import outcome
from bench.errors import BenchError
from bench.run import Plan
from bench.servers import COMPARED, SERVERS

T = TypeVar("T")

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console(stderr=True, highlight=False, soft_wrap=True)

Names = Annotated[str, typer.Option("--servers", help="Which servers, comma-separated.")]
ALL = ",".join(SERVERS)
DEFAULT = ",".join(server.name for server in COMPARED)


@app.command()
def ladder(
    servers: Names = DEFAULT,
    quick: Annotated[bool, typer.Option(help="20 and 60 rooms, in under two minutes.")] = False,
    rooms: Annotated[str, typer.Option(help="Other rungs, comma-separated.")] = "",
    name: Annotated[str, typer.Option(help="What the file of results is called.")] = "ladder",
) -> None:
    """Climb: more and more rooms for each server, alternating, until it can bear no more.

    A quick one ends with one line of JSON on stdout; a full one is kept in bench/results/.
    Ends with 1 when a server could not be measured.
    """
    names = _names(servers)
    ascent = ladders.quick(names) if quick else ladders.full(names)
    if rooms:
        rungs = [int(each) for each in rooms.split(",")]
        ascent = dataclasses.replace(ascent, rungs=rungs)
    seen, is_whole = _run(ladders.ascend(ascent, console.print))
    if not quick:
        console.print(f"written: {ladders.keep(seen, name)}")
    print(outcome.one_line(seen))
    raise typer.Exit(0 if is_whole else 1)


@app.command()
def point(
    server: Annotated[str, typer.Argument(help=f"One of: {ALL}.")],
    rooms: Annotated[int, typer.Argument(min=1)],
    seconds: Annotated[float, typer.Option(min=2, help="The steady window.")] = 5.0,
    start_up: Annotated[float, typer.Option(min=1, help="The window before it.")] = 6.5,
    logs: Annotated[Path | None, typer.Option(help="Folder for the server's log.")] = None,
) -> None:
    """Measure one server with so many rooms; one line of JSON on stdout."""
    plan = Plan(start_up, seconds)
    ascent = ladders.Ascent(_names(server), [rooms], lambda _rooms: plan, 0.0, logs)
    seen, is_whole = _run(ladders.ascend(ascent, console.print))
    print(outcome.one_line(seen))
    raise typer.Exit(0 if is_whole else 1)


@app.command()
def report(
    results: Annotated[Path | None, typer.Argument(help="Unset: the newest ladder.")] = None,
) -> None:
    """Write the table of docs/performance.md and the plots in docs/plots/."""
    from bench.report import newest, write_report  # matplotlib: slow, and only needed here

    try:
        for path in write_report(results or newest()):
            console.print(f"written: {path}")
    except BenchError as exc:
        console.print(str(exc))
        raise typer.Exit(1) from None


def _names(text: str) -> list[str]:
    names = [each for each in text.split(",") if each]
    if unknown := set(names) - set(SERVERS):
        raise typer.BadParameter(f"no such server: {', '.join(sorted(unknown))}; there are {ALL}")
    return names


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(_stoppable(work))
    except BenchError as exc:
        console.print(str(exc))
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(130) from None


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``; a signal cancels it, so that no process is left behind."""
    task = asyncio.current_task()
    assert task is not None
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, task.cancel)
    return await work


def main() -> None:
    """Run the command line."""
    # The database's log lines are not the report.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    app()


if __name__ == "__main__":
    main()

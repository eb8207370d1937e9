"""``python -m bench.attribution``: how many words get the right name, beside what others do."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from bench.attribution.goals import goals
from bench.attribution.run import Draw, draws, run_all
from bench.attribution.scenarios import SCENARIOS
from bench.attribution.score import Score
from bench.attribution.summary import in_short, one_line
from bench.errors import BenchError

app = typer.Typer(add_completion=False)
console = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command(help=__doc__)
def main(
    scenario: Annotated[str, typer.Option(help="Only this kind of meeting.")] = "",
    seed: Annotated[int | None, typer.Option(help="Only this one, which may be a new one.")] = None,
    quick: Annotated[bool, typer.Option(help="Two meetings of each kind.")] = False,
) -> None:
    """Run the benchmark; only a whole run is kept, in bench/results/ and docs/.

    It ends with one line of JSON on stdout. Goals that are missed are no failure of the run.
    """
    scores: list[Score] = []
    for each in run_all(_chosen(scenario, seed, quick)):
        scores += each
        console.print(in_short(each))
    for goal in goals(scores):
        console.print(f"{'reached' if goal.reached else 'MISSED '}  {goal.text}: {goal.seen}")
    if not (scenario or quick or seed is not None):
        _write(scores)
    print(one_line(scores))


def _chosen(scenario: str, seed: int | None, quick: bool) -> list[Draw]:
    if scenario and scenario not in SCENARIOS:
        raise typer.BadParameter(f"no such scenario; there are {', '.join(SCENARIOS)}")
    if seed is not None:
        return [(name, seed) for name in SCENARIOS if scenario in ("", name)]
    return [each for each in draws(quick=quick) if scenario in ("", each[0])]


def _write(scores: list[Score]) -> None:
    from bench.attribution.report import write_report  # matplotlib: slow, and only needed here

    try:
        for path in write_report(scores):
            console.print(f"written: {path}")
    except BenchError as exc:
        console.print(str(exc))
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()

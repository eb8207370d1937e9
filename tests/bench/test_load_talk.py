import asyncio
import json

import pytest

from bench.load.talk import obey, spread_ms
from tests.bench.conftest import Line


def test_commands_may_come_in_pieces_and_the_end_means_quit(line: Line) -> None:
    line.say("go\nrep")
    assert line.commands.read() == ["go"]
    line.say("ort\n\n")
    assert line.commands.read() == ["report"]
    line.hang_up()
    assert line.commands.read() == ["quit"]


async def test_each_command_gets_its_line(line: Line, capfd: pytest.CaptureFixture[str]) -> None:
    line.say("report\nnonsense\nquit\n")
    async with asyncio.timeout(5):
        await obey(line.commands, {"report": lambda: {"rooms": 3}})
    answers = [json.loads(each) for each in capfd.readouterr().out.splitlines()]
    assert answers == [{"rooms": 3}, {"error": "no such command: nonsense"}]


async def test_hanging_up_ends_it(line: Line) -> None:
    line.hang_up()
    async with asyncio.timeout(5):
        await obey(line.commands, {})


@pytest.mark.parametrize(
    ("values_ns", "expected"),
    [
        ([], (None, None, None)),
        ([2_000_000], (2.0, 2.0, 2.0)),
        ([n * 1_000_000 for n in range(100, -1, -1)], (50.0, 99.0, 100.0)),
    ],
)
def test_quantiles(values_ns: list[int], expected: tuple[float | None, ...]) -> None:
    assert tuple(spread_ms(values_ns).values()) == expected

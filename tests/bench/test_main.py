from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.__main__ import app

run = CliRunner().invoke


@pytest.mark.parametrize("command", [["ladder", "--servers", "mine"], ["point", "mine", "5"]])
def test_an_unknown_server_is_refused_with_those_that_are_known(command: list[str]) -> None:
    result = run(app, command)
    assert result.exit_code == 2
    assert "ours-inprocess" in result.output


def test_a_report_of_nothing_ends_with_1(tmp_path: Path) -> None:
    assert run(app, ["report", str(tmp_path / "none.json")]).exit_code == 1


def test_a_ladder_in_which_nothing_was_measured_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    result = run(app, ["ladder", "--quick", "--servers", "original"])
    assert result.exit_code == 1
    assert '"missing":{"original":' in result.stdout.splitlines()[-1]

"""What operators are told to look for exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime_core.metrics import Metrics

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "src" / "realtime_core").rglob("*.py"))
LABELS = re.compile(r"\{.*\}$")


def section(title: str) -> str:
    _, _, rest = PAGE.partition(f"{title}\n")
    assert rest, title
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def quoted() -> Iterator[str]:
    for title in ("### Log lines worth an alert", "## When something breaks"):
        for row in section(title).splitlines():
            if row.startswith("| "):
                yield from re.findall(r"`([^`]+)`", row)


@pytest.mark.parametrize("line", sorted({each for each in quoted() if re.match("[A-Z].* ", each)}))
def test_log_lines_are_quoted_as_they_are_written(line: str) -> None:
    assert f'"{line}' in SOURCE


def test_metrics_of_the_fault_table_exist() -> None:
    exposed = {metric.name for metric in Metrics().registry.collect()}
    named = {
        LABELS.sub("", each).removesuffix("_total")
        for each in quoted()
        if "_" in each and each == each.lower() and "/" not in each
    }
    assert named
    assert named <= exposed

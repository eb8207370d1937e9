import json
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.evidence import Spread
from bench.ladder import keep
from bench.paper import between_markers
from bench.plots import fan_outs
from bench.report import newest, write_report
from bench.table import PLACE, ladder_text
from tests.bench.points import ladder, point

PAGE = f"# Performance\n\nBefore.\n\n<!-- {PLACE} -->\nold\n<!-- /{PLACE} -->\n\nAfter.\n"
WHOLE = ladder(
    point(),
    point(server="ours-ffmpeg", audio_ms=Spread(0.5, 1.5, 140.2), lost_at_start_ms=0.0),
    point(rooms=60, beeps_lost=3, load_bound="the machine is full"),
    broke={"original": "60 rooms: p99 of audio is 249 ms"},
    missing={"ours-inprocess": "no PyAV"},
)
FAN_OUT = [
    {"viewers": 500, "bareSendUs": 4350, "hubPublishUs": 4600, "ratio": 1.06},
    {"viewers": 50, "bareSendUs": 430, "hubPublishUs": 460, "ratio": 1.07},
]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "performance.md").write_text(PAGE)
    return tmp_path / "docs"


def row(text: str, start: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = between_markers(PAGE, PLACE, "new")
    assert page == PAGE.replace("old", "new")
    assert between_markers(page, PLACE, "new") == page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        between_markers("# Performance\n", PLACE, "new")


def test_the_table_has_a_row_for_each_point() -> None:
    ours = row(ladder_text(WHOLE), "| 20 | ours-ffmpeg")
    assert ours[:5] == ["20", "ours-ffmpeg", "0.5 / 1.5 / 140", "0", "0 / 0"]
    assert row(ladder_text(WHOLE), "| 60 | original")[3] == "3 of 120"


def test_the_table_says_who_fell_who_was_missing_and_when_the_load_was_at_its_end() -> None:
    text = ladder_text(WHOLE)
    assert "- `original` went no further: 60 rooms: p99 of audio is 249 ms." in text
    assert "- `ours-inprocess` was not measured: no PyAV." in text
    assert "original¹" in text
    assert "- ¹ 60 rooms, `original`: the machine is full." in text


def test_ratios_have_a_table_only_beside_the_original() -> None:
    assert row(ladder_text(WHOLE), "| 20 | ours-ffmpeg | 0.25")[2:5] == ["0.25", "1.00", "1.00"]
    assert "ours ÷ original" not in ladder_text(ladder(point(server="ours-ffmpeg")))


@pytest.mark.slow
def test_a_report_writes_the_page_and_the_plots(docs: Path) -> None:
    results = keep(WHOLE, "ladder", docs.parent / "results")
    (results.parent / "fanout.json").write_text(json.dumps(FAN_OUT))
    written = write_report(results, docs)
    names = ["performance.md", "latency.svg", "cpu.svg", "memory.svg", "fanout.svg"]
    assert [path.name for path in written] == names
    assert "ours-ffmpeg" in (docs / "performance.md").read_text()
    assert all(path.read_text().startswith("<?xml") for path in written[1:])


@pytest.mark.slow
def test_equal_results_make_equal_files(docs: Path) -> None:
    results = keep(WHOLE, "ladder", docs.parent / "results")
    first = {path: path.read_bytes() for path in write_report(results, docs)}
    second = {path: path.read_bytes() for path in write_report(results, docs)}
    assert first == second
    assert not any(path.name == "fanout.svg" for path in first)


def test_fan_outs_are_in_order_of_viewers() -> None:
    assert [each.viewers for each in fan_outs(json.dumps(FAN_OUT).encode())] == [50, 500]


def test_the_newest_ladder_is_reported(tmp_path: Path) -> None:
    keep(ladder(), "b", tmp_path)
    later = keep(ladder(at="2026-11-23T06:00:00+00:00"), "a", tmp_path)
    (tmp_path / "fanout.json").write_text("[]")
    assert newest(tmp_path) == later


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no results"):
        newest(tmp_path)


def test_results_that_cannot_be_understood_are_told(docs: Path) -> None:
    (docs / "broken.json").write_text("{}")
    with pytest.raises(BenchError, match=r"broken\.json"):
        write_report(docs / "broken.json", docs)


def test_a_page_without_markers_is_told(docs: Path) -> None:
    (docs / "performance.md").write_text("# Performance\n")
    with pytest.raises(BenchError, match=r"performance\.md"):
        write_report(keep(WHOLE, "ladder", docs), docs)

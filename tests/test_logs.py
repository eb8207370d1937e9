import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from realtime_core import logs
from realtime_core.lines import LINES_WAITING


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for ours in root.handlers:
        ours.close()
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(capfd).splitlines()]


def written(capfd: pytest.CaptureFixture[str]) -> str:
    for handler in logging.getLogger().handlers:
        handler.flush()
    return capfd.readouterr().out


def test_each_event_is_one_json_line_with_component_and_session(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json")
    logs.get_logger("rtmp").bind(session="weekly").info("RTMP client connecting", peer="::1")
    (line,) = lines(capfd)
    assert line["message"] == "RTMP client connecting"
    assert (line["component"], line["session"], line["level"]) == ("rtmp", "weekly", "info")


def test_all_lines_of_a_sessions_task_name_it(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    with logs.session_of_logs("weekly"):
        logs.get_logger("stt").info("Gladia session started")
        logging.getLogger("somebody.else").warning("odd")
    logs.get_logger("app").info("Stopping")
    assert [line.get("session") for line in lines(capfd)] == ["weekly", "weekly", None]


def test_what_is_below_the_level_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    logs.get_logger("x").info("quiet")
    logs.get_logger("x").debug("quieter")
    assert lines(capfd) == []


def test_no_secret_comes_through_not_even_from_others(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    canary = "canary-7f3a"
    ours, theirs = logs.get_logger("x"), logging.getLogger("somebody.else")
    ours.info("connecting", url=f"wss://host/v2/live?token={canary}", api_key=canary)
    ours.info("publishing", url=f"rtmp://host/live/weekly?key={canary}&x=1")
    theirs.warning("cannot connect to postgres://user:%s@host/db", canary)
    try:
        raise RuntimeError(f"bad url wss://host?token={canary}")
    except RuntimeError:
        ours.exception("failed")
    output = written(capfd)
    assert output.count("\n") == 4
    assert canary not in output


def test_an_address_without_password_stays_readable(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.get_logger("x").info("Ready", url="http://127.0.0.1:8080/s/weekly")
    assert lines(capfd)[0]["url"] == "http://127.0.0.1:8080/s/weekly"


def test_a_log_line_cannot_be_forged_or_flooded(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.get_logger("x").info("said", text="a\x1b[31m\r\u2028b" + "c" * 5000)
    (line,) = lines(capfd)
    text = str(line["text"])
    assert text.startswith("a [31m  b")
    assert len(text) == logs.MOST_CHARACTERS


def test_while_nobody_reads_nothing_waits_and_the_gap_is_said_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_fd, write_fd = os.pipe()
    found: list[dict[str, Any]] = []
    with open(read_fd) as reader, open(write_fd, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        logs.configure("info", "json")
        for number in range(7_000):
            logs.get_logger("x").info("line", number=number)
        lost = logs.lines_dropped()
        found += (json.loads(reader.readline()) for _ in range(7_000 - LINES_WAITING))
        with logs.session_of_logs("weekly"):
            logs.get_logger("x").info("line", number=7_000)
        while found[-1].get("number") != 7_000:
            found.append(json.loads(reader.readline()))
    assert 0 < lost < 7_000 - LINES_WAITING
    number = 0
    for line in found:  # each stands where it was logged
        assert line.get("number", number) == number
        number += line.get("count", 1)
    gap, line = found[-2:]
    assert (gap["message"], gap["level"]) == ("Log lines dropped", "warning")
    assert (gap["component"], gap.get("session")) == ("logs", None)
    assert line["session"] == "weekly"


def test_a_terminal_gets_lines_for_people(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    logs.configure("info", "auto")
    logs.get_logger("x").info("Ready", port=8080)
    assert "Ready" in written(capfd)

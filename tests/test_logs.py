import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from realtime_core import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_event_is_one_json_line_with_component_and_session(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", "json")
    logs.get_logger("rtmp").bind(session="weekly").info("RTMP client connecting", peer="::1")
    (line,) = lines(capsys)
    assert line["message"] == "RTMP client connecting"
    assert (line["component"], line["session"], line["level"]) == ("rtmp", "weekly", "info")


def test_all_lines_of_a_sessions_task_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    with logs.session_of_logs("weekly"):
        logs.get_logger("stt").info("Gladia session started")
        logging.getLogger("somebody.else").warning("odd")
    logs.get_logger("app").info("Stopping")
    assert [line.get("session") for line in lines(capsys)] == ["weekly", "weekly", None]


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "json")
    logs.get_logger("x").info("quiet")
    logs.get_logger("x").debug("quieter")
    assert lines(capsys) == []


def test_no_secret_comes_through_not_even_from_others(capsys: pytest.CaptureFixture[str]) -> None:
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
    output = capsys.readouterr().out
    assert output.count("\n") == 4
    assert canary not in output


def test_an_address_without_password_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.get_logger("x").info("Ready", url="http://127.0.0.1:8080/s/weekly")
    assert lines(capsys)[0]["url"] == "http://127.0.0.1:8080/s/weekly"


def test_a_log_line_cannot_be_forged_or_flooded(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logs.get_logger("x").info("said", text="a\x1b[31m\r\u2028b" + "c" * 5000)
    (line,) = lines(capsys)
    text = str(line["text"])
    assert text.startswith("a [31m  b")
    assert len(text) == logs.MOST_CHARACTERS


def test_a_terminal_gets_lines_for_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    logs.configure("info", "auto")
    logs.get_logger("x").info("Ready", port=8080)
    assert "Ready" in capsys.readouterr().out

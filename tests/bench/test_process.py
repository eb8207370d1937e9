import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from bench.errors import BenchError
from bench.machine import tree
from bench.process import free_ports, server_process, speaking

ECHO = """
import json, sys
print(json.dumps({"word": "ready"}), flush=True)
for line in sys.stdin:
    print(json.dumps({"word": line.strip()}), flush=True)
"""
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
print("up", flush=True)
signal.pause()
"""


class Word(msgspec.Struct):
    word: str


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


@pytest.mark.slow
async def test_a_speaker_answers_each_word() -> None:
    async with speaking("echo", python(ECHO)) as speaker:
        assert await speaker.hear(Word, within_s=10) == Word("ready")
        assert await speaker.ask("go", Word) == Word("go")
        assert await speaker.ask("report", Word) == Word("report")
    assert not psutil.pid_exists(speaker.pid)


@pytest.mark.slow
async def test_a_speaker_that_ended_is_told_with_its_status() -> None:
    async with speaking("brief", python("raise SystemExit(3)")) as speaker:
        with pytest.raises(BenchError, match="brief ended with status 3"):
            await speaker.hear(Word, within_s=10)


@pytest.mark.slow
async def test_a_speaker_that_is_silent_is_told() -> None:
    async with speaking("mute", python("input()")) as speaker:
        with pytest.raises(BenchError, match="mute said nothing"):
            await speaker.hear(Word, within_s=0.05)


@pytest.mark.slow
async def test_a_server_that_does_not_go_is_killed_with_all_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.process.STOP_WITHIN_S", 0.05)
    async with server_process(python(STUBBORN), {}, tmp_path) as process:
        while "up" not in (tmp_path / "server.log").read_text():
            pass
        family = tree(process.pid)
        assert len(family) == 2
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert (len(gone), alive) == (2, [])
    assert process.returncode == -9


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert all(port < 32_768 for port in ports)

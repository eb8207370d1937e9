"""``realtime-core demo``: what it takes from the environment, how it ends, what it leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from rich.console import Console

from realtime_core.demo import faults_of, free_port, has_gladia_key, settings_for
from realtime_core.errors import ConfigurationError
from realtime_core.settings import load
from tests.e2e.served import command
from tests.eventually import eventually

EMULATOR = {"gladia_api_url": "http://127.0.0.1:1", "gladia_api_key": "emulator-key"}
NAMES = {"Alice", "Bob"}
WHOLE = {"finals": 14, "viewerFinals": 14, "rows": 14, "speakers": ["Alice", "Bob"]}
# Each of them would break the demo, or make it wait or ask for something.
FOR_THE_REAL_SERVICE = """
HOST=0.0.0.0
PORT=99999
AUTH_SECRET=too-short
AUTH_MODE=token
LIVEKIT_API_KEY=without-a-secret
RTMP_KEY_SECRET=ssssssssssssssssssssssssssssssssssssssss
RTMP_HOST=rtmp.example.com
PUBLIC_URL=https://captions.example.com
METRICS_TOKEN=m
MAX_SESSIONS=0
DECODER=none
FFMPEG_PATH=/nowhere/ffmpeg
DATABASE_URL=postgresql://nobody@127.0.0.1:1/nothing
REALTIME_BROADCAST_MODE=http
SPEAKER_LAG_MS=9000
GLADIA_ENDPOINTING_S=99
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in that PostgreSQL's own user may enter, as pytest's is not."""
    with TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as name:
        monkeypatch.chdir(name)
        yield Path(name)


def left_in(folder: Path) -> list[list[str]]:
    """The processes that work in the folder, or name it; not the tests' own."""
    others = (each for each in psutil.process_iter() if each.pid != os.getpid())
    return [each.cmdline() for each in others if _is_in(each, str(folder))]


def _is_in(process: psutil.Process, folder: str) -> bool:
    try:
        return process.cwd().startswith(folder) or folder in " ".join(process.cmdline())
    except psutil.Error:
        return False


def is_publishing(pid: int) -> bool:
    """Whether a child of the process pushes to the endless demo's session."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return any("/live/demo" in " ".join(each.cmdline()) for each in children)
    except psutil.Error:
        return False


def test_a_whole_demo_has_no_faults() -> None:
    assert faults_of(WHOLE, NAMES) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"rows": 13}, "14 finals were made, 14 reached the viewer, 13 the table"),
        ({"viewerFinals": 13}, "14 finals were made, 13 reached the viewer, 14 the table"),
        ({"finals": 0, "viewerFinals": 0, "rows": 0}, "nothing was transcribed"),
        ({"speakers": ["Bob", "room"]}, "no caption names Alice"),
        ({"speakers": []}, "no caption names Alice, Bob"),
    ],
)
def test_what_is_not_whole_is_told(wrong: dict[str, Any], fault: str) -> None:
    assert faults_of(WHOLE | wrong, NAMES) == [fault]


def test_what_is_set_for_the_real_service_does_not_reach_the_demo(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(FOR_THE_REAL_SERVICE)
    settings = settings_for(EMULATOR, 8080)
    unset = load(_env_file=None, **EMULATOR)
    changed = {name for name, value in settings if value != getattr(unset, name)}
    assert changed == {"rtmp_internal_port", "data_dir"}
    assert not settings.wants_tokens


def test_no_key_means_the_emulator(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GLADIA_API_KEY=\n" + FOR_THE_REAL_SERVICE)
    assert not has_gladia_key()


def test_a_key_in_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLADIA_API_KEY", "k")
    assert has_gladia_key()


def test_a_key_that_stands_only_in_dot_env_counts_and_so_does_what_is_said_of_gladia(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("GLADIA_API_KEY=k\nGLADIA_LANGUAGES=en\nMAX_SESSIONS=0\n")
    assert has_gladia_key()
    settings = settings_for({}, 8080)
    assert settings.gladia_api_key is not None
    assert settings.gladia_api_key.get_secret_value() == "k"
    assert settings.gladia_languages == ("en",)


def test_what_is_no_port_is_told() -> None:
    console = Console(file=StringIO())
    with pytest.raises(ConfigurationError, match="PORT: "):
        settings_for(EMULATOR, free_port(99999, console))


def test_a_free_port_is_taken_and_a_taken_one_is_told() -> None:
    said = StringIO()
    console = Console(file=said)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert free_port(port, console) == 0
    assert f"Port {port} cannot be used" in said.getvalue()
    assert free_port(port, console) == port
    assert free_port(0, console) == 0


@pytest.mark.ffmpeg
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_the_demo_shows_the_whole_system_and_leaves_nothing_behind(folder: Path) -> None:
    (folder / ".env").write_text(FOR_THE_REAL_SERVICE)
    async with command("demo", "--once", "--port", "0") as child:
        lines = (await child.stdout.read()).decode().splitlines()
    assert child.returncode == 0, child.complaints.lines()
    counts = json.loads(lines[-1])
    assert faults_of(counts, NAMES) == []
    assert list(counts) == ["sessionSlug", "drafts", *WHOLE, "seconds"]
    assert left_in(folder) == []


@pytest.mark.ffmpeg
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_a_demo_that_plays_on_ends_quietly_when_asked(folder: Path) -> None:
    async with command("demo", "--port", "0") as child:
        await eventually(lambda: is_publishing(child.pid), within_s=60)
        child.signal_group(signal.SIGINT)
        assert await child.stdout.read() == b""
    assert child.returncode == 130
    assert "Ctrl-C ends" in " ".join(child.complaints.lines())
    assert "Traceback" not in " ".join(child.complaints.lines())
    assert left_in(folder) == []

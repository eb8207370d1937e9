"""``realtime-core serve`` as a process: how it starts, stops and dies."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import psutil
import pytest

from gladia_emulator.server import Emulator
from realtime_core.store.postgres import PostgresStore
from tests.e2e.river import KEY, write_tones
from tests.e2e.served import command, published, serving
from tests.eventually import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]


async def test_sigterm_under_load_ends_with_exit_0_and_nothing_lost(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        serving(emulator, postgres_dsn, tmp_path / "data") as served,
    ):
        async with published(served, ffmpeg, recording, http) as viewer:
            await viewer.until(lambda m: m["type"] == "transcript" and m["isFinal"])
            served.child.signal_group(signal.SIGTERM)
            await viewer.to_the_end()
        async with asyncio.timeout(30):
            await served.child.gone()
        assert served.child.returncode == 0, served.child.complaints.lines()
    last = [m for m in viewer.messages if m["type"] == "status"][-1]
    assert (last["state"], last["reason"]) == ("draining", "the service restarts")
    assert viewer.socket.close_code == 4001  # come back
    async with PostgresStore(postgres_dsn) as store:
        rows = await store.finals("weekly", limit=100)
    seen = {final["utteranceId"]: final["text"] for final in viewer.finals}
    assert {row.utterance_id: row.text for row in rows} == seen


async def test_a_killed_service_leaves_no_ffmpeg_and_loses_no_final_that_was_seen(
    postgres_dsn: str, ffmpeg: str, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with Emulator(api_key=KEY) as emulator, aiohttp.ClientSession() as http:
        async with (
            serving(emulator, postgres_dsn, tmp_path / "data") as served,
            published(served, ffmpeg, recording, http) as viewer,
        ):
            final = await viewer.until(lambda m: m["type"] == "transcript" and m["isFinal"])
            (decoder,) = served.children("ffmpeg")
            os.kill(served.child.pid, signal.SIGKILL)
            await eventually(lambda: not _is_alive(decoder))
        async with serving(emulator, postgres_dsn, tmp_path / "data") as again:
            again.child.signal_group(signal.SIGTERM)
            await again.child.gone()
    async with PostgresStore(postgres_dsn) as store:
        rows = await store.finals("weekly", limit=100)
    assert final["utteranceId"] in {row.utterance_id for row in rows}


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_bad_settings_are_told_all_at_once_with_exit_2(tmp_path: Path) -> None:
    async with command("serve", HOST="0.0.0.0", PORT="99999", AUTH_SECRET="short") as child:
        assert await child.stdout.read() == b""
    assert child.returncode == 2
    assert [line.split(":")[1].strip() for line in child.complaints.lines()] == [
        "PORT",
        "AUTH_SECRET",
        "HOST",
        "GLADIA_API_KEY",
    ]


async def test_a_second_service_in_the_same_folder_is_refused_and_harms_nobody(
    tmp_path: Path,
) -> None:
    folder = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": ""}  # the embedded PostgreSQL
    async with (
        Emulator(api_key=KEY) as emulator,
        aiohttp.ClientSession() as http,
        serving(emulator, "", tmp_path / "data", **folder) as first,
    ):
        environment = {"GLADIA_API_KEY": KEY, "PORT": "0", "RTMP_INTERNAL_PORT": "0", **folder}
        async with command("serve", **environment) as second:
            await second.stdout.read()
        assert second.returncode == 2
        assert "DATA_DIR of its own" in second.complaints.lines()[-1]
        async with http.get(f"{first.url}/api/realtime/sessions/none/transcript") as response:
            assert response.status == 404  # its database still answers


async def test_no_ffmpeg_is_told_with_what_to_do(tmp_path: Path) -> None:
    environment = {"GLADIA_API_KEY": KEY, "FFMPEG_PATH": "/nowhere/ffmpeg", "DATABASE_URL": "none"}
    async with command("serve", **environment) as child:
        await child.stdout.read()
    assert child.returncode == 2
    assert "/nowhere/ffmpeg" in child.complaints.lines()[-1]


async def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    environment = {"GLADIA_API_KEY": KEY, "DATABASE_URL": "none", "RTMP_INTERNAL_PORT": "0"}
    async with server, command("serve", PORT=str(port), **environment) as child:
        await child.stdout.read()
    assert child.returncode == 1
    (complaint,) = child.complaints.lines()
    assert str(port) in complaint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["serve", "demo", "replay", "--help"]),
        (["serve"], ["SIGTERM", "environment", ".env.example", "STOP_GRACE_S"]),
        (["demo"], ["--once", "--port", "8080", "GLADIA_API_KEY", "JSON"]),
        (
            ["replay"],
            ["file", "--session", "--url", "--speakers", "--reference", "--lead-ms", "--token"],
        ),
    ],
)
async def test_help_explains_itself(arguments: list[str], words: list[str]) -> None:
    async with command(*arguments, "--help", COLUMNS="100") as child:
        text = (await child.stdout.read()).decode()
    assert child.returncode == 0
    assert "Usage" in text
    assert [word for word in words if word not in text] == []

import asyncio
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from typer.testing import CliRunner

from gladia_emulator.cli import app


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """Run the command on a free port for the length of a block; yield it and its url."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gladia_emulator", "--port", "0", *arguments, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield process, found[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_command_serves_until_told_and_leaves_cleanly(told: signal.Signals) -> None:
    async with (
        command("--key", "k", "--max-sessions", "1") as (process, url),
        aiohttp.ClientSession(headers={"x-gladia-key": "k"}) as http,
    ):
        statuses = []
        for _ in range(2):
            async with http.post(f"{url}/v2/live", json={}) as answer:
                statuses.append(answer.status)
        assert statuses == [201, 429]
        process.send_signal(told)
        assert await process.wait() == 0


def test_taken_port_is_one_line_and_exit_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert result.stderr.startswith("gladia-emulator: ")
    assert "Traceback" not in result.output


def test_help_tells_every_option() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    for option in ("--recognizer", "--key", "--max-sessions", "--idle-timeout", "--second-socket"):
        assert option in result.output


def test_unknown_recogniser_is_exit_2() -> None:
    assert CliRunner().invoke(app, ["--recognizer", "psychic"]).exit_code == 2

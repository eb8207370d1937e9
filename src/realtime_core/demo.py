"""The whole system on a sample conversation, on embedded parts."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from gladia_emulator.server import Emulator
from realtime_core import logs, sample
from realtime_core.app import Service, running
from realtime_core.replay import ReplayRequest, publishing, replay
from realtime_core.settings import Settings, load

EMULATOR_KEY = "emulator-key"
FLUSH_TIMEOUT_S = 10.0
MOST_ROWS = 10_000
DATA_DIR = Path(".realtime-core") / "demo"


async def run_demo(*, once: bool, port: int, console: Console) -> int:
    """Run the demo; return the exit code: 0 when finals reached a viewer and the table."""
    began_at = time.monotonic()
    async with _emulator(console) as provider:
        settings = _settings(provider, port)
        logs.configure("warning", "console")
        async with running(settings) as service:
            if not once:
                await _forever(service, console)
            counts = await _once(service, console)
            await service.drain()
    counts["seconds"] = round(time.monotonic() - began_at, 1)
    typer.echo(json.dumps(counts))
    return 0 if _is_whole(counts) else 1


@asynccontextmanager
async def _emulator(console: Console) -> AsyncIterator[dict[str, Any]]:
    """Yield the settings that name the speech-to-text provider."""
    if os.environ.get("GLADIA_API_KEY"):
        console.print("Speech-to-text: Gladia, with your GLADIA_API_KEY")
        yield {}
        return
    recognizer = "pocketsphinx" if importlib.util.find_spec("pocketsphinx") else "scripted"
    async with Emulator(recognizer=recognizer, api_key=EMULATOR_KEY) as emulator:
        console.print(f"Speech-to-text: the local Gladia emulator ({recognizer})")
        yield {"gladia_api_url": emulator.url, "gladia_api_key": EMULATOR_KEY}


def _settings(provider: dict[str, Any], port: int) -> Settings:
    return load(
        host="127.0.0.1",
        port=port if port and _is_free(port) else 0,
        rtmp_internal_port=0,
        rtmp_host=None,
        rtmp_external_port=None,
        public_url=None,
        database_url=None,
        auth_mode="none",
        realtime_broadcast_mode="direct",
        data_dir=DATA_DIR,
        **provider,
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def _forever(service: Service, console: Console) -> None:
    """Play the sample again and again, until Ctrl-C."""
    while True:
        console.print(f"\nOpen {service.url}/s/demo   (Ctrl-C ends)\n")
        await _play(service, "demo", console)


async def _once(service: Service, console: Console) -> dict[str, Any]:
    slug = f"demo-{secrets.token_hex(3)}"
    console.print(f"Page: {service.url}/s/{slug}")
    session, _ = await service.registry.start(slug)
    report = await _play(service, slug, console)
    storage = service.storage
    assert storage is not None, "the demo stores"
    await storage.writer.flush(FLUSH_TIMEOUT_S)
    return {
        "sessionSlug": slug,
        "drafts": report["drafts"],
        "finals": session.tally.finals,
        "viewerFinals": report["finals"],
        "rows": len(await storage.table.finals(slug, limit=MOST_ROWS)),
        "speakers": report["speakers"],
    }


async def _play(service: Service, slug: str, console: Console) -> dict[str, Any]:
    with sample.files() as files:
        request = ReplayRequest(
            file=files.conversation,
            session_slug=slug,
            url=service.url,
            speakers=files.turns,
            reference=files.reference,
        )
        with publishing(request, console) as advanced:
            return await replay(request, advanced)


def _is_whole(counts: dict[str, Any]) -> bool:
    names = {turn.name for turn in sample.turns()}
    same = counts["finals"] == counts["viewerFinals"] == counts["rows"] > 0
    return same and names <= set(counts["speakers"])

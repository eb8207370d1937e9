"""The whole system on a sample conversation, on embedded parts."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from gladia_emulator.server import Emulator
from gladia_emulator.sphinx import RecognizerUnavailable
from realtime_core import logs, sample
from realtime_core.aio import asked_to_stop
from realtime_core.app import Service, running
from realtime_core.errors import ConfigurationError
from realtime_core.replay import ReplayRequest, complain, publishing, replay
from realtime_core.replay.outcome import ReplayFailed
from realtime_core.settings import Settings, load

HOST = "127.0.0.1"
EMULATOR_KEY = "emulator-key"
FLUSH_TIMEOUT_S = 10.0
MOST_ROWS = 10_000
DATA_DIR = Path(".realtime-core") / "demo"
EXIT_INTERRUPTED = 130

Counts = dict[str, Any]


async def run_demo(*, once: bool, port: int, console: Console) -> int:
    """Run the demo; return the exit code: 0 when finals reached a viewer and the table.

    A first SIGINT or SIGTERM ends it in order, a second at once.

    Raises:
        ConfigurationError: Something is missing that the embedded parts need.
    """
    # Asked, so that no start is cut short: a database that does not know yet that it is ours
    # would stay behind.
    began_at, asked = time.monotonic(), asked_to_stop()
    logs.configure("warning", "console")
    try:
        counts = await _run(once, await asyncio.to_thread(free_port, port, console), console, asked)
    except ReplayFailed as exc:
        complain(console, str(exc))
        return 1
    except ConfigurationError:
        if not asked.is_set():  # else Ctrl-C also reached what was being started
            raise
        counts = None
    if counts is None:
        return EXIT_INTERRUPTED
    counts["seconds"] = round(time.monotonic() - began_at, 1)
    faults = faults_of(counts, await asyncio.to_thread(_names))
    for fault in faults:
        complain(console, fault)
    typer.echo(json.dumps(counts))
    return 1 if faults else 0


def faults_of(counts: Counts, names: set[str]) -> list[str]:
    """Return what is wrong with the counts of a demo in which ``names`` spoke."""
    faults = []
    finals, seen, rows = (counts[key] for key in ("finals", "viewerFinals", "rows"))
    if not finals == seen == rows:
        faults.append(f"{finals} finals were made, {seen} reached the viewer, {rows} the table")
    if not finals:
        faults.append("nothing was transcribed")
    if missing := names - set(counts["speakers"]):
        faults.append(f"no caption names {', '.join(sorted(missing))}")
    return faults


def _names() -> set[str]:
    return {turn.name for turn in sample.turns()}


# How it ends.


async def _unless(asked: asyncio.Event, work: Coroutine[Any, Any, Counts]) -> Counts | None:
    """Return what ``work`` returns; cancel it and return None as soon as somebody asked."""
    working, asking = asyncio.ensure_future(work), asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait([working, asking], return_when=asyncio.FIRST_COMPLETED)
        return None if asked.is_set() else working.result()
    finally:
        for each in (working, asking):
            each.cancel()
        await asyncio.gather(working, asking, return_exceptions=True)


# What runs.


async def _run(once: bool, port: int, console: Console, asked: asyncio.Event) -> Counts | None:
    async with _provider(console) as provider:
        settings = await asyncio.to_thread(settings_for, provider, port)
        async with running(settings) as service:
            try:
                play = _once(service, console) if once else _forever(service, console)
                return await _unless(asked, play)
            finally:
                await service.drain()


@asynccontextmanager
async def _provider(console: Console) -> AsyncIterator[dict[str, Any]]:
    """Yield the settings that name the speech-to-text provider."""
    if await asyncio.to_thread(has_gladia_key):
        console.print("Speech-to-text: Gladia, with your GLADIA_API_KEY")
        yield {}
        return
    found = await asyncio.to_thread(importlib.util.find_spec, "pocketsphinx")
    recognizer = "pocketsphinx" if found else "scripted"
    console.print(f"Speech-to-text: the local Gladia emulator ({recognizer})")
    try:
        async with Emulator(recognizer=recognizer, api_key=EMULATOR_KEY) as emulator:
            yield {"gladia_api_url": emulator.url, "gladia_api_key": EMULATOR_KEY}
    except RecognizerUnavailable as exc:
        raise ConfigurationError(str(exc)) from exc


def has_gladia_key() -> bool:
    """Whether the environment or `.env` has a Gladia key; reads a file."""
    others = _defaults() | {"gladia_api_url": "http://any"}  # without a key, any but Gladia's
    del others["gladia_api_key"]
    return load(**others).gladia_api_key is not None


def settings_for(provider: dict[str, Any], port: int) -> Settings:
    """Return the demo's settings; reads a file.

    Of the environment and `.env`, which are made for the real service, only what is said of
    Gladia counts, and that only when no other provider is given.

    Raises:
        ConfigurationError: The port, or what is said of Gladia, is wrong.
    """
    values = _defaults()
    if not provider:
        values = {name: value for name, value in values.items() if "gladia" not in name}
    ours = {"host": HOST, "port": port, "rtmp_internal_port": 0, "data_dir": DATA_DIR}
    return load(**(values | ours | provider))


def _defaults() -> dict[str, Any]:
    return {name: field.get_default() for name, field in Settings.model_fields.items()}


def free_port(port: int, console: Console) -> int:
    """Return the port if it can be had, else say so and return 0: any free one."""
    try:
        with socket.socket() as probe:
            # Or connections of a demo that has just ended would be in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
        return port
    except OverflowError:
        return port  # the settings say what a port is
    except OSError as exc:
        console.print(f"Port {port} cannot be used ({exc.strerror}); taking a free one")
        return 0


async def _forever(service: Service, console: Console) -> Counts:
    """Play the sample again and again."""
    while True:
        console.print(f"\nOpen {service.url}/s/demo   (Ctrl-C ends)\n")
        await _play(service, "demo", console)


async def _once(service: Service, console: Console) -> Counts:
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

"""The command ``gladia-emulator``."""

from __future__ import annotations

import asyncio
import logging
import signal
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gladia_emulator.scripted import SCRIPT
from gladia_emulator.server import Emulator
from gladia_emulator.sphinx import RecognizerUnavailable

app = typer.Typer(add_completion=False)


class RecognizerName(Enum):
    """What turns speech into text."""

    SCRIPTED = "scripted"
    POCKETSPHINX = "pocketsphinx"


class SecondSocket(Enum):
    """What happens when a connected session gets another WebSocket."""

    KICK = "kick"
    REFUSE = "refuse"


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8090,
    recognizer: Annotated[
        RecognizerName,
        typer.Option(help="scripted: text that can be foretold; pocketsphinx: real recognition."),
    ] = RecognizerName.SCRIPTED,
    key: Annotated[str, typer.Option(help="The x-gladia-key to accept.")] = "emulator-key",
    max_sessions: Annotated[
        int, typer.Option(min=1, help="Open sessions at once; one more gets 429.")
    ] = 30,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes of the pocketsphinx recogniser.")
    ] = 2,
    script: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Text file, a line per utterance, for scripted."
        ),
    ] = None,
    idle_timeout: Annotated[
        float, typer.Option(min=0, help="Seconds without audio until 4408.")
    ] = 30,
    resume_window: Annotated[
        float, typer.Option(min=0, help="Seconds a session waits for its client to come back.")
    ] = 30,
    max_session: Annotated[float, typer.Option(min=0, help="Seconds a session may last.")] = 10_800,
    age_close_code: Annotated[
        int, typer.Option(min=1000, max=4999, help="Close code at --max-session.")
    ] = 1000,
    final_delay: Annotated[
        tuple[float, float],
        typer.Option(help="Least and most seconds from the end of speech to its final."),
    ] = (0.1, 0.6),
    close_delay: Annotated[
        float, typer.Option(min=0, help="Seconds from stop_recording to the close.")
    ] = 1,
    second_socket: Annotated[
        SecondSocket, typer.Option(help="Whom a second socket on one url costs its connection.")
    ] = SecondSocket.KICK,
    replay_missed: Annotated[
        bool, typer.Option(help="Send what a client missed when it comes back.")
    ] = False,
    verbose: Annotated[bool, typer.Option(help="Log what sessions do.")] = False,
) -> None:
    """Speak Gladia Live v2 on a local port, for tests and for running without a key.

    Point a client's API url at what is printed. Faults are armed over HTTP, e.g.

    curl -X POST localhost:8090/_control/faults -d '{"name": "cut", "code": 1011}'
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING)
    emulator = Emulator(
        recognizer=recognizer.value,
        host=host,
        port=port,
        api_key=key,
        max_sessions=max_sessions,
        workers=workers,
        script=SCRIPT if script is None else script.read_text("utf-8").splitlines(),
        idle_timeout_s=idle_timeout,
        resume_window_s=resume_window,
        max_session_s=max_session,
        age_close_code=age_close_code,
        final_delay_s=final_delay,
        close_delay_s=close_delay,
        second_socket=second_socket.value,
        replay_missed=replay_missed,
    )
    try:
        asyncio.run(_until_told(emulator))
    except (OSError, RecognizerUnavailable) as exc:
        typer.echo(f"gladia-emulator: {exc}", err=True)
        raise typer.Exit(1) from exc


async def _until_told(emulator: Emulator) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, told.set)
    async with emulator:
        typer.echo(f"Gladia emulator listens on {emulator.url}")
        await told.wait()

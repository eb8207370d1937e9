"""The command line: ``realtime-core serve | demo | replay``."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from realtime_core import logs
from realtime_core.aio import STOP_SIGNALS, asked_to_stop
from realtime_core.app import running
from realtime_core.demo import run_demo
from realtime_core.errors import ConfigurationError
from realtime_core.replay import ReplayRequest, run_replay
from realtime_core.settings import Settings, load
from realtime_core.watchdog import watched_loop

EXIT_CONFIGURATION = 2
STOP_MARGIN_S = 10.0

app = typer.Typer(
    help="Live captions with speakers' names: RTMP in, WebSocket and PostgreSQL out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
log = logs.get_logger("cli")
console = Console(stderr=True, highlight=False)


@app.command()
def serve() -> None:
    """Run the service until SIGTERM or Ctrl-C; all settings come from the environment and `.env`.

    `.env.example` lists them. A first signal drains the sessions (STOP_GRACE_S), a second ends
    at once.
    """
    settings = _load()
    _allow_many_files()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(_run(_serve(settings)))


@app.command()
def demo(
    once: Annotated[bool, typer.Option(help="End after the sample conversation.")] = False,
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.")] = 8080,
) -> None:
    """Show the whole system on a sample conversation, on embedded parts; needs nothing else.

    A real PostgreSQL, a real FFmpeg and the real service run here. Gladia is the local
    emulator with a real recogniser, unless GLADIA_API_KEY is set. The last line of the
    output is one line of JSON with the counts.
    """
    sys.exit(_run(run_demo(once=once, port=port, console=console)))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording; anything FFmpeg reads.")],
    session: Annotated[str, typer.Option(help="Slug of the session to publish to.")],
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8080",
    speakers: Annotated[
        Path | None,
        typer.Option(help="JSON list of turns: identity, name, from, to (seconds)."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="What is said, as text; reports the word error rate.")
    ] = None,
    lead_ms: Annotated[
        int, typer.Option(help="How far speaker reports run ahead of the audio, as with egress.")
    ] = 2000,
    token: Annotated[
        str | None, typer.Option(envvar="REALTIME_TOKEN", help="A host's token, if needed.")
    ] = None,
) -> None:
    """Publish a recording as LiveKit Egress would, in real time, and report what came of it.

    Prints one line of JSON: finals, latency from the end of speech, and word error rate.
    """
    request = ReplayRequest(
        file=file,
        session_slug=session,
        url=url.rstrip("/"),
        speakers=speakers,
        reference=reference,
        lead_s=lead_ms / 1000,
        token=token,
    )
    sys.exit(_run(_ended_by_signals(run_replay(request, console))))


async def _serve(settings: Settings) -> int:
    asked = asked_to_stop()
    task = asyncio.current_task()
    assert task is not None
    async with watched_loop(settings.loop_stall_s), running(settings) as service:
        await asked.wait()
        # The platform kills what takes longer; the journal keeps what was not written.
        deadline_s = settings.stop_grace_s + STOP_MARGIN_S
        overdue = asyncio.get_running_loop().call_later(deadline_s, _give_up, task, deadline_s)
        await service.drain()
    overdue.cancel()
    return 0


def _give_up(task: asyncio.Task[int], deadline_s: float) -> None:
    log.error("Not stopped in time, what still runs is cut off", seconds=deadline_s)
    task.cancel()


async def _ended_by_signals(main: Awaitable[int]) -> int:
    """Run ``main``; a signal cancels it, so that it leaves nothing behind."""
    task = asyncio.ensure_future(main)
    for each in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(each, task.cancel)
    return await task


def _allow_many_files() -> None:
    """Raise the limit of open files as far as we may: each viewer is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit that it does not tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _load() -> Settings:
    try:
        return load()
    except ConfigurationError as exc:
        _complain(exc)


def _run(main: Coroutine[Any, Any, int]) -> int:
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(main)
    except ConfigurationError as exc:
        _complain(exc)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except OSError as exc:
        console.print(f"realtime-core: {exc}", markup=False, soft_wrap=True)
        return 1


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # no wheel for this platform
        return None
    return uvloop.new_event_loop


def _complain(error: ConfigurationError) -> NoReturn:
    for line in str(error).splitlines():
        console.print(f"realtime-core: {line}", markup=False, soft_wrap=True)
    raise typer.Exit(EXIT_CONFIGURATION) from None

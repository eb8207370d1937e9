"""The emulator as a whole: one port for HTTP and WebSocket.

It speaks Gladia Live v2 as a client sees it, see :mod:`gladia_emulator.routes`, and can be
broken on demand, see :mod:`gladia_emulator.faults` and :mod:`gladia_emulator.control`. It does
not call callbacks, detect languages, enhance audio or follow vocabularies; it accepts their
options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

from aiohttp import web

from gladia_emulator.control import ControlRoutes
from gladia_emulator.faults import ArmedFault, Fault, FaultBook, FaultName
from gladia_emulator.recognizer import Recognizer
from gladia_emulator.registry import Sessions
from gladia_emulator.routes import MOST_BODY_BYTES, LiveRoutes, in_envelope
from gladia_emulator.rules import Rules
from gladia_emulator.scripted import SCRIPT, ScriptedRecognizer
from gladia_emulator.session import LiveSession
from gladia_emulator.sphinx import SphinxRecognizer

SHUTDOWN_S = 1.0


class Emulator:
    """A local Gladia Live v2 for the length of an ``async with`` block.

    Args:
        recognizer: ``scripted``, ``pocketsphinx``, or one of your own.
        port: 0 takes a free one; :attr:`url` tells which.
        api_key: The only key that is let in.
        max_sessions: How many sessions may be open at once; one more gets 429.
        workers: Processes of the pocketsphinx recogniser.
        script: What the scripted recogniser says to speech, line by line.
        rules: The fields of :class:`~gladia_emulator.rules.Rules`.
    """

    def __init__(
        self,
        *,
        recognizer: str | Recognizer = "scripted",
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "emulator-key",
        max_sessions: int = 30,
        workers: int = 2,
        script: Sequence[str] = SCRIPT,
        **rules: Any,
    ) -> None:
        self.api_key, self.rules = api_key, Rules(**rules)
        self._host, self._port = host, port
        self._recognizer = _recognizer(recognizer, workers, script)
        self._faults = FaultBook()
        self._sessions = Sessions(self.rules, self._recognizer, self._faults, max_sessions)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._recognizer)
            runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.push_async_callback(self._hang_up)
            await web.TCPSite(runner, self._host, self._port).start()
            self._port = runner.addresses[0][1]
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int:
        """The port in use; it differs from the one asked for when that was 0."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients find it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def sessions(self) -> Mapping[str, LiveSession]:
        """Every session by id, ended ones included, oldest first."""
        return self._sessions

    @property
    def faults(self) -> FaultBook:
        """What is armed; to arm, use :meth:`fault`."""
        return self._faults

    def fault(
        self, fault: str | FaultName | Fault, *, session: str | None = None, **params: Any
    ) -> ArmedFault:
        """Let something go wrong from now on.

        Args:
            fault: A name from :mod:`gladia_emulator.faults`, or a whole fault.
            session: An id or ``sessionSlug``; None takes whichever comes first.
            params: Its parameters, ``times`` and ``after_bytes``.

        Returns:
            What tells how often it has struck.

        Raises:
            ValueError: There is no such fault, or it has no such parameter.
        """
        if not isinstance(fault, Fault):
            fault = Fault.model_validate({"name": fault, "session": session, **params})
        return self._arm(fault)

    def _arm(self, fault: Fault) -> ArmedFault:
        armed = self._faults.arm(fault)
        for session in self._sessions.live:
            session.strike()
        return armed

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[in_envelope], client_max_size=MOST_BODY_BYTES)
        LiveRoutes(self._sessions, self._faults, self.rules, self.api_key).add_to(app)
        ControlRoutes(self._sessions, self._faults, self._arm).add_to(app)
        return app

    async def _hang_up(self) -> None:
        for session in self._sessions.live:
            session.hang_up()
        await self._sessions.close()


def _recognizer(which: str | Recognizer, workers: int, script: Sequence[str]) -> Recognizer:
    if not isinstance(which, str):
        return which
    if which == "scripted":
        return ScriptedRecognizer(script)
    if which == "pocketsphinx":
        return SphinxRecognizer(workers)
    raise ValueError(f"no such recogniser: {which!r}")

"""The door to the WebSocket library: open a socket to the provider, name what went wrong.

A room sends and hears some fifty messages a second each way, and a task that wakes for each
of them costs more than the message. So no task does: :class:`ProviderSocket` calls its user
when something has come and when there is room for more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State
from websockets.typing import BytesLike

from realtime_core.errors import SttSessionLost, SttUnavailable
from realtime_core.stt.frames import FrameSplitter, binary_frame, text_of
from realtime_core.stt.verdicts import ABNORMAL_CLOSURE, SESSION_GONE

# Post-processing results of a long meeting exceed the library's 1 MiB, should they ever come.
MOST_MESSAGE_BYTES = 16 * 2**20
OPEN_TIMEOUT_S = 10.0
PING_EVERY_S = 20.0
CLOSE_TIMEOUT_S = 1.0
# What the kernel does not take stays in the timeline: there it is bounded, and can still go
# to another STT session. Not 0, by which TLS would take itself for full when it is empty.
WRITE_LIMIT_BYTES = 1
HEAD_END = b"\r\n\r\n"

# The library logs the request line, token and all, at debug level.
wire_log = logging.getLogger("realtime_core.stt.websockets")
wire_log.setLevel(logging.WARNING)


class _ConnectOnce(connect):
    """A connect that goes where it was told and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class SocketUser(Protocol):
    """Who talks over a socket. Both are called by the event loop, and must not wait."""

    def hear(self, message: BytesLike) -> None:
        """Take a message that has come."""

    def speak(self) -> None:
        """Send what there is to send, while :attr:`ProviderSocket.takes_audio`."""


class Nobody:
    """A user who is done: it hears nothing any more and says nothing."""

    def hear(self, message: BytesLike) -> None:
        """Throw it away."""

    def speak(self) -> None:
        """Keep silent."""


class ProviderSocket(ClientConnection):
    """A socket that calls its user instead of being waited at.

    What the user raises closes the socket, and is raised by :meth:`lost`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user: SocketUser | None = None
        self._early: list[BytesLike] = []
        self._fragments: list[BytesLike] = []
        self._frames = FrameSplitter(MOST_MESSAGE_BYTES)
        self._greeting = b""
        self._will_speak = False
        self._last_call: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None

    @property
    def takes_audio(self) -> bool:
        """Whether the socket is open and all that was written has left."""
        is_open = self.protocol.state is State.OPEN and not self.transport.is_closing()
        return is_open and not self.paused

    def serve(self, user: SocketUser) -> None:
        """Let ``user`` have what comes from now on, and what nobody has heard."""
        self._user = user
        early, self._early = self._early, []
        for message in early:
            self._hear(message)

    def speak_soon(self) -> None:
        """Call the user's ``speak`` before long: once, for all that gathers until then."""
        if not self._will_speak:
            self._will_speak = True
            self.loop.call_soon(self._speak)

    def write(self, chunk: bytes) -> None:
        """Send a binary message at once. Only while :attr:`takes_audio`."""
        self.transport.write(binary_frame(chunk, os.urandom(4)))

    async def lost(self) -> int:
        """Wait until there is no socket any more; return its close code, 1006 without one.

        Raises:
            Exception: What the user raised.
        """
        await self.wait_closed()
        if self._failure is not None:
            raise self._failure
        return ABNORMAL_CLOSURE if self.close_code is None else self.close_code

    # What the library calls.

    def data_received(self, data: bytes) -> None:
        """Give texts to the user at once, and everything else to the library."""
        protocol = self.protocol
        if protocol.state is State.CONNECTING:
            data = self._greet(data)
        for frame in self._frames.split(data):
            text = text_of(frame) if protocol.current_size is None else None
            if text is None or protocol.state is not State.OPEN:
                self._leave_to_the_library(frame)
            else:
                self._hear(text)

    def process_event(self, event: Any) -> None:
        """Let the user have messages; the rest is the library's."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif event.fin and not self._fragments:
            self._hear(event.data)
        else:
            self._fragments.append(event.data)
            if event.fin:
                fragments, self._fragments = self._fragments, []
                self._hear(b"".join(fragments))

    def resume_writing(self) -> None:
        """There is room again."""
        super().resume_writing()
        self.speak_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        super().connection_lost(exc)
        if self._last_call is not None:
            self._last_call.cancel()
        if self._user is not None:
            self._user = Nobody()  # who may hold this socket; they would wait for the collector

    def _greet(self, data: bytes) -> bytes:
        """Let the library read the answer to the handshake; return what has come behind it."""
        known, self._greeting = self._greeting, (self._greeting + data)[1 - len(HEAD_END) :]
        found_at = (known + data).find(HEAD_END)
        ends_at = len(data) if found_at < 0 else found_at + len(HEAD_END) - len(known)
        self._leave_to_the_library(data[:ends_at])
        if self.protocol.state is State.CONNECTING and data[ends_at:]:
            self._leave_to_the_library(data[ends_at:])  # the body of a refusal
            return b""
        return data[ends_at:]

    def _leave_to_the_library(self, data: bytes) -> None:
        super().data_received(data)
        if self.close_deadline is not None and self._last_call is None:
            # The library itself would wait for ever for the provider to hang up.
            self._last_call = self.loop.call_at(self.close_deadline, self.transport.abort)

    # What the user does.

    def _hear(self, message: BytesLike) -> None:
        if self._user is None:
            self._early.append(message)  # for a turn of the loop, until somebody serves
        else:
            self._do(self._user.hear, message)

    def _speak(self) -> None:
        self._will_speak = False
        if self._user is not None:
            self._do(self._user.speak)

    def _do(self, deed: Callable[..., None], *args: Any) -> None:
        """Let the user act; no loop's error handler knows what to do with what it raises."""
        try:
            deed(*args)
        except Exception as exc:  # noqa: BLE001 - lost() raises it
            self._failure = exc
            self._user = Nobody()
            self.transport.abort()


async def open_socket(url: str) -> ProviderSocket:
    """Open a socket to ``url``, whose token is kept out of every exception.

    Raises:
        SttSessionLost: This url will never work again.
        SttUnavailable: It may work later.
    """
    # Loading the certificates reads files.
    tls = await asyncio.to_thread(tls_context) if url.startswith("wss:") else None
    try:
        socket = await _ConnectOnce(
            url,
            create_connection=ProviderSocket,
            ssl=tls,
            compression=None,  # PCM does not shrink
            max_size=MOST_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=CLOSE_TIMEOUT_S,
            write_limit=WRITE_LIMIT_BYTES,
            proxy=None,
            logger=wire_log,
        )
    except websockets.InvalidStatus as exc:
        status = exc.response.status_code
        if status in SESSION_GONE:
            raise SttSessionLost(f"handshake refused with HTTP {status}") from None
        raise SttUnavailable(f"handshake refused with HTTP {status}") from None
    except (websockets.WebSocketException, OSError) as exc:
        # "from None": the text of some of them holds the url.
        raise SttUnavailable(f"no socket ({type(exc).__name__})") from None
    assert isinstance(socket, ProviderSocket)
    return socket


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context for every socket of the process."""
    return ssl.create_default_context()

"""The door to the WebSocket library: what is opened, and what its failures are called."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Frame, Opcode

from realtime_core.errors import SttSessionLost, SttUnavailable
from realtime_core.stt import websocket
from tests.eventually import eventually
from tests.stt.fake_gladia import FakeGladia
from tests.stt.raw_provider import RawProvider, serving


def _url(gladia: FakeGladia) -> str:
    return gladia.url.replace("http", "ws") + "/v2/live?token=secret-0"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_these_handshakes_mean_that_the_session_is_gone(
    gladia: FakeGladia, status: int
) -> None:
    gladia.refused_handshakes.append(status)
    with pytest.raises(SttSessionLost, match=str(status)):
        await websocket.open_socket(_url(gladia))


@pytest.mark.parametrize("status", [302, 400, 429, 500, 503])
async def test_these_do_not(gladia: FakeGladia, status: int) -> None:
    gladia.refused_handshakes.append(status)
    with pytest.raises(SttUnavailable, match=str(status)):
        await websocket.open_socket(_url(gladia))


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/?token=secret-0", "http://h/?token=secret-0"])
async def test_no_failure_tells_the_token(url: str) -> None:
    with pytest.raises(SttUnavailable) as caught:
        await websocket.open_socket(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


async def test_the_peers_certificate_is_checked(gladia: FakeGladia) -> None:
    # The fake speaks no TLS, so all that can be seen is that TLS is insisted on.
    with pytest.raises(SttUnavailable, match="SSLError"):
        await websocket.open_socket(_url(gladia).replace("ws:", "wss:"))
    assert websocket.tls_context().verify_mode is ssl.CERT_REQUIRED
    assert websocket.tls_context().check_hostname


# A socket that is open.


class User:
    """Notes what it hears, and says what it is told to."""

    def __init__(self, socket: websocket.ProviderSocket) -> None:
        self.socket = socket
        self.heard: list[bytes] = []
        self.turns = 0
        self.to_say: list[bytes] = []

    def hear(self, message: bytes | bytearray | memoryview) -> None:
        self.heard.append(bytes(message))

    def speak(self) -> None:
        self.turns += 1
        while self.to_say and self.socket.takes_audio:
            self.socket.write(self.to_say.pop(0))


class Clumsy(User):
    def hear(self, message: bytes | bytearray | memoryview) -> None:
        super().hear(message)
        raise ZeroDivisionError

    def speak(self) -> None:
        super().speak()
        raise ZeroDivisionError


@asynccontextmanager
async def _opened(provider: RawProvider) -> AsyncIterator[websocket.ProviderSocket]:
    async with serving(provider) as url:
        socket = await websocket.open_socket(url)
        try:
            yield socket
        finally:
            socket.transport.abort()
            await socket.wait_closed()


def _frames(*frames: Frame) -> bytes:
    return b"".join(frame.serialize(mask=False) for frame in frames)


CLOSED = Frame(Opcode.CLOSE, (4408).to_bytes(2, "big"))
SAID = [
    Frame(Opcode.TEXT, b"one"),
    Frame(Opcode.TEXT, b"tw", fin=False),
    Frame(Opcode.PING, b"?"),
    Frame(Opcode.CONT, b"o"),
    Frame(Opcode.TEXT, b"", fin=False),
    Frame(Opcode.CONT, b"three"),
    Frame(Opcode.BINARY, b"four"),
    Frame(Opcode.TEXT, b"5" * 300),
    Frame(Opcode.TEXT, b"6" * 70_000),
    CLOSED,
    Frame(Opcode.TEXT, b"after the end nothing is heard"),
]


@pytest.mark.parametrize("piece", [1, 7, 200, 10**6])
async def test_messages_are_heard_in_order_however_they_come(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.1)
    said = SAID if piece > 7 else [each for each in SAID if len(each.data) < 1_000]
    async with _opened(RawProvider(_frames(*said), piece)) as socket:
        user = User(socket)
        socket.serve(user)
        assert await socket.lost() == 4408
    heard = [b"one", b"two", b"three", b"four", b"5" * 300, b"6" * 70_000]
    assert user.heard == (heard if piece > 7 else heard[:-1])


@pytest.mark.parametrize("last", [_frames(CLOSED), b"\xff" * 12, b"\x81\x7f" + b"\xff" * 8])
async def test_a_provider_that_does_not_hang_up_is_not_waited_for(
    last: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_S", 0.01)
    async with _opened(RawProvider(last)) as socket:
        socket.serve(User(socket))
        assert await socket.lost() in (1006, 4408)
        assert not socket.takes_audio


async def test_all_that_gathers_in_a_turn_is_said_in_one() -> None:
    async with _opened(RawProvider()) as socket:
        user = User(socket)
        socket.serve(user)
        for _ in range(5):
            socket.speak_soon()
        await asyncio.sleep(0)
        assert user.turns == 1


async def test_what_the_peer_does_not_take_stays_with_the_user_until_it_does() -> None:
    provider = RawProvider()
    async with _opened(provider) as socket:
        user = User(socket)
        user.to_say = [bytes(2**18)] * 100
        socket.serve(user)
        socket.speak_soon()
        await eventually(lambda: user.turns and not socket.takes_audio)
        left = len(user.to_say)
        assert left > 20  # the rest is in the kernel, but for one message
        assert socket.transport.get_write_buffer_size() <= 2**18 + 14
        provider.may_read.set()
        await eventually(lambda: len(provider.heard) >= 100 * 2**18)
    assert not user.to_say


@pytest.mark.parametrize("behind", [b"", _frames(*SAID[:1], *SAID[:1])])
async def test_what_the_user_raises_ends_the_socket_and_is_raised(behind: bytes) -> None:
    async with _opened(RawProvider(behind)) as socket:
        user = Clumsy(socket)
        socket.serve(user)
        socket.speak_soon()
        with pytest.raises(ZeroDivisionError):
            await socket.lost()
        assert len(user.heard) + user.turns == 1

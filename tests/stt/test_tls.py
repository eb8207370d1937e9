"""The provider's socket over TLS, where the loop's transport buffers for itself."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop
from websockets.frames import Frame, Opcode

from realtime_core.errors import SttUnavailable
from realtime_core.stt import websocket
from tests.eventually import eventually
from tests.stt.raw_provider import RawProvider, serving

CHUNK = bytes(3200)
FRAME_BYTES = len(CHUNK) + 8
MOST_ON_THE_WAY = 64 * 2**20
"""More than any kernel takes for a peer that does not read."""
MOST_HELD = 2 * FRAME_BYTES + 1024
"""What may wait in the process: a chunk, perhaps once more as TLS records."""

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


class User:
    """Notes what it hears and counts when it may speak."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.turns = 0

    def hear(self, message: bytes | bytearray | memoryview) -> None:
        self.heard.append(bytes(message))

    def speak(self) -> None:
        self.turns += 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server shows whom the service trusts."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(websocket, "tls_context", lambda: trusting)
    return showing(authority.issue_cert("127.0.0.1"))


def showing(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@asynccontextmanager
async def opened(
    provider: RawProvider, tls: ssl.SSLContext
) -> AsyncIterator[websocket.ProviderSocket]:
    async with serving(provider, tls) as url:
        socket = await websocket.open_socket(url)
        try:
            yield socket
        finally:
            socket.transport.abort()
            await socket.wait_closed()


def play(story: Awaitable[None], loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def within() -> None:
        await story

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(within())


@pytest.mark.parametrize("loop", LOOPS)
def test_messages_come_and_audio_goes(
    server_tls: ssl.SSLContext, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    said = [b"one", b"2" * 70_000, b"three"]
    frames = b"".join(Frame(Opcode.TEXT, each).serialize(mask=False) for each in said)

    async def story() -> None:
        provider = RawProvider(frames, 5000)
        provider.may_read.set()
        async with opened(provider, server_tls) as socket:
            user = User()
            socket.serve(user)
            for _ in range(50):
                await eventually(lambda: socket.takes_audio)
                socket.write(CHUNK)
            await eventually(lambda: len(provider.heard) == 50 * FRAME_BYTES)
            await eventually(lambda: user.heard == said)

    play(story(), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_does_not_read_lets_little_wait_and_may_go_on(
    server_tls: ssl.SSLContext, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        provider = RawProvider()
        async with opened(provider, server_tls) as socket:
            user = User()
            socket.serve(user)
            sent = 0
            for _ in range(MOST_ON_THE_WAY // FRAME_BYTES):
                if not socket.takes_audio:
                    break
                socket.write(CHUNK)
                sent += FRAME_BYTES
                await asyncio.sleep(0)
            assert not socket.takes_audio
            assert socket.transport.get_write_buffer_size() <= MOST_HELD
            turns = user.turns
            provider.may_read.set()
            await eventually(lambda: user.turns > turns and socket.takes_audio)
            await eventually(lambda: len(provider.heard) == sent)

    play(story(), loop)


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_certificate_that_proves_nothing_is_refused_without_telling_the_token(
    server_tls: ssl.SSLContext, authority: trustme.CA, wrong: str
) -> None:
    if wrong == "name":
        shown = showing(authority.issue_cert("elsewhere.example"))
    else:
        shown = showing(trustme.CA().issue_cert("127.0.0.1"))
    async with serving(RawProvider(), shown) as url:
        with pytest.raises(SttUnavailable, match="SSLCertVerificationError") as caught:
            await websocket.open_socket(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))

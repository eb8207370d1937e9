"""The provider behind real TLS: as in the world, but for who signed its certificate."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
import uvloop
from structlog.testing import capture_logs

from realtime_core.errors import SttUnavailable
from realtime_core.stt import websocket
from tests.eventually import eventually
from tests.stt.fake_gladia import API_KEY, FakeGladia
from tests.stt.harness import bridged, speech
from tests.stt.raw_provider import RawProvider
from tests.stt.test_websocket import User

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
Loop = Callable[[], asyncio.AbstractEventLoop]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HOST = "127.0.0.1"
TOKEN = "secret-0"
CHUNK_BYTES, CHUNKS = 2**18, 100
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Have the process trust the authority, and no other, as operators can."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    websocket.tls_context.cache_clear()
    yield
    websocket.tls_context.cache_clear()


def on(loop: Loop, scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@asynccontextmanager
async def encrypted(serve: Serve, certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """Serve over TLS for the length of a block, which gets the url without its query."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    try:
        yield f"wss://{HOST}:{server.sockets[0].getsockname()[1]}/v2/live"
    finally:
        server.close()
        await server.wait_closed()


def in_front_of(gladia: FakeGladia) -> Serve:
    """Return what passes decrypted bytes on to the fake, and its answers back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = int(gladia.url.rsplit(":", 1)[1])
        behind = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_pass_on(reader, behind[1]), _pass_on(behind[0], writer))

    return serve


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def provider(certificate: trustme.LeafCert) -> AsyncIterator[FakeGladia]:
    """Run the fake, whose sockets are behind TLS, for the length of a block."""
    async with FakeGladia() as gladia, encrypted(in_front_of(gladia), certificate) as url:
        gladia.socket_url = url
        yield gladia


@pytest.mark.parametrize("loop", LOOPS)
def test_a_session_runs_over_tls(authority: trustme.CA, loop: Loop) -> None:
    async def scene() -> None:
        audio = speech(2.0)
        certificate = authority.issue_cert(HOST)
        async with provider(certificate) as gladia, bridged(gladia) as running:
            for at in range(0, len(audio), 640):
                running.bridge.send(audio[at : at + 640])
            session = await gladia.session()
            await session.heard(len(audio))
            await session.say("hello", 0.5, 1.0, final=True)
            await running.until(lambda: running.heard)
            await running.finish()
        assert bytes(session.audio) == audio
        assert [(each.text, each.is_final) for each in running.heard] == [("hello", True)]
        assert running.gaps == []

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_is_cut_costs_no_audio(authority: trustme.CA, loop: Loop) -> None:
    async def scene() -> None:
        audio = speech(2.0)
        certificate = authority.issue_cert(HOST)
        async with provider(certificate) as gladia, bridged(gladia) as running:
            running.bridge.send(audio[:32_000])
            session = await gladia.session()
            await session.heard(32_000)
            session.cut()
            running.bridge.send(audio[32_000:])
            await session.connected(2)
            await session.heard(len(audio))
            await running.finish()
        assert bytes(session.audio) == audio
        assert running.gaps == []

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_stalled_peer_does_not_take_stays_with_the_user(
    authority: trustme.CA, loop: Loop
) -> None:
    async def scene() -> None:
        stalled = RawProvider()
        async with encrypted(stalled.serve, authority.issue_cert(HOST)) as url:
            socket = await websocket.open_socket(f"{url}?token={TOKEN}")
            user = User(socket)
            user.to_say = [bytes(CHUNK_BYTES)] * CHUNKS
            socket.serve(user)
            socket.speak_soon()
            await eventually(lambda: user.turns and not socket.takes_audio)
            left = len(user.to_say)
            assert left > CHUNKS // 4  # the rest is in the kernels, but for one message
            assert socket.transport.get_write_buffer_size() <= 2 * CHUNK_BYTES
            stalled.may_read.set()
            await eventually(lambda: len(stalled.heard) >= CHUNKS * CHUNK_BYTES)
            assert user.to_say == []
            stalled.may_leave.set()
            socket.transport.abort()
            await socket.wait_closed()

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fault", ["unknown authority", "another host", "expired"])
def test_a_wrong_certificate_is_refused_and_no_failure_tells_the_token(
    authority: trustme.CA, fault: str, loop: Loop
) -> None:
    certificates = {
        "unknown authority": lambda: trustme.CA().issue_cert(HOST),
        "another host": lambda: authority.issue_cert("elsewhere.example"),
        "expired": lambda: authority.issue_cert(HOST, not_after=LONG_AGO),
    }

    async def scene() -> None:
        peer = RawProvider()
        async with encrypted(peer.serve, certificates[fault]()) as url:
            with pytest.raises(SttUnavailable, match="SSLCertVerificationError") as caught:
                await websocket.open_socket(f"{url}?token={TOKEN}")
        told = "".join(traceback.format_exception(caught.value))
        assert TOKEN not in told
        assert "wss:" not in told
        assert peer.heard == b""

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_log_says_what_is_wrong_and_neither_key_nor_url(
    authority: trustme.CA, loop: Loop
) -> None:
    async def scene() -> None:
        with capture_logs() as lines:
            async with provider(trustme.CA().issue_cert(HOST)) as gladia:
                async with bridged(gladia) as running:
                    running.bridge.send(speech(0.1))
                    await running.until(lambda: running.statuses)
                assert running.statuses[0] is False
                assert all(session.audio == b"" for session in gladia.sessions)
        told = repr(lines)
        assert "SSLCertVerificationError" in told
        for secret in (API_KEY, "secret-", "wss:"):
            assert secret not in told

    on(loop, scene)

"""The door to the WebSocket library: what is opened, and what its failures are called."""

from __future__ import annotations

import ssl
import traceback

import pytest

from realtime_core.errors import SttSessionLost, SttUnavailable
from realtime_core.stt import websocket
from tests.stt.fake_gladia import FakeGladia


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

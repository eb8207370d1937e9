"""The door to the WebSocket library: open a socket to the provider, name what went wrong."""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import cache

import websockets
from websockets.asyncio.client import ClientConnection, connect

from realtime_core.errors import SttSessionLost, SttUnavailable
from realtime_core.stt.verdicts import SESSION_GONE

# Post-processing results of a long meeting exceed the library's 1 MiB, should they ever come.
MOST_MESSAGE_BYTES = 16 * 2**20
OPEN_TIMEOUT_S = 10.0
PING_EVERY_S = 20.0
CLOSE_TIMEOUT_S = 1.0

# The library logs the request line, token and all, at debug level.
wire_log = logging.getLogger("realtime_core.stt.websockets")
wire_log.setLevel(logging.WARNING)


class _ConnectOnce(connect):
    """A connect that goes where it was told and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(url: str) -> ClientConnection:
    """Open a socket to ``url``, whose token is kept out of every exception.

    Raises:
        SttSessionLost: This url will never work again.
        SttUnavailable: It may work later.
    """
    # Loading the certificates reads files.
    tls = await asyncio.to_thread(tls_context) if url.startswith("wss:") else None
    try:
        return await _ConnectOnce(
            url,
            ssl=tls,
            compression=None,  # PCM does not shrink
            max_size=MOST_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=CLOSE_TIMEOUT_S,
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


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context for every socket of the process."""
    return ssl.create_default_context()

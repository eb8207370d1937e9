"""The service as a host, a participant and a viewer see it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from realtime_core.errors import ConfigurationError, RealtimeCoreError
from realtime_core.hub.wire import CloseCode
from realtime_core.replay.outcome import ReplayFailed

ANSWER_WITHIN_S = 60.0
"""A start waits for an earlier session of the same name to end."""
CONNECT_WITHIN_S = 10.0
STOP_WITHIN_S = 5.0
CLOSE_WITHIN_S = 2.0
HEARTBEAT_S = 15.0
# Refusals that pass by themselves.
TRANSIENT = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}


class Unreachable(ReplayFailed):
    """Nothing answers where the service should be."""


@dataclass(frozen=True, slots=True)
class Started:
    """A session that was asked for.

    Attributes:
        is_new: Whether it did not run before.
        is_unheard: Whether it had no audio yet, so that its clock begins with ours.
    """

    rtmp_url: str
    is_new: bool
    is_unheard: bool


class Service:
    """One session of a service. See :func:`connected`."""

    def __init__(self, http: aiohttp.ClientSession, url: str, slug: str, token: str | None) -> None:
        self._http, self._url, self._slug, self._token = http, url, slug, token

    async def start(self) -> Started:
        """Start the session.

        Raises:
            ConfigurationError: Nothing answers, something else does, or it was refused.
            ReplayFailed: It did not work this time.
        """
        try:
            status, answer = await self._post("realtime/transcribe/start", {})
        except Unreachable:
            raise ConfigurationError(
                f"no service answers at {self._url}; start it with: realtime-core serve"
            ) from None
        _check("to start the session", status, answer)
        try:
            unheard = answer["state"] == "waiting_for_egress"
            return Started(str(answer["rtmpUrl"]), status == HTTPStatus.CREATED, unheard)
        except (LookupError, TypeError):
            raise ConfigurationError(f"what answers at {self._url} is no realtime-core") from None

    async def stop(self) -> None:
        """Stop the session, if that works, and wait a little for its end."""
        with suppress(RealtimeCoreError, TimeoutError):
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._post("realtime/transcribe/stop", {})

    async def report_speaker(self, identity: str, name: str) -> bool:
        """Say who is speaking now; returns whether the session still runs.

        Raises:
            ConfigurationError: The token does not allow it, or the names are no names.
            ReplayFailed: It did not work this time.
        """
        body = {"identity": identity, "name": name, "timestamp": round(time.time() * 1000)}
        status, answer = await self._post("active-speaker", body)
        if status == HTTPStatus.NOT_FOUND:
            return False
        _check(f"the report that {name} speaks", status, answer)
        return True

    @asynccontextmanager
    async def viewer(self) -> AsyncIterator[ViewerSocket]:
        """Connect a viewer for the length of a block.

        Raises:
            ReplayFailed: The service does not let it.
        """
        query = {"sessionSlug": self._slug} | ({"token": self._token} if self._token else {})
        with _in_our_words(self._url):
            socket = await self._http.ws_connect(
                f"{self._url}/api/realtime/transcribe",
                params=query,
                max_msg_size=0,
                heartbeat=HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_WITHIN_S),
            )
        async with socket:
            yield ViewerSocket(socket)

    async def _post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return the status, and what the answer's JSON says; None if it is none."""
        url, whole = f"{self._url}/api/{path}", {"sessionSlug": self._slug, **body}
        with _in_our_words(self._url):
            async with self._http.post(url, json=whole, allow_redirects=False) as response:
                return response.status, _parsed(await response.read())


class ViewerSocket:
    """A viewer's connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def watch(self, take: Callable[[dict[str, Any], float], None]) -> None:
        """Hand each message, and when it came, to ``take`` until the session has ended.

        Raises:
            ReplayFailed: The connection ended for another reason.
        """
        clock = asyncio.get_running_loop().time
        while (message := await self._socket.receive()).type is aiohttp.WSMsgType.TEXT:
            try:
                take(json.loads(message.data), clock())
            except (ValueError, TypeError, LookupError) as exc:
                raise ReplayFailed(f"the service sent what is no message of ours: {exc!r}") from exc
        if self._socket.close_code != CloseCode.NORMAL:
            raise ReplayFailed(_goodbye(self._socket.close_code))


@asynccontextmanager
async def connected(url: str, slug: str, token: str | None) -> AsyncIterator[Service]:
    """Talk to the service at ``url`` for the length of a block; nothing is sent yet."""
    if token is not None and not token.isprintable():
        raise ConfigurationError("the token has characters in it that no token has")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
        yield Service(http, url, slug, token)


@contextmanager
def _in_our_words(url: str) -> Iterator[None]:
    """Name what the HTTP client raises."""
    try:
        yield
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise ConfigurationError(f"{url} is no URL; it looks like http://127.0.0.1:8080") from None
    except aiohttp.ClientConnectorError as exc:
        raise Unreachable(f"the service at {url} is gone: {exc.strerror}") from None
    except aiohttp.ClientResponseError as exc:
        # Its text would show the URL, with the token in it.
        raise ReplayFailed(f"the service at {url} answered with HTTP {exc.status}") from None
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise ReplayFailed(f"the service at {url} does not answer: {exc!r}") from exc


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _check(what: str, status: int, answer: Any) -> None:
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        reason = str(answer["error"]["message"])
    except (LookupError, TypeError):
        reason = f"HTTP {status}"
    passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in TRANSIENT
    raise (ReplayFailed if passing else ConfigurationError)(f"the service refused {what}: {reason}")


def _goodbye(code: int | None) -> str:
    known = {int(each): each.reason.decode() for each in CloseCode}
    reason = known.get(code or 0, "the connection was lost")
    return f"the service hung up on the viewer: {reason} ({code})"

"""The routes of Gladia Live v2: POST, WebSocket, GET, list, file, PATCH, DELETE."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from gladia_emulator import documents
from gladia_emulator.config import InvalidRequest, parse_request
from gladia_emulator.connection import CLOSE_TIMEOUT_S, MOST_FRAME_BYTES, Connection
from gladia_emulator.faults import Fault, FaultBook, FaultName
from gladia_emulator.registry import Sessions, TooManySessions
from gladia_emulator.rules import Rules
from gladia_emulator.session import LiveSession, State

PATH = "/v2/live"
MOST_BODY_BYTES = 1024 * 1024
MOST_METADATA_BYTES = 100_000
FIRST_PAGE, MOST_ITEMS = 20, 100


class Refusal(Exception):
    """A request is answered with an error."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        errors: list[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message or documents.MESSAGES.get(status, "Error")
        self.errors, self.headers = errors, headers


@web.middleware
async def in_envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error the service's envelope, and every answer a call id."""
    try:
        response = await handler(request)
    except Refusal as refusal:
        response = _enveloped(request, refusal)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        # The service knows no 405.
        response = _enveloped(request, Refusal(404, f"Cannot {request.method} {request.path}"))
    except web.HTTPRequestEntityTooLarge:
        response = _enveloped(request, Refusal(413))
    if not response.prepared:
        response.headers["x-aipi-call-id"] = str(uuid.uuid4())
    return response


class LiveRoutes:
    """The handlers, on the sessions they serve."""

    def __init__(self, sessions: Sessions, faults: FaultBook, rules: Rules, api_key: str) -> None:
        self._sessions, self._faults = sessions, faults
        self._rules, self._api_key = rules, api_key

    def add_to(self, app: web.Application) -> None:
        """Register the handlers."""
        app.add_routes(
            [
                web.post(PATH, self.post),
                web.get(PATH, self.socket_or_list),
                web.get(f"{PATH}/{{id}}", self.get),
                web.get(f"{PATH}/{{id}}/file", self.file),
                web.patch(f"{PATH}/{{id}}", self.patch),
                web.delete(f"{PATH}/{{id}}", self.delete),
            ]
        )

    async def post(self, request: web.Request) -> web.Response:
        """Open a session."""
        body = await request.read()
        await self._suffer(body)
        self._authorize(request)
        try:
            wanted = parse_request(body, request.query.get("region"))
            session = self._sessions.create(wanted)
        except InvalidRequest as exc:
            raise Refusal(400, exc.message, errors=exc.errors) from exc
        except TooManySessions as exc:
            raise Refusal(429, documents.too_many(self._sessions.most_live)) from exc
        url = f"ws://{request.host}{PATH}?token={session.token}"
        return web.json_response(documents.initiated(session, url), status=201)

    async def socket_or_list(self, request: web.Request) -> web.StreamResponse:
        """Serve a session's WebSocket, or list sessions."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        self._authorize(request)
        return self._list(request)

    async def get(self, request: web.Request) -> web.Response:
        """Show a session, with its result when it is done."""
        return web.json_response(documents.job(self._session(request)))

    async def file(self, request: web.Request) -> web.Response:
        """Return the beginning of a session's audio."""
        session = self._session(request)
        body = documents.wav(session.request, session.pcm)
        return web.Response(body=body, content_type="audio/wav")

    async def patch(self, request: web.Request) -> web.Response:
        """Attach metadata to a session."""
        session = self._session(request)
        body = await request.read()
        if len(body) > MOST_METADATA_BYTES:
            raise Refusal(413)
        match _json(body):
            case {"post_session_metadata": dict(metadata), **rest} if not rest:
                session.post_session_metadata = metadata
                return web.Response(status=204)
            case _:
                error = 'Field "post_session_metadata" must be an object, and the only field'
                raise Refusal(400, errors=[error])

    async def delete(self, request: web.Request) -> web.Response:
        """Forget a session that is done."""
        session = self._session(request)
        if session.state is not State.DONE:
            raise Refusal(403, "Job is not in a deletable state")
        self._sessions.delete(session)
        return web.Response(status=202)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        session = self._sessions.by_token(request.query.get("token", ""))
        if session is None or not session.admits:
            raise Refusal(403)
        if fault := session.take(FaultName.REFUSE_CONNECT):
            raise Refusal(fault.status or 403)
        if session.connected and self._rules.second_socket == "refuse":
            raise Refusal(409, "Session is already connected")
        # The library refuses frames of its limit already. Compression would only cost time.
        ws = web.WebSocketResponse(
            max_msg_size=MOST_FRAME_BYTES + 1, compress=False, timeout=CLOSE_TIMEOUT_S
        )
        await ws.prepare(request)
        # No isinstance: uvloop's transports are of no class of asyncio.
        await Connection(ws, cast(asyncio.Transport, request.transport)).run(session)
        return ws

    def _list(self, request: web.Request) -> web.Response:
        offset, limit = _number(request, "offset", 0), _number(request, "limit", FIRST_PAGE)
        statuses = request.query.getall("status", [])
        newest_first = sorted(self._sessions.values(), key=lambda each: -each.created_at)
        found = [each for each in newest_first if documents.matches(each, request.query, statuses)]
        page = found[offset : offset + min(limit, MOST_ITEMS)]
        following = offset + limit
        return web.json_response(
            {
                "first": str(request.url.update_query(offset=0)),
                "current": str(request.url),
                "next": str(request.url.update_query(offset=following))
                if following < len(found)
                else None,
                "items": [documents.job(each) for each in page],
            }
        )

    def _session(self, request: web.Request) -> LiveSession:
        self._authorize(request)
        session = self._sessions.get(request.match_info["id"])
        if session is None:
            raise Refusal(404)
        return session

    def _authorize(self, request: web.Request) -> None:
        key = request.headers.get("x-gladia-key")
        if not key:
            raise Refusal(401, documents.NO_KEY)
        if key != self._api_key:
            raise Refusal(401, documents.WRONG_KEY)

    async def _suffer(self, body: bytes) -> None:
        names = (_slug(body),)
        if fault := self._faults.take(FaultName.SLOW_POST, names):
            await asyncio.sleep(1.0 if fault.seconds is None else fault.seconds)
        if fault := self._faults.take(FaultName.REFUSE_POST, names):
            self._refuse(fault)

    def _refuse(self, fault: Fault) -> NoReturn:
        status = fault.status or 429
        usual = documents.too_many(self._sessions.most_live) if status == 429 else None
        wait_s = fault.retry_after_s
        headers = None if wait_s is None else {"Retry-After": f"{wait_s:g}"}
        raise Refusal(status, fault.message or usual, headers=headers)


def _enveloped(request: web.Request, refusal: Refusal) -> web.Response:
    body = documents.refusal(
        refusal.status,
        refusal.message,
        path=request.path,
        request_id=f"G-{uuid.uuid4().hex[:8]}",
        now=time.time(),
        errors=refusal.errors,
    )
    return web.json_response(body, status=refusal.status, headers=refusal.headers)


def _slug(body: bytes) -> str | None:
    match _json(body):
        case {"custom_metadata": {"sessionSlug": str(slug)}}:
            return slug
        case _:
            return None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _number(request: web.Request, name: str, usual: int) -> int:
    text = request.query.get(name, str(usual))
    if not text.isdecimal():
        raise Refusal(400, errors=[f'Field "{name}" must be a number, at least 0'])
    return int(text)

"""Stored finals as captions, and the endpoint that takes broadcasts from other services."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from realtime_core.access import Gate, Role
from realtime_core.errors import RequestError, StoreError
from realtime_core.hub import wire
from realtime_core.hub.rooms import Hub
from realtime_core.model import FinalRow
from realtime_core.registry import check_slug
from realtime_core.web.captions import CaptionFormat, render
from realtime_core.web.control import admit
from realtime_core.web.errors import read_json

MOST_ROWS = 20_000


class Finals(Protocol):
    """What captions need of the store."""

    async def finals(
        self, slug: str, *, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return a session's finals in the order they were spoken.

        Raises:
            StoreError: The database does not answer.
        """


class StoredRoutes:
    """``GET …/transcript``.

    Args:
        finals: Where stored finals are; None when nothing is stored.
        flush: Writes what is accepted and not yet stored, as far as it can.
    """

    def __init__(self, gate: Gate, finals: Finals | None, flush: Callable[[], Awaitable[object]]):
        self._gate, self._finals, self._flush = gate, finals, flush

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [web.get("/api/realtime/sessions/{slug}/transcript", self._transcript)]

    async def _transcript(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        check_slug(slug)
        admit(self._gate, request, slug, Role.VIEWER)
        caption_format, after = _format_of(request), _after_of(request)
        await self._flush()
        first = await self._read(slug, limit=1)
        if not first:
            raise RequestError(404, "unknown_session", "nothing is stored of such a session")
        rows = await self._read(slug, after=after, limit=MOST_ROWS)
        # A part of the captions counts from the same moment as the whole.
        content_type, body = render(rows, caption_format, origin=first[0].started_at)
        return web.Response(
            body=body.encode(),
            headers={
                "Content-Type": content_type,
                "Content-Disposition": f'inline; filename="{slug}.{caption_format.value}"',
            },
        )

    async def _read(self, slug: str, *, after: int | None = None, limit: int) -> Sequence[FinalRow]:
        if self._finals is None:
            raise RequestError(
                503, "storage_off", "this service stores nothing (DATABASE_URL=none)"
            )
        try:
            return await self._finals.finals(slug, after=after, limit=limit)
        except StoreError:
            raise RequestError(
                503, "storage_unavailable", "the database does not answer, try again"
            ) from None


def _format_of(request: web.Request) -> CaptionFormat:
    name = request.query.get("format", CaptionFormat.JSON.value)
    try:
        return CaptionFormat(name)
    except ValueError:
        names = ", ".join(each.value for each in CaptionFormat)
        raise RequestError(400, "invalid_request", f"one of {names}", "format") from None


def _after_of(request: web.Request) -> int | None:
    text = request.query.get("after")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RequestError(400, "invalid_request", "a whole number, 0 or more", "after")
    return int(text)


class BroadcastRoutes:
    """``POST /api/realtime/transcribe/broadcast``; closed unless a secret is set."""

    def __init__(self, hub: Hub, secret: str | None) -> None:
        self._hub, self._secret = hub, secret

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [web.post("/api/realtime/transcribe/broadcast", self._broadcast)]

    async def _broadcast(self, request: web.Request) -> web.Response:
        self._check_secret(request)
        payload = await read_json(request)
        slug = wire.parse_transcript(payload).session_slug
        delivered = self._hub.publish_payload(slug, payload)
        return web.json_response({"delivered": delivered}, status=202)

    def _check_secret(self, request: web.Request) -> None:
        if self._secret is None:
            raise RequestError(503, "closed", "set INTERNAL_SECRET to open this endpoint")
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        # Bytes, because comparing a non-ASCII str raises.
        if not hmac.compare_digest(shown.encode(), self._secret.encode()):
            raise RequestError(401, "unauthorized", "the internal secret is needed")

"""The endpoint that takes broadcasts from other services, and our own by HTTP."""

from __future__ import annotations

import hmac

from aiohttp import web

from realtime_core.errors import RequestError
from realtime_core.hub import wire
from realtime_core.hub.rooms import Hub
from realtime_core.web.bearer import bearer_of
from realtime_core.web.errors import read_json

# A final lists its words, each with the speaker's id: 120 of them can be more than 16 KiB.
MOST_BODY_BYTES = 1024 * 1024


class BroadcastRoutes:
    """``POST /api/realtime/transcribe/broadcast``; closed unless a secret is set."""

    def __init__(self, hub: Hub, secret: str | None) -> None:
        self._hub, self._secret = hub, secret

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [web.post("/api/realtime/transcribe/broadcast", self._broadcast)]

    async def _broadcast(self, request: web.Request) -> web.Response:
        self._check_secret(request)
        payload = await _read_large(request)
        slug = wire.parse_transcript(payload).session_slug
        delivered = self._hub.publish_payload(slug, payload)
        return web.json_response({"delivered": delivered}, status=202)

    def _check_secret(self, request: web.Request) -> None:
        if self._secret is None:
            raise RequestError(503, "closed", "set INTERNAL_SECRET to open this endpoint")
        # Bytes, because comparing a non-ASCII str raises.
        if not hmac.compare_digest(bearer_of(request).encode(), self._secret.encode()):
            raise RequestError(401, "unauthorized", "the internal secret is needed")


async def _read_large(request: web.Request) -> bytes:
    """Return the body, which may be larger than the application allows strangers.

    Raises:
        RequestError: 400, 413 or 415.
    """
    try:
        return await read_json(request.clone(client_max_size=MOST_BODY_BYTES))
    except web.HTTPRequestEntityTooLarge:
        raise RequestError(413, "too_large", "the body is larger than 1 MiB") from None

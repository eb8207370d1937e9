"""The HTTP application: all routes on one port, errors as JSON, bodies bounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from aiohttp import web
from aiohttp.typedefs import Middleware

from realtime_core.web.errors import errors_as_json
from realtime_core.web.pages import add_headers

MOST_BODY_BYTES = 16 * 1024


class Routes(Protocol):
    """A part that answers some paths."""

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""


def application(parts: Iterable[Routes], *middlewares: Middleware) -> web.Application:
    """Return the application that answers what ``parts`` answer."""
    app = web.Application(
        middlewares=[*middlewares, errors_as_json], client_max_size=MOST_BODY_BYTES
    )
    for part in parts:
        app.router.add_routes(part.routes())
    app.on_response_prepare.append(add_headers)
    return app

"""The viewer page, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from realtime_core.web.errors import NOT_FOUND

STATIC = Path(__file__).parent / "static"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:;"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ts": "text/plain",
}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Make browsers strict, and let nobody cache what the API says."""
    response.headers.update(HEADERS)
    cached = request.path.startswith("/static/")
    response.headers.setdefault("Cache-Control", "no-cache" if cached else "no-store")


class PageRoutes:
    """``/``, ``/s/{slug}`` and ``/static/``; the files are read once, when this is built."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [
            web.get("/", self._page),
            web.get("/s/{slug}", self._page),
            web.get("/static/{name}", self._file),
        ]

    async def _page(self, _request: web.Request) -> web.Response:
        return self._answer("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise NOT_FOUND
        return self._answer(name)

    def _answer(self, name: str) -> web.Response:
        content_type = TYPES[Path(name).suffix]
        return web.Response(body=self._files[name], content_type=content_type, charset="utf-8")


def static_files() -> dict[str, bytes]:
    """Read the page's files from the package."""
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in TYPES}

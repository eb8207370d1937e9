"""How the outside reaches this service: the URLs that start returns. Pure."""

from __future__ import annotations

from urllib.parse import quote

from realtime_core.access import rtmp_key

WEBSOCKET_PATH = "/api/realtime/transcribe"
WILDCARDS = ("0.0.0.0", "::")


def reachable(host: str) -> str:
    """Return how this machine reaches what listens on ``host``, ready for a URL."""
    if host in WILDCARDS:
        return "localhost"
    return f"[{host}]" if ":" in host else host


def rtmp_url(host: str, port: int, slug: str, key_secret: str | None) -> str:
    """Return where egress has to push ``slug``."""
    key = f"?key={rtmp_key(key_secret, slug)}" if key_secret else ""
    return f"rtmp://{reachable(host)}:{port}/live/{slug}{key}"


def websocket_url(base_url: str, slug: str) -> str:
    """Return where viewers of ``slug`` connect. ``base_url`` is http(s) without a path."""
    return f"ws{base_url.removeprefix('http')}{WEBSOCKET_PATH}?sessionSlug={quote(slug)}"


def addresses(host: str) -> list[str] | None:
    """Return the addresses to listen on; None means all, IPv4 and IPv6."""
    if host in WILDCARDS:
        return None
    return ["127.0.0.1", "::1"] if host == "localhost" else [host]

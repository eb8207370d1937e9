"""The token that a request shows."""

from __future__ import annotations

from aiohttp import web


def bearer_of(request: web.Request) -> str:
    """Return the bearer token of a request; empty when it shows none.

    Bytes that are no UTF-8 come as "?", so that the token can always be encoded.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":  # the scheme's case means nothing (RFC 9110, section 11.1)
        return ""
    # Such bytes are half surrogate pairs in aiohttp's headers.
    return token.strip().encode("utf-8", "replace").decode()

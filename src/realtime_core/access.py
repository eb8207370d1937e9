"""Who may do what: client tokens (HS256 JWTs, LiveKit's included) and RTMP keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import jwt

from realtime_core.errors import RequestError
from realtime_core.model import is_slug

LEEWAY_S = 30
ANY_SESSION = "*"


class Role(IntEnum):
    """What a client may do; each may do what the ones before it may."""

    VIEWER = 1
    SPEAKER = 2
    HOST = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is, once admitted.

    Attributes:
        sub: The user's identity; None when anybody is admitted.
    """

    sub: str | None
    name: str | None
    role: Role

    def may_speak_for(self, identity: str) -> bool:
        """Whether this client may report ``identity`` (``userId:sessionId``) as speaking."""
        if self.role >= Role.HOST:
            return True
        return self.sub is not None and self.sub in (identity, identity.split(":", 1)[0])

    def name_for(self, reported: str) -> str:
        """Return the name to show for a report: a speaker's is the one its token gives it."""
        return reported if self.role >= Role.HOST else self.name or reported


def name_to_show(who: Identity, identity: str | None, reported: str | None) -> str | None:
    """Return the name that a report of ``identity`` gives; nobody (None) has none.

    Raises:
        RequestError: 403, this client may not report it.
    """
    if identity is None:
        return None
    if not who.may_speak_for(identity):
        raise RequestError(403, "forbidden", "a speaker reports only itself", "identity")
    return who.name_for(reported or "") or None


ANYBODY = Identity(None, None, Role.HOST)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The keys that client tokens may be signed with."""

    secret: str | None = None
    livekit_key: str | None = None
    livekit_secret: str | None = None


class Gate:
    """Admits clients by their token, or anybody when it has no keys."""

    def __init__(self, keys: TokenKeys | None) -> None:
        self._keys = keys

    def admit(self, token: str | None, slug: str, role: Role) -> Identity:
        """Return who the token's bearer is.

        Raises:
            RequestError: 401 without a valid token, 403 when it does not cover ``slug``
                or ``role``.
        """
        if self._keys is None:
            return ANYBODY
        if not token:
            raise RequestError(401, "unauthorized", "a token is needed", "token")
        identity, session = self._read(token, self._keys)
        if session not in (slug, ANY_SESSION):
            raise RequestError(403, "forbidden", "the token is for another session", "token")
        if identity.role < role:
            raise RequestError(403, "forbidden", f"the role {role.name.lower()} is needed", "token")
        return identity

    def _read(self, token: str, keys: TokenKeys) -> tuple[Identity, str]:
        try:
            # Which key to check with; nothing else is believed before the signature holds.
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
            if keys.livekit_key and keys.livekit_secret and issuer == keys.livekit_key:
                return _of_livekit(_verified(token, keys.livekit_secret))
            if keys.secret:
                return _of_ours(_verified(token, keys.secret))
        except (jwt.PyJWTError, UnicodeError):  # half surrogate pairs come from bad bytes
            pass
        raise RequestError(401, "unauthorized", "the token is not valid", "token")


def _verified(token: str, secret: str) -> Mapping[str, Any]:
    claims: Mapping[str, Any] = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        leeway=LEEWAY_S,
        # LiveKit's own check would take a token without an expiry.
        options={"require": ["exp"], "verify_aud": False},
    )
    return claims


def _of_ours(claims: Mapping[str, Any]) -> tuple[Identity, str]:
    try:
        role = Role[str(claims["role"]).upper()]
    except KeyError:
        raise jwt.InvalidTokenError("no known role") from None
    session = _text(claims, "session")
    if session is None:
        raise jwt.InvalidTokenError("for no session")
    return Identity(_text(claims, "sub"), _text(claims, "name"), role), session


def _of_livekit(claims: Mapping[str, Any]) -> tuple[Identity, str]:
    grants = claims.get("video")
    if not isinstance(grants, Mapping):
        raise jwt.InvalidTokenError("no grants")
    room = _text(grants, "room") or ""
    # Room names are free text there: one called `*` must not mean any session here.
    if (
        not is_slug(room)
        or grants.get("roomJoin") is not True
        or grants.get("canSubscribe") is False
    ):
        raise jwt.InvalidTokenError("no grant to join a room")
    role = Role.HOST if grants.get("roomAdmin") is True else Role.SPEAKER
    return Identity(_text(claims, "sub"), _text(claims, "name"), role), room


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and value else None


def rtmp_key(secret: str, slug: str) -> str:
    """Return the key that a publisher of ``slug`` has to show."""
    return hmac.new(secret.encode(), slug.encode(), hashlib.sha256).hexdigest()[:32]


def is_rtmp_key(secret: str, slug: str, shown: str) -> bool:
    """Whether ``shown`` is the key of ``slug``; takes the same time for any answer."""
    return hmac.compare_digest(rtmp_key(secret, slug).encode(), shown.encode())

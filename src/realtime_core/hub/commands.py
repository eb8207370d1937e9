"""What clients send over the WebSocket, read strictly. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from realtime_core.errors import RequestError
from realtime_core.hub.wire import check_slug, reading

Slug = Annotated[str, Meta(max_length=128)]
Token = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class Command(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a client may send; the subclasses are the kinds there are."""


class Subscribe(Command, frozen=True, kw_only=True):
    """Send me this session's transcripts, those after ``since`` of the numbering ``epoch``."""

    session_slug: Slug
    since: Annotated[int, Meta(ge=0)] | None = None
    epoch: Annotated[str, Meta(max_length=64)] | None = None
    token: Token | None = None


class Start(Command, frozen=True, kw_only=True):
    """Start a session; ``options`` are the message's other fields, as they came."""

    session_slug: Slug
    token: Token | None = None
    options: dict[str, object]


class Stop(Command, frozen=True, kw_only=True):
    """End a session."""

    session_slug: Slug
    token: Token | None = None


class ActiveSpeaker(Command, frozen=True, kw_only=True):
    """``identity`` speaks now, or nobody; ``timestamp`` is by the client's own clock."""

    identity: Name | None
    name: Annotated[str, Meta(max_length=256)] | None = None
    timestamp: float | None = None


class Ping(Command, frozen=True, kw_only=True):
    """Are you there?"""


AnyCommand = Subscribe | Start | Stop | ActiveSpeaker | Ping
KINDS: Final[Mapping[str, type[AnyCommand]]] = {
    "subscribe": Subscribe,
    "start": Start,
    "stop": Stop,
    "active-speaker": ActiveSpeaker,
    "ping": Ping,
}


def parse(text: str) -> AnyCommand:
    """Read one message of a client.

    Raises:
        RequestError: 400; its code is :data:`wire.MALFORMED` when the text is no JSON.
    """
    fields = reading(lambda: msgspec.json.decode(text))
    if not isinstance(fields, dict):
        raise RequestError(400, "invalid_message", "a message is a JSON object")
    name = fields.pop("type", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise RequestError(400, "unknown_type", f"type is one of {', '.join(KINDS)}", "type")
    return _converted(_options_apart(fields) if kind is Start else fields, kind)


def parse_query(query: Mapping[str, str]) -> Subscribe | None:
    """Read a subscription from a query string; None when it names no session.

    Fields that are not ours are ignored: proxies add theirs.

    Raises:
        RequestError: 400.
    """
    if "sessionSlug" not in query:
        return None
    names = msgspec.structs.fields(Subscribe)
    ours = {
        each.encode_name: query[each.encode_name] for each in names if each.encode_name in query
    }
    subscribe = reading(lambda: msgspec.convert(ours, Subscribe, strict=False))
    check_slug(subscribe.session_slug)
    return subscribe


def _options_apart(fields: dict[str, object]) -> dict[str, object]:
    apart = {name: fields.pop(name) for name in ("sessionSlug", "token") if name in fields}
    return apart | {"options": fields}


def _converted(fields: dict[str, object], kind: type[AnyCommand]) -> AnyCommand:
    command: AnyCommand = reading(lambda: msgspec.convert(fields, kind))
    if isinstance(command, (Subscribe, Start, Stop)):
        check_slug(command.session_slug)
    return command

"""Which stream a publisher means: slug and arguments out of key, app and tcUrl. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from realtime_core.rtmp.amf import Value


@dataclass(frozen=True, slots=True)
class StreamName:
    """What a publish is called.

    Attributes:
        slug: Not yet checked against the form of slugs.
        args: The queries of key, app and tcUrl merged; the key's win.
    """

    slug: str
    app: str
    args: Mapping[str, str]


def stream_name(connect: Mapping[str, Value], key: str) -> StreamName:
    """Put together what ``connect`` and ``publish`` said.

    The query may stand in any of the three places: FFmpeg leaves it in the key, others in
    the app. With an empty key the last part of a two-part app is the name, which is what
    OBS sends when the whole URL was typed into its server field.
    """
    app, app_query = _split(_text(connect, "app"))
    tc_url = _text(connect, "tcUrl") or _text(connect, "tcurl")
    _, url_query = _split(tc_url.strip("\"'"))
    name, key_query = _split(key)
    app = app.strip("/")
    if not name and "/" in app:
        app, _, name = app.rpartition("/")
    args = {**_arguments(url_query), **_arguments(app_query), **_arguments(key_query)}
    return StreamName(unquote(name, errors="replace"), app, args)


def _text(properties: Mapping[str, Value], name: str) -> str:
    value = properties.get(name)
    return value if isinstance(value, str) else ""


def _split(text: str) -> tuple[str, str]:
    before, _, query = text.partition("?")
    return before, query


def _arguments(query: str) -> dict[str, str]:
    # Its size is bounded by that of a command message.
    return dict(parse_qsl(query, keep_blank_values=True, errors="replace"))

"""Stored finals as captions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from realtime_core.access import Gate, Role
from realtime_core.errors import RequestError, StoreError
from realtime_core.model import FinalRow
from realtime_core.registry import check_slug
from realtime_core.store.rows import StoredRun
from realtime_core.web.captions import CaptionFormat, render
from realtime_core.web.control import admit

MOST_ROWS = 10_000
"""Finals of one answer; about ten hours of speech, and some tens of megabytes."""
EPOCH = re.compile("[A-Za-z0-9_-]{1,64}")


class Finals(Protocol):
    """What captions need of the store; of a run they name, or of the session's last."""

    async def run(self, slug: str, *, epoch: str | None = None) -> StoredRun | None:
        """Return what is known of a run; None if nothing of it is stored.

        Raises:
            StoreError: The database does not answer.
        """

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return the ``limit`` finals of a run with the lowest ``seq`` greater than ``after``.

        Raises:
            StoreError: The database does not answer.
        """


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request asks for."""

    slug: str
    caption_format: CaptionFormat
    epoch: str | None
    after: int | None


class StoredRoutes:
    """``GET …/transcript``.

    Args:
        finals: Where stored finals are; None when nothing is stored.
        flush: Writes what is accepted and not yet stored, as far as it can.
        most_rows: Finals of one answer; it links to the next where there are more.
    """

    def __init__(
        self,
        gate: Gate,
        finals: Finals | None,
        flush: Callable[[], Awaitable[object]],
        *,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._gate, self._finals, self._flush = gate, finals, flush
        self._most_rows = most_rows

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [web.get("/api/realtime/sessions/{slug}/transcript", self._transcript)]

    async def _transcript(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        check_slug(slug)
        admit(self._gate, request, slug, Role.VIEWER)
        wanted = _Wanted(slug, _format_of(request), _epoch_of(request), _after_of(request))
        run, rows = await self._read(wanted)
        page = _lowest(rows, self._most_rows)
        # Not on the loop: ten thousand finals take seconds.
        content_type, body = await asyncio.to_thread(
            _captions, page, wanted.caption_format, run.began_at
        )
        headers = {
            "Content-Type": content_type,
            "Content-Disposition": f'inline; filename="{slug}.{wanted.caption_format.value}"',
        }
        if len(page) < len(rows):
            headers["Link"] = _link_to_next(wanted, run, page)
        return web.Response(body=body, headers=headers)

    async def _read(self, wanted: _Wanted) -> tuple[StoredRun, Sequence[FinalRow]]:
        """Return the run and its finals, one more than an answer holds if there are more."""
        if self._finals is None:
            raise RequestError(
                503, "storage_off", "this service stores nothing (DATABASE_URL=none)"
            )
        await self._flush()
        try:
            run = await self._finals.run(wanted.slug, epoch=wanted.epoch)
            if run is None:
                raise RequestError(404, "unknown_session", "nothing is stored of such a session")
            # Named, because another run may begin in between.
            rows = await self._finals.finals(
                wanted.slug, epoch=run.epoch, after=wanted.after, limit=self._most_rows + 1
            )
        except StoreError:
            raise RequestError(
                503, "storage_unavailable", "the database does not answer, try again"
            ) from None
        return run, rows


def _captions(
    rows: Sequence[FinalRow], caption_format: CaptionFormat, origin: float | None
) -> tuple[str, bytes]:
    content_type, body = render(rows, caption_format, origin=origin)
    return content_type, body.encode()


def _lowest(rows: Sequence[FinalRow], most_rows: int) -> Sequence[FinalRow]:
    """Return the rows without the one of the highest number, if they are one too many."""
    if len(rows) <= most_rows:
        return rows
    highest = max(row.seq for row in rows)
    return [row for row in rows if row.seq != highest]


def _link_to_next(wanted: _Wanted, run: StoredRun, page: Sequence[FinalRow]) -> str:
    after = max(row.seq for row in page)
    query = f"format={wanted.caption_format.value}&epoch={run.epoch}&after={after}"
    return f'<?{query}>; rel="next"'


def _format_of(request: web.Request) -> CaptionFormat:
    name = request.query.get("format", CaptionFormat.JSON.value)
    try:
        return CaptionFormat(name)
    except ValueError:
        names = ", ".join(each.value for each in CaptionFormat)
        raise RequestError(400, "invalid_request", f"one of {names}", "format") from None


def _epoch_of(request: web.Request) -> str | None:
    text = request.query.get("epoch")
    if text is not None and not EPOCH.fullmatch(text):
        raise RequestError(
            400, "invalid_request", "1 to 64 letters, digits, - or _, as in ready", "epoch"
        )
    return text


def _after_of(request: web.Request) -> int | None:
    text = request.query.get("after")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RequestError(400, "invalid_request", "a whole number, 0 or more", "after")
    return int(text)

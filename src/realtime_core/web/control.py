"""Starting and stopping sessions, speaker reports, and what is known of sessions."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from realtime_core.access import Gate, Identity, Role, name_to_show
from realtime_core.hub.rooms import Hub
from realtime_core.logs import get_logger
from realtime_core.model import ROOM_SPEAKER, SLUG, SessionOptions, SpeakerReport
from realtime_core.registry import Registry
from realtime_core.session import Session
from realtime_core.web.bearer import bearer_of
from realtime_core.web.errors import Body, parse_body, read_body

# Control characters, and those that turn the direction of what follows.
UNSEEMLY = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


LEAST_UNIX_MS = 1e11
"""In 1973; what is less are seconds, or some other clock."""


def _seemly(name: str) -> str:
    name = UNSEEMLY.sub("", name).strip()
    if not name:
        raise ValueError("is blank")
    return name


Slug = Annotated[str, Field(pattern=f"^{SLUG.pattern}$")]
Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_seemly)]
Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
Term = Annotated[str, Field(min_length=1, max_length=100)]

log = get_logger("web")


class StartBody(Body):
    """What start may say beside the slug; it overrides the service's settings."""

    session_slug: Slug
    language: Language | None = None
    languages: Annotated[tuple[Language, ...], Field(max_length=20, strict=False)] = ()
    vocabulary: Annotated[tuple[Term, ...], Field(max_length=200, strict=False)] = ()

    def options(self) -> SessionOptions:
        """Return this as the session wants it."""
        languages = (self.language,) if self.language else self.languages
        return SessionOptions(languages, self.vocabulary)


class StopBody(Body):
    """Which session to stop."""

    session_slug: Slug


class SpeakerBody(Body):
    """Who is speaking now, as one client sees it; ``identity`` is null when nobody is.

    ``timestamp`` is the client's clock in Unix milliseconds. It may be wrong by minutes; what
    cannot be Unix milliseconds is not used, and the report is dated by its arrival.
    """

    session_slug: Slug
    identity: Name | None
    name: Annotated[Name | None, Field(validate_default=True)] = None
    timestamp: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _nobody_has_no_name(cls, fields: object) -> object:
        if isinstance(fields, dict) and fields.get("identity", "") is None:
            return {key: value for key, value in fields.items() if key != "name"}
        return fields

    @field_validator("identity")
    @classmethod
    def _nobody_is_the_room(cls, identity: str | None) -> str | None:
        if identity == ROOM_SPEAKER:
            raise ValueError(f"'{ROOM_SPEAKER}' stands for nobody who is known")
        return identity

    @field_validator("name")
    @classmethod
    def _somebody_has_a_name(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("identity") is not None:
            raise ValueError("Field required")
        return name

    def report(self, client: str, *, is_own: bool) -> SpeakerReport:
        """Return this as the session wants it; ``client`` says whose clock it is by."""
        ts = self.timestamp
        said_at = ts / 1000 if ts is not None and ts > LEAST_UNIX_MS else None
        return SpeakerReport(self.identity, self.name or "", client, said_at, is_own)


@dataclass(frozen=True, slots=True)
class Urls:
    """How the outside reaches this service."""

    rtmp: Callable[[str], str]
    websocket: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Control:
    """The actions behind the HTTP routes and the WebSocket messages of the same names."""

    registry: Registry
    hub: Hub
    urls: Urls

    async def start(self, slug: str, options: Mapping[str, object]) -> tuple[dict[str, Any], bool]:
        """Start a session; return what the caller needs to publish and watch, and if it is new.

        Raises:
            RequestError: It cannot start.
        """
        body = parse_body({"sessionSlug": slug, **options}, StartBody)
        log.info("Received transcription start request", session=slug)
        session, is_new = await self.registry.start(slug, body.options())
        answer = {
            "sessionSlug": slug,
            "state": session.state.value,
            "rtmpUrl": self.urls.rtmp(slug),
            "websocketUrl": self.urls.websocket(slug),
        }
        return answer, is_new

    async def stop(self, slug: str) -> dict[str, Any]:
        """Stop a session and return its counts once it has drained.

        Raises:
            RequestError: There is no such session.
        """
        log.info("Received transcription stop request", session=slug)
        session = await self.registry.stop(slug)
        return self.describe(session)

    def report_speaker(
        self, slug: str, report: Mapping[str, object], client: str, *, is_own: bool = False
    ) -> None:
        """Note who is speaking, as ``client`` sees it; ``is_own``: it may see only itself.

        Raises:
            RequestError: There is no such session, or the report is malformed.
        """
        body = parse_body({"sessionSlug": slug, **report}, SpeakerBody)
        self.registry.find(slug).report_speaker(body.report(client, is_own=is_own))

    def describe(self, session: Session) -> dict[str, Any]:
        """Return the state and the counters of a session."""
        last = session.tally.last_transcript_at
        age_s = None if last is None else round(asyncio.get_running_loop().time() - last, 3)
        return {
            "sessionSlug": session.slug,
            "state": session.state.value,
            "epoch": session.epoch,
            "startedAt": round(session.created_at * 1000),
            "ageSeconds": round(time.time() - session.created_at, 3),
            "audioBytesReceived": session.audio_bytes_received,
            "audioBytesSent": session.audio_bytes_sent,
            "publishes": session.publishes,
            "drafts": session.tally.drafts,
            "finals": session.tally.finals,
            "viewers": self.hub.viewers(session.slug),
            "lastTranscriptAgeSeconds": age_s,
            "speakerLagMs": round(session.speaker_lag.lag_s * 1000),
            "speakerLagConfidence": round(session.speaker_lag.confidence, 3),
            "failure": session.failure,
        }


class ControlRoutes:
    """The HTTP routes of :class:`Control`."""

    def __init__(self, control: Control, gate: Gate) -> None:
        self._control, self._gate = control, gate

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [
            web.post("/api/realtime/transcribe/start", self._start),
            web.post("/api/realtime/transcribe/stop", self._stop),
            web.post("/api/active-speaker", self._active_speaker),
            web.get("/api/realtime/sessions", self._list),
            web.get("/api/realtime/sessions/{slug}", self._show),
        ]

    async def _start(self, request: web.Request) -> web.Response:
        body = await read_body(request, StartBody)
        admit(self._gate, request, body.session_slug, Role.HOST)
        options = body.model_dump(by_alias=True, exclude_unset=True, exclude={"session_slug"})
        answer, is_new = await self._control.start(body.session_slug, options)
        return web.json_response(answer, status=201 if is_new else 200)

    async def _stop(self, request: web.Request) -> web.Response:
        body = await read_body(request, StopBody)
        admit(self._gate, request, body.session_slug, Role.HOST)
        return web.json_response(await self._control.stop(body.session_slug))

    async def _active_speaker(self, request: web.Request) -> web.Response:
        body = await read_body(request, SpeakerBody)
        who = admit(self._gate, request, body.session_slug, Role.SPEAKER)
        report = body.model_dump(by_alias=True, exclude={"session_slug"})
        report["name"] = name_to_show(who, body.identity, body.name)
        self._control.report_speaker(
            body.session_slug, report, _client_of(request, who), is_own=who.role < Role.HOST
        )
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        admit(self._gate, request, "*", Role.VIEWER)
        sessions = [self._control.describe(session) for session in self._control.registry]
        return web.json_response({"sessions": sessions})

    async def _show(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        admit(self._gate, request, slug, Role.VIEWER)
        session = self._control.registry.find(slug)
        return web.json_response(self._control.describe(session))


def _client_of(request: web.Request, who: Identity) -> str:
    """Return what tells the clocks of reporting clients apart, also behind one proxy."""
    headers = request.headers
    parts = (request.remote, headers.get("X-Forwarded-For"), headers.get("User-Agent"))
    return who.sub or " ".join(part or "" for part in parts)


def admit(gate: Gate, request: web.Request, slug: str, role: Role) -> Identity:
    """Return who asks, by the bearer token of the request.

    Raises:
        RequestError: 401 or 403.
    """
    return gate.admit(bearer_of(request), slug, role)

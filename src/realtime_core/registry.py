"""The sessions: start, find, admit a publisher, stop, expire."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from realtime_core.access import is_rtmp_key
from realtime_core.aio import TaskSet
from realtime_core.capacity import Capacity
from realtime_core.errors import RequestError
from realtime_core.lifecycle import Signal, allows
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import (
    AudioTag,
    PublishEnd,
    SessionOptions,
    SessionRecord,
    SessionState,
    is_slug,
)
from realtime_core.rtmp.server import Publish, PublishRequest, Refusal
from realtime_core.session import Session

WATCH_EVERY_S = 5.0
TRY_AGAIN_S = 10
"""What callers are told to wait when the process is full: as far as it looks back."""

log = get_logger("registry")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the registry allows.

    Attributes:
        rtmp_key_secret: When set, a publish has to show its key.
        keeps_sessions: Whether the next process will know the sessions of this one.
    """

    max_sessions: int = 100
    auto_start: bool = False
    rtmp_key_secret: str | None = None
    stop_timeout_s: float = 30.0
    keeps_sessions: bool = True


@dataclass
class Registry:
    """All sessions of this process; the host of the RTMP server.

    Args:
        build: Makes a session of its record; it is run here.
        opened, closed: Told when a session begins and when it is gone.
        capacity: Says whether the process can take another session.

    Attributes:
        is_closing: Whether the service shuts down, and nothing starts any more.
    """

    build: Callable[[SessionRecord], Session]
    opened: Callable[[Session], None]
    closed: Callable[[Session], None]
    metrics: Metrics
    rules: Rules = field(default_factory=Rules)
    capacity: Capacity = field(default_factory=Capacity)
    _sessions: dict[str, Session] = field(default_factory=dict)
    _tasks: TaskSet = field(default_factory=lambda: TaskSet("sessions"))
    is_closing: bool = False

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def find(self, slug: str) -> Session:
        """Return a running session.

        Raises:
            RequestError: 404, there is none of this name.
        """
        try:
            return self._sessions[slug]
        except KeyError:
            raise RequestError(
                404, "unknown_session", "no such session is running", "sessionSlug"
            ) from None

    async def start(self, slug: str, options: SessionOptions | None = None) -> tuple[Session, bool]:
        """Return the session of this name and whether it is new.

        One that is draining is waited for; then a new one starts.

        Raises:
            RequestError: 400 bad slug, 409 still draining, 503 full or shutting down.
        """
        check_slug(slug)
        running = self._sessions.get(slug)
        if running is not None and running.state in (SessionState.DRAINING, SessionState.ENDED):
            if not await self._has_ended(running):
                raise RequestError(409, "draining", "the session is still ending, try again")
            running = self._sessions.get(slug)
        if running is not None:
            return running, False
        return self._start(slug, options or SessionOptions()), True

    def restore(self, records: Iterable[SessionRecord]) -> None:
        """Go on with what an earlier process left: its publishers and viewers are coming back."""
        for record in records:
            session = self._run_session(record)
            self.metrics.sessions_restored.inc()
            log.info("Session restored", session=session.slug, state=session.state.value)

    async def stop(self, slug: str) -> Session:
        """Stop a session and return it once it has drained, or after a bound.

        Raises:
            RequestError: 404, there is none of this name.
        """
        session = self.find(slug)
        session.stop()
        if not await self._has_ended(session):
            log.warning("Session still drains", session=slug)
        return session

    async def drain(self, timeout_s: float) -> None:
        """Suspend all sessions, in parallel, and end those that are not done in time.

        Where the next process will not know them, they are stopped. Nothing can start any more.
        """
        self.is_closing = True
        for session in self:
            if self.rules.keeps_sessions:
                session.suspend()
            else:
                session.stop()
        waits = [asyncio.ensure_future(session.wait_ended()) for session in self]
        if waits:
            _, late = await asyncio.wait(waits, timeout=timeout_s)
            for wait in late:
                wait.cancel()
            if late:
                log.error("Sessions did not drain in time", count=len(late))
        await self._tasks.close()

    async def watch(self) -> None:
        """Warn, for as long as it runs, of sessions in which something is missing."""
        warned: set[str] = set()  # by epoch
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            warned = self._look(warned)

    def _look(self, warned: set[str]) -> set[str]:
        """Look at each session once; return those in which speech leads to nothing."""
        now = asyncio.get_running_loop().time()
        unheard = set()
        for session in self:
            session.look()
            if not session.is_unheard(now):
                continue
            unheard.add(session.epoch)
            if session.epoch not in warned:
                log.warning(
                    "No transcript although speech arrives",
                    session=session.slug,
                    seconds=round(session.quiet_for_s(now) or 0),
                )
        return unheard

    def refresh_metrics(self) -> None:
        """Bring the gauges that describe sessions up to now."""
        now = asyncio.get_running_loop().time()
        states = [session.state for session in self]
        for state in SessionState:
            self.metrics.sessions.labels(state.value).set(states.count(state))
        quiet = [session.quiet_for_s(now) or 0.0 for session in self]
        self.metrics.quietest_seconds.set(max(quiet, default=0.0))

    # The RTMP server's hooks.

    def pre_connect(self, peer: str) -> None:
        """A client connected; nothing is known of it yet."""

    def post_connect(self, peer: str, app: str) -> None:
        """A client finished RTMP's connect."""

    def pre_publish(self, request: PublishRequest) -> Refusal | None:
        """Decide whether a publish may begin."""
        secret = self.rules.rtmp_key_secret
        # The key first: without it nobody learns which sessions exist.
        if secret and not is_rtmp_key(secret, request.slug, request.args.get("key", "")):
            return Refusal.UNAUTHORIZED
        session = self._sessions.get(request.slug)
        if session is not None:
            return None if allows(session.state, Signal.PUBLISHED) else Refusal.BUSY
        if self.is_closing:
            return Refusal.SHUTTING_DOWN
        if not self.rules.auto_start:
            return Refusal.UNKNOWN_STREAM
        return Refusal.BUSY if self._refusal() else None

    def post_publish(self, publish: Publish) -> None:
        """A publish began: its session goes live."""
        session = self._sessions.get(publish.slug)
        if session is None and self.rules.auto_start and self._refusal() is None:
            session = self._start(publish.slug, SessionOptions())
        if session is None or not allows(session.state, Signal.PUBLISHED):
            publish.close(PublishEnd.STOPPED)  # it ended since the publish was admitted
        else:
            session.publish_started(publish)

    def audio(self, publish: Publish, tag: AudioTag) -> None:
        """A publish sent audio."""
        session = self._sessions.get(publish.slug)
        if session is not None:
            session.audio(publish, tag)

    def done_publish(self, publish: Publish, end: PublishEnd) -> None:
        """A publish ended."""
        session = self._sessions.get(publish.slug)
        if session is not None:
            session.publish_ended(publish, end)

    def _start(self, slug: str, options: SessionOptions) -> Session:
        if self.is_closing:
            raise RequestError(503, "shutting_down", "the service is shutting down, try again")
        if (refusal := self._refusal()) is not None:
            self.metrics.starts_refused.labels(refusal.code).inc()
            raise refusal
        # It opens the numbering anew: viewers of an earlier run must not resume into it.
        epoch = secrets.token_hex(8)
        return self._run_session(SessionRecord(slug, epoch, options, created_at=time.time()))

    def _run_session(self, record: SessionRecord) -> Session:
        session = self._sessions[record.slug] = self.build(record)
        self.opened(session)
        _ = self._tasks.start(self._run(session), record.slug)
        return session

    def _refusal(self) -> RequestError | None:
        """Return what a caller is told when there is no room for another session."""
        most, shortage = self.rules.max_sessions, self.capacity.shortage()
        if len(self._sessions) >= most:
            code, reason = "too_many_sessions", f"all {most} sessions are in use"
        elif shortage is not None:
            code = "overloaded"
            reason = f"the service is full (short of {shortage.value}), try again or elsewhere"
        else:
            return None
        return RequestError(503, code, reason, retry_after_s=TRY_AGAIN_S)

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.slug]
            self.metrics.sessions_ended.labels(_outcome(session)).inc()
            self.closed(session)

    async def _has_ended(self, session: Session) -> bool:
        """Wait for a session to be over; return whether it is, after a bound."""
        try:
            async with asyncio.timeout(self.rules.stop_timeout_s):
                await session.wait_ended()
        except TimeoutError:
            return False
        return True


def _outcome(session: Session) -> str:
    if session.is_suspended:
        return "suspended"
    return "failed" if session.failure else "ended"


def check_slug(slug: str) -> None:
    """Refuse a name that cannot name a session.

    Raises:
        RequestError: 400.
    """
    if not is_slug(slug):
        raise RequestError(
            400,
            "invalid_slug",
            "a session slug is 1 to 128 letters, digits, - or _, and begins with a letter or digit",
            "sessionSlug",
        )

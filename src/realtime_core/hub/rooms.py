"""The hub: who listens to which session, and one pass over them per message.

Nothing here waits; a pass over a large crowd goes on in later turns of the loop. A message is
encoded once and framed once, and every listener gets the same bytes. A listener that does not
take them loses drafts, then its connection; why so is in
``docs/decisions/0004-the-hub-hangs-up-on-slow-viewers.md``.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import islice

import msgspec
from msgspec import UNSET, Raw

from realtime_core.errors import RequestError
from realtime_core.hub import wire
from realtime_core.hub.cohort import Listener
from realtime_core.hub.crowd import Broadcast, Crowd
from realtime_core.hub.replay import CatchUp, Entry, Lack, Older, Replay
from realtime_core.hub.wire import CloseCode
from realtime_core.metrics import Metrics
from realtime_core.model import AudioGap, SessionState, Transcript

__all__ = ["Hub", "Listener"]

FAREWELLS = 25
"""Viewers hung up on in one turn when a session ends: each wakes its task, for some 60 µs."""


class Room:
    """One session's listeners and what they are given when they come."""

    def __init__(self, slug: str, replay: Replay, state: SessionState) -> None:
        self.slug, self.replay, self.state = slug, replay, state
        self.crowd = Crowd()
        # Whoever posts to it numbers and stores it elsewhere: our table cannot be relied on.
        self.is_posted_to = False

    def greet(self, listener: Listener, limit: int, catch_up: CatchUp) -> None:
        """Write ``ready`` and count the listener in."""
        ready = wire.ReadyMessage(
            session_slug=self.slug,
            state=self.state.value,
            epoch=self.replay.epoch,
            seq=catch_up.seq,
            drafts=[Raw(payload) for payload in catch_up.drafts],
            history=[Raw(payload) for payload in catch_up.history],
            recovered=UNSET if catch_up.recovered is None else catch_up.recovered,
        )
        # Its limit grows by that: a long history must not make a newcomer slow from the start.
        self.crowd.welcome(listener, wire.frame(ready.encode()), limit)


class Hub:
    """Every session's room. All methods return at once.

    Args:
        viewer_buffer_bytes: What may wait for one viewer, beside its ``ready``, before it
            gets nothing more. So a viewer that does not read costs this and one message, or
            some that were written together.
        history_size: Finals kept per session for late comers.
        posts_are_ours: Whether what is posted to us comes from ourselves, and so is in our table.

    Attributes:
        is_closing: Whether the service shuts down: a session that is gone goes on elsewhere.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        viewer_buffer_bytes: int = 262_144,
        history_size: int = 200,
        posts_are_ours: bool = False,
    ) -> None:
        self.is_closing = False
        self._metrics, self._posts_are_ours = metrics, posts_are_ours
        self._limit, self._history_size = viewer_buffer_bytes, history_size
        self._rooms: dict[str, Room] = {}
        # Closed, and not everybody has been hung up on; with what those are to be.
        self._ending: dict[Room, CloseCode] = {}

    def open(self, slug: str, epoch: str, state: SessionState, *, seq: int = 0) -> None:
        """Make a room for a session that starts; nothing changes if it has this epoch.

        The room of an earlier epoch has to be closed before.

        Args:
            seq: The number that an earlier process gave last.
        """
        room = self._rooms.get(slug)
        if room is None:
            replay = Replay(epoch, history_size=self._history_size, seq=seq)
            self._rooms[slug] = Room(slug, replay, state)
        else:
            assert room.replay.epoch == epoch, f"{slug} is still open in another epoch"

    def publish(self, transcript: Transcript) -> int:
        """Send a draft or final to its session's viewers; return how many it reached.

        Of a large crowd it reaches most in later turns; those are taken to keep up.
        """
        room = self._rooms.get(transcript.session_slug)
        if room is None:
            return 0
        # What others post is theirs to count; it may even be what we posted to ourselves.
        self._metrics.count_transcript(is_final=transcript.is_final)
        message = wire.transcript_message(transcript, sent_at_ms=time.time_ns() // 1_000_000)
        return self._deliver(
            room, message, transcript.seq, transcript.rev, came_in_at=transcript.received_at
        )

    def publish_payload(self, slug: str, payload: bytes) -> int:
        """Send a transcript that another service posted; return how many viewers it reached.

        A repeat (same utterance, same ``rev``) reaches nobody, as does what is of no open
        session. What lacks a number, or has one that was already given, gets the next.

        Raises:
            RequestError: 400, it is no transcript of this session.
        """
        message = wire.parse_transcript(payload)
        if message.session_slug != slug:
            raise RequestError(400, "wrong_session", "it is of another session", "sessionSlug")
        room = self._rooms.get(slug)
        if room is None:
            return 0
        seq, rev = room.replay.seq + 1, room.replay.rev(message.utterance_id) + 1
        if message.seq is not UNSET and message.seq >= seq:
            seq = message.seq
        if message.rev is not UNSET:
            rev = message.rev
        message = msgspec.structs.replace(message, seq=seq, rev=rev, ts=int(message.ts))
        room.is_posted_to = not self._posts_are_ours
        return self._deliver(room, message, seq, rev)

    def status(self, slug: str, state: SessionState, reason: str) -> None:
        """Tell viewers where the session stands now."""
        room = self._rooms.get(slug)
        if room is not None:
            room.state = state
            self._tell(
                room, wire.StatusMessage(session_slug=slug, state=state.value, reason=reason)
            )

    def gap(self, slug: str, gap: AudioGap) -> None:
        """Tell viewers that audio was lost."""
        room = self._rooms.get(slug)
        if room is not None:
            self._tell(room, wire.gap_message(slug, gap))

    def lack(self, slug: str, *, since: int | None = None, epoch: str | None = None) -> Lack | None:
        """Return what is to be asked of the table before such a viewer joins; None if nothing.

        Raises:
            RequestError: 404, the session is not open; 503, the service shuts down besides.
        """
        room = self._room(slug)
        return None if room.is_posted_to else room.replay.lack(since, epoch)

    def join(
        self,
        slug: str,
        listener: Listener,
        *,
        since: int | None = None,
        epoch: str | None = None,
        older: Older | None = None,
    ) -> None:
        """Write ``ready`` to a listener and count it in; no message can fall between.

        Args:
            older: What the table has of what :meth:`lack` said.

        Raises:
            RequestError: 404 and 503 as :meth:`lack` does.
        """
        room = self._room(slug)
        if listener not in room.crowd:
            self._metrics.viewers.inc()
        catch_up = room.replay.catch_up(since, epoch, older)
        room.greet(listener, self._limit, catch_up)
        if catch_up.recovered is not None:
            self._metrics.viewer_resumes.labels("true" if catch_up.recovered else "false").inc()

    def leave(self, slug: str, listener: Listener) -> None:
        """Count a listener out. May be called twice, and after it was hung up on."""
        for room in (self._rooms.get(slug), *self._ending):
            if room is not None and room.slug == slug and room.crowd.forget(listener):
                self._metrics.viewers.dec()

    def close(self, slug: str, code: CloseCode = CloseCode.NORMAL) -> None:
        """Forget a session that is over; its viewers are told ``ended`` and hung up on.

        A large crowd is told and hung up on in later turns, or by :meth:`finish`.

        Args:
            code: What they are hung up with; it says whether to come back.
        """
        room = self._rooms.get(slug)
        if room is None:
            return
        # Where it is only suspended, its viewers are to come back.
        if code is not CloseCode.SHUTTING_DOWN and room.state is not SessionState.ENDED:
            self.status(slug, SessionState.ENDED, "session ended")
        self._ending[room] = code
        del self._rooms[slug]
        if self.is_closing or code is CloseCode.SHUTTING_DOWN:  # and nobody is held up
            self.finish()
        else:
            self._dismiss(room)

    def finish(self) -> None:
        """Send all that is under way, and hang up on all whose session is over, in this turn."""
        for room in self._rooms.values():
            room.crowd.finish()
        for room, code in tuple(self._ending.items()):
            room.crowd.finish()
            self._hang_up(room, list(room.crowd), code)
            del self._ending[room]

    def viewers(self, slug: str) -> int:
        """Return how many listen to a session."""
        room = self._rooms.get(slug)
        return len(room.crowd) if room else 0

    def _room(self, slug: str) -> Room:
        room = self._rooms.get(slug)
        if room is not None:
            return room
        if self.is_closing:
            # Suspended perhaps: who comes back finds it in the next process, or learns there.
            raise RequestError(503, "shutting_down", "the service is shutting down, try again")
        raise RequestError(404, "unknown_session", "no such session is running", "sessionSlug")

    def _deliver(
        self,
        room: Room,
        message: wire.TranscriptMessage,
        seq: int,
        rev: int,
        *,
        came_in_at: float | None = None,
    ) -> int:
        payload, final = message.encode(), message.is_final
        if not room.replay.add(Entry(message.utterance_id, seq, rev, final, payload)):
            return 0
        leave_out = partial(self._hang_up_on_slow, room) if final else self._drop
        over = partial(self._count_pass, time.monotonic(), came_in_at)
        return room.crowd.spread(Broadcast(wire.frame(payload), leave_out, over))

    def _tell(self, room: Room, message: wire.ServerMessage) -> None:
        leave_out = partial(self._hang_up_on_slow, room)
        room.crowd.spread(Broadcast(wire.frame(message.encode()), leave_out))

    def _count_pass(self, began: float, came_in_at: float | None) -> None:
        # uvloop's own clock stands still within one turn of the loop.
        now = time.monotonic()
        self._metrics.ws_broadcast_loop.observe(now - began)
        if came_in_at is not None:
            self._metrics.ingest_broadcast_latency.observe(now - came_in_at)

    def _drop(self, listeners: list[Listener]) -> None:
        self._metrics.viewer_dropped.inc(len(listeners))

    def _dismiss(self, room: Room) -> None:
        """Hang up on some, once all have what was published; go on in the next turn."""
        if room not in self._ending:
            return  # everybody has been hung up on since
        if not room.crowd.is_under_way:
            self._hang_up(room, list(islice(room.crowd, FAREWELLS)), self._ending[room])
        if len(room.crowd):
            asyncio.get_running_loop().call_soon(self._dismiss, room)
        else:
            del self._ending[room]

    def _hang_up_on_slow(self, room: Room, listeners: list[Listener]) -> None:
        self._hang_up(room, listeners, CloseCode.TOO_SLOW)
        self._metrics.viewers_slow.inc(len(listeners))

    def _hang_up(self, room: Room, listeners: list[Listener], code: CloseCode) -> None:
        for listener in listeners:
            self.leave(room.slug, listener)
            listener.hang_up(code)

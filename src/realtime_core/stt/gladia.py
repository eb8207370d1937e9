"""The bridge to Gladia Live v2: one session's audio out, what was heard in, whatever breaks.

An STT session is asked for as soon as the bridge runs, so that its socket is open before
the first audio comes. A socket that drops is replaced on the same url and goes on where the
provider's count stands; an STT session that is gone is replaced by a new one, which hears
again what the old one had not finished. One that gets no audio for long, or becomes too
old, is ended properly, and the next is asked for when there is audio. Whatever is refused
or dropped is tried again after a growing pause, which starts over once audio was taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import aiohttp

from realtime_core.aio import backoff
from realtime_core.errors import SttRejected, SttSessionLost, SttUnavailable
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import BYTES_PER_SECOND, SttEvent
from realtime_core.stt.api import GladiaApi, Started
from realtime_core.stt.config import GladiaConfig, Waits
from realtime_core.stt.connection import Closed, Connection, SttSession
from realtime_core.stt.feed import Feed, SttStatistics
from realtime_core.stt.recovery import recover_finals
from realtime_core.stt.reporter import Reporter
from realtime_core.stt.timeline import Timeline
from realtime_core.stt.verdicts import (
    ABNORMAL_CLOSURE,
    NORMAL_CLOSURE,
    Cut,
    Next,
    after_close,
    after_cut,
    close_label,
)
from realtime_core.stt.websocket import ProviderSocket, open_socket

RESUME_ATTEMPTS = 3
MOST_UNSURE = 8

Delays = Callable[[], Iterator[float]]


def pauses() -> Iterator[float]:
    """Yield the pauses between attempts; short at first, for captions are waiting."""
    return backoff(0.25, 2.0, 15.0)


def slow_pauses() -> Iterator[float]:
    """Yield the pauses after "too many sessions": a place becomes free when a meeting ends."""
    return backoff(4.0, 2.0, 30.0)


def pause_s(exc: SttUnavailable, quick: Iterator[float], slow: Iterator[float]) -> float:
    """Return how long to wait after a refusal: our own pause, or longer if it says so."""
    return max(next(slow if exc.slow_down else quick), exc.retry_after_s or 0.0)


class GladiaBridge:
    """One session's way through speech-to-text. :meth:`run` is its life; the rest never waits.

    Args:
        session: The session's slug, for logs and for finding it at the provider.
        replay_s: How much audio is kept for sending again, and while the provider is away.
        chunk_ms: The least audio per message; 0 sends what has gathered at once.
        drain_timeout_s: How long :meth:`run` goes on after :meth:`end` at most, but for a
            last look for missing finals.
        delays: Makes the pauses between attempts.
        slow_delays: Makes the pauses after "too many sessions".
        waits: The lesser timeouts; the ones above win over theirs.
    """

    def __init__(
        self,
        config: GladiaConfig,
        metrics: Metrics,
        http: aiohttp.ClientSession,
        *,
        session: str,
        replay_s: float = 60.0,
        chunk_ms: int = 0,
        drain_timeout_s: float = 10.0,
        ack_timeout_s: float = 15.0,
        max_session_s: float = 10_200.0,
        delays: Delays = pauses,
        slow_delays: Delays = slow_pauses,
        waits: Waits = Waits(),  # noqa: B008 - frozen
    ) -> None:
        self._metrics = metrics
        self._waits = replace(
            waits, drain_s=drain_timeout_s, ack_s=ack_timeout_s, max_session_s=max_session_s
        )
        self._delays, self._slow_delays = delays, slow_delays
        self._session, self._log = session, get_logger("stt").bind(session=session)
        self._api = GladiaApi(config, metrics, http, session=session)
        self._feed = Feed(
            Timeline(replay_s), metrics, chunk_bytes=chunk_ms * BYTES_PER_SECOND // 1000
        )
        self._reporter: Reporter  # run() brings it
        self._pauses = delays()
        self._connected = self._over = False
        self._patience: asyncio.Timeout | None = None
        self._stt: SttSession | None = None
        self._begun = False
        # Those that may owe us finals.
        self._unsure: deque[SttSession] = deque(maxlen=MOST_UNSURE)

    def send(self, pcm: bytes) -> None:
        """Take the session's next audio. Never waits."""
        if not self._over:
            self._feed.put(pcm)

    def end(self) -> None:
        """Promise that no more audio comes; :meth:`run` has ``drain_timeout_s`` from now."""
        self._feed.end()
        self._limit_patience()

    def statistics(self) -> SttStatistics:
        """Return where the audio stands."""
        return self._feed.statistics(connected=self._connected)

    async def run(self, emit: Callable[[SttEvent], None]) -> None:
        """Stream until everything after :meth:`end` has come in, or its time is over.

        Events are emitted synchronously, from the receive loop. After :meth:`end` it takes
        ``drain_timeout_s`` at most, a second to say goodbye, and ``waits.recover_s`` to look
        up finals. Cancelled, it ends the provider's session within a second.

        Raises:
            SttRejected: It will never work.
        """
        self._reporter = Reporter(self._feed.timeline, emit, session=self._session)
        try:
            await self._transcribe_in_time()
        except SttRejected as exc:
            self._log.error("Gladia will not work", error=str(exc))
            self._reporter.rejected()
            raise
        finally:
            self._over = True
            self._reporter.lost(self._feed.give_up())
        await recover_finals(self._api, self._unsure, self._reporter.hear, self._waits)

    async def _transcribe_in_time(self) -> None:
        try:
            async with asyncio.timeout(None) as self._patience:
                if self._feed.ended:
                    self._limit_patience()
                await self._transcribe()
        except TimeoutError:
            self._log.warning("Gladia did not finish in time")
            if self._stt is not None:
                self._unsure.append(self._stt)
        finally:
            self._patience = None

    def _limit_patience(self) -> None:
        if self._patience is not None:
            now = asyncio.get_running_loop().time()
            self._patience.reschedule(now + self._waits.drain_s)

    # One STT session after another.

    async def _transcribe(self) -> None:
        while await self._is_needed():
            stt = self._stt = await self._begin()
            finished = await self._follow(stt)
            self._stt = None
            if finished:
                self._feed.timeline.finish()
            else:
                self._feed.timeline.abandon()
                await self._pause()

    async def _is_needed(self) -> bool:
        """Wait until there is work for an STT session; False when there will be none."""
        while not self._feed.has_audio:
            if self._feed.ended:
                return False
            if not self._begun:
                return True  # the first is opened ahead of its audio
            await self._feed.changed()
        return True

    async def _begin(self) -> SttSession:
        """Ask for an STT session until one is given, and make it the timeline's."""
        started = await self._ask()
        self._begun = True
        now = asyncio.get_running_loop().time()
        self._reporter.lost(self._feed.begin(started.id, now))
        leg = self._feed.timeline.leg
        assert leg is not None
        return SttSession(started.id, started.url, leg, now)

    async def _ask(self) -> Started:
        slow_pauses = self._slow_delays()
        while True:
            try:
                return await self._api.start()
            except SttUnavailable as exc:
                full = exc.slow_down
                self._reporter.down("too many STT sessions" if full else "stt unavailable")
                pause = pause_s(exc, self._pauses, slow_pauses)
                self._log.warning("Gladia gave no session", error=str(exc), pause_s=pause)
            await asyncio.sleep(pause)

    async def _follow(self, stt: SttSession) -> bool:
        """Keep an STT session on a socket; return whether it finished what it was given."""
        fruitless = 0
        while True:
            before_at = stt.leg.acknowledged_at
            closed = await self._attempt(stt)
            if stt.leg.acknowledged_at > before_at:
                fruitless, self._pauses = 0, self._delays()
            else:
                fruitless += 1
            following = _what_follows(closed, stt)
            hopeless = fruitless >= RESUME_ATTEMPTS or self._feed.timeline.has_hole
            if following is not Next.RESUME or hopeless:
                return self._is_finished(following, closed, stt)
            await self._pause()

    def _is_finished(self, following: Next, closed: Closed, stt: SttSession) -> bool:
        # Once it has the stop it has all the audio; only its finals may be missing.
        if following is not Next.FINISHED and not stt.stop_taken:
            return False
        if closed.code != NORMAL_CLOSURE or stt.sockets > 1:
            self._unsure.append(stt)
        return True

    # One socket.

    async def _attempt(self, stt: SttSession) -> Closed:
        try:
            socket = await open_socket(stt.url)
        except (SttSessionLost, SttUnavailable) as exc:
            self._log.warning("Gladia WebSocket not opened", error=str(exc))
            gone = isinstance(exc, SttSessionLost)
            closed = Closed(ABNORMAL_CLOSURE, Cut.SESSION_GONE if gone else Cut.UNREACHABLE)
        else:
            closed = await self._converse(stt, socket)
        self._note(closed, stt)
        return closed

    async def _converse(self, stt: SttSession, socket: ProviderSocket) -> Closed:
        self._metrics.stt_connects.labels("resume" if stt.sockets else "new").inc()
        if stt.sockets:
            stt.leg.resume()
        stt.sockets += 1
        connection = Connection(
            socket, stt, self._feed, self._reporter.hear, waits=self._waits, metrics=self._metrics
        )
        self._reporter.opened()
        self._connected = True
        with self._metrics.stt_connections.track_inprogress():
            try:
                return await connection.run()
            finally:
                self._connected = False

    def _note(self, closed: Closed, stt: SttSession) -> None:
        cut = None if closed.cut is None else closed.cut.value
        self._log.info("Gladia WebSocket closed", code=closed.code, cut=cut, stt_session=stt.id)
        if closed.cut is None and closed.code == NORMAL_CLOSURE and stt.stop_sent:
            return
        self._metrics.stt_drops.labels(cut or close_label(closed.code)).inc()
        self._reporter.down(f"stt connection lost ({cut or closed.code})")

    async def _pause(self) -> None:
        await asyncio.sleep(next(self._pauses))


def _what_follows(closed: Closed, stt: SttSession) -> Next:
    if closed.cut is not None:
        return after_cut(closed.cut, in_flight=stt.leg.in_flight_bytes > 0)
    return after_close(closed.code, stop_sent=stt.stop_sent)

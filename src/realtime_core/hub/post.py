"""Broadcast by HTTP: each transcript is posted to another service (or to our own endpoint).

:meth:`HttpBroadcaster.publish` never waits. The transcripts of one session are posted one
after the other; sessions share a few lanes, so that one slow answer does not hold up all.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

from realtime_core.aio import TaskSet
from realtime_core.errors import RealtimeCoreError
from realtime_core.hub import wire
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import Transcript

LANES = 8
LANE_LIMIT = 500
POST_TIMEOUT_S = 5.0
SETTLE_TIMEOUT_S = CLOSE_GRACE_S = 5.0
# A draft is not posted again: the next one replaces it.
FINAL_PAUSES_S = (0.2, 0.5, 1.0)
COMPLAIN_EVERY_S = 1.0

log = get_logger("hub")


@dataclass(frozen=True, slots=True)
class Letter:
    """A payload on its way.

    Attributes:
        received_at: When its transcript came in, by the monotonic clock.
        over: Set when it was posted or lost.
    """

    slug: str
    payload: bytes
    is_final: bool
    received_at: float
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Outbox:
    """A bounded hand-off whose producer never waits: when full, the oldest draft goes.

    A final goes only when nothing but finals is held. One consumer, who is through with a
    letter when it asks for the next.
    """

    def __init__(self, limit: int, dropped: Callable[[Letter], None]) -> None:
        self._letters: deque[Letter] = deque()
        self._taken: Letter | None = None
        self._limit, self._dropped = limit, dropped
        self._arrived, self._emptied = asyncio.Event(), asyncio.Event()
        self._emptied.set()

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> None:
        """Add a letter."""
        self._letters.append(letter)
        if len(self._letters) > self._limit:
            drafts = (at for at, each in enumerate(self._letters) if not each.is_final)
            position = next(drafts, 0)
            self._dropped(self._letters[position])
            del self._letters[position]
        self._arrived.set()
        self._emptied.clear()

    async def first(self) -> Letter:
        """Wait for a letter and take it. Cancelled, it takes none."""
        self._taken = None
        while not self._letters:
            self._emptied.set()
            self._arrived.clear()
            await self._arrived.wait()
        self._taken = self._letters.popleft()
        return self._taken

    def of(self, slug: str) -> list[Letter]:
        """Return a session's letters: the one that was taken last, and those that wait."""
        taken = () if self._taken is None else (self._taken,)
        return [each for each in (*taken, *self._letters) if each.slug == slug]

    async def emptied(self) -> None:
        """Wait until all was taken and the consumer is back for more."""
        await self._emptied.wait()


class PostFailed(RealtimeCoreError):
    """A payload was not accepted. ``final`` when posting it again cannot help."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class HttpBroadcaster:
    """Posts transcripts to ``url``, in order per session, while it is entered.

    Args:
        secret: Sent as a bearer token.
        http: The caller's; it is not closed here.
        timeout_s: How long one post may take.
        lane_limit: Transcripts that may wait, per lane.
        final_pauses_s: Pauses before a final is posted again; as many as there are repeats.

    Attributes:
        lost_drafts, lost_finals: What was not delivered. Finals are in the table all the same.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        http: aiohttp.ClientSession,
        metrics: Metrics,
        *,
        timeout_s: float = POST_TIMEOUT_S,
        lane_limit: int = LANE_LIMIT,
        final_pauses_s: Sequence[float] = FINAL_PAUSES_S,
        close_grace_s: float = CLOSE_GRACE_S,
    ) -> None:
        self.lost_drafts = self.lost_finals = 0
        self._url, self._http, self._metrics = url, http, metrics
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._pauses_s, self._close_grace_s = final_pauses_s, close_grace_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._lanes = [Outbox(lane_limit, self._lose) for _ in range(LANES)]
        self._tasks = TaskSet("post")
        self._complained_at = -COMPLAIN_EVERY_S

    def __len__(self) -> int:
        """How many transcripts wait, beside the one of each lane that is being posted."""
        return sum(len(lane) for lane in self._lanes)

    async def __aenter__(self) -> Self:
        self._metrics.http_posts_waiting.set_function(lambda: len(self))
        for number, lane in enumerate(self._lanes):
            _ = self._tasks.start(self._work(lane), f"lane {number}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Post what still waits, for a bounded time; the rest is lost, and counted."""
        try:
            async with asyncio.timeout(self._close_grace_s):
                for lane in self._lanes:
                    await lane.emptied()
        except TimeoutError:
            log.warning("Broadcast by HTTP ended with transcripts waiting", waiting=len(self))
        finally:
            await self._tasks.close()
            for lane in self._lanes:
                while len(lane):
                    self._lose(await lane.first())

    def publish(self, transcript: Transcript) -> int:
        """Post a transcript soon. Always 0: who it reaches is known only to the other side."""
        message = wire.transcript_message(transcript, sent_at_ms=time.time_ns() // 1_000_000)
        slug, is_final = transcript.session_slug, transcript.is_final
        self._metrics.count_transcript(is_final=is_final)
        self._lane(slug).put(Letter(slug, message.encode(), is_final, transcript.received_at))
        return 0

    async def settled(self, slug: str, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
        """Wait until all that was given of a session so far is posted or lost.

        Returns after ``timeout_s`` at the latest; what waits then is still tried.
        """
        letters = self._lane(slug).of(slug)
        try:
            async with asyncio.timeout(timeout_s):
                for letter in letters:
                    await letter.over.wait()
        except TimeoutError:
            waiting = sum(not letter.over.is_set() for letter in letters)
            log.warning("Transcripts still wait to be posted", session=slug, waiting=waiting)

    def _lane(self, slug: str) -> Outbox:
        return self._lanes[zlib.crc32(slug.encode()) % LANES]

    async def _work(self, lane: Outbox) -> None:
        while True:
            letter = await lane.first()
            try:
                await self._deliver(letter)
            except PostFailed as failure:
                self._lose(letter, str(failure))
            except asyncio.CancelledError:
                self._lose(letter, "stopped")
                raise
            except Exception as exc:  # one letter must not take its lane's others with it
                log.exception("Posting failed unexpectedly", session=letter.slug)
                self._lose(letter, type(exc).__name__)
            finally:
                letter.over.set()

    async def _deliver(self, letter: Letter) -> None:
        for pause_s in self._pauses_s if letter.is_final else ():
            try:
                return await self._post(letter)
            except PostFailed as failure:
                if failure.final:
                    raise
            await asyncio.sleep(pause_s)
        return await self._post(letter)

    async def _post(self, letter: Letter) -> None:
        began = time.monotonic()
        try:
            # A redirect would carry the secret to wherever it points.
            async with self._http.post(
                self._url,
                data=letter.payload,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
            raise PostFailed(type(exc).__name__, final=False) from exc
        self._metrics.http_post_latency.observe(time.monotonic() - began)
        if status >= 300:
            raise PostFailed(f"HTTP {status}", final=status not in (408, 429) and status < 500)
        self._metrics.ingest_broadcast_latency.observe(time.monotonic() - letter.received_at)

    def _lose(self, letter: Letter, reason: str = "queue full") -> None:
        letter.over.set()
        self._metrics.http_posts_lost.labels("final" if letter.is_final else "draft").inc()
        if letter.is_final:
            self.lost_finals += 1
        else:
            self.lost_drafts += 1
        now = asyncio.get_running_loop().time()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.warning(
                "Transcripts not delivered by HTTP",
                reason=reason,
                drafts=self.lost_drafts,
                finals=self.lost_finals,
            )

"""What viewers missed and the hub has forgotten, read from the table.

After a restart all viewers come back at once, and they ask for about the same: equal
questions share an answer, and few are asked at a time, so that the writer finds a
connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from realtime_core.errors import StoreError
from realtime_core.hub.replay import Lack, Older
from realtime_core.hub.stored import entry_of
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import FinalRow

MOST_ROWS = 2_000
"""Finals that one viewer is given; about two hours of speech, and some megabytes."""
TIMEOUT_S = 2.0
AT_A_TIME = 2
STEP = 256
"""Viewers whose positions are within so many numbers ask the same question."""
KEEP_S = 5.0
FAILURE_KEEP_S = 1.0
MOST_KEPT = 8
COMPLAIN_EVERY_S = 1.0

Key = tuple[str, str, int]

log = get_logger("live")


class Finals(Protocol):
    """What this needs of the store."""

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        """Return the ``limit`` finals of a run with the lowest ``seq`` greater than ``after``.

        Raises:
            StoreError: The database does not answer.
        """


@dataclass(slots=True)
class _Reading:
    """One question to the table, and its answer once it is over.

    Attributes:
        older: None when the table did not say, too.
        expiry: When it is forgotten. Cancelled with it: a timer would keep the answer.
    """

    key: Key
    lack: Lack
    expiry: asyncio.TimerHandle = field(init=False)
    older: Older | None = None
    is_over: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Missed:
    """Answers what viewers lack.

    A whole answer is kept for a few seconds. It stays right, because what came after it is in
    the hub; once the hub has forgotten some of that, it is not used any more. A failure is
    kept for a moment, and a part is for those only who wait for it.

    Args:
        flush: Writes what is accepted; returns whether all of an epoch is in the table then.
        zero_at: Where a session's clock is zero, in Unix seconds; None if that is not known.
        most_rows: Finals that one viewer is given.
    """

    def __init__(
        self,
        finals: Finals,
        flush: Callable[[str], Awaitable[bool]],
        zero_at: Callable[[str], float | None],
        metrics: Metrics,
        *,
        most_rows: int = MOST_ROWS,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._finals, self._flush, self._zero_at = finals, flush, zero_at
        self._metrics, self._most_rows, self._timeout_s = metrics, most_rows, timeout_s
        self._at_a_time = asyncio.Semaphore(AT_A_TIME)
        self._readings: dict[Key, _Reading] = {}
        self._silent_until = 0.0

    async def read(self, slug: str, lack: Lack) -> Older | None:
        """Return what the table has of it; None when it does not say so in time."""
        reading = self._reading(slug, lack)
        try:
            # One after the other, with other work in between: each joins with what it gets.
            async with asyncio.timeout(self._timeout_s), reading.turn:
                if not reading.is_over:
                    await self._answer(slug, reading)
        except (StoreError, TimeoutError) as exc:
            reading.is_over = True
            self._forget_soon(reading)
            self._complain(slug, exc)
        return reading.older

    def _complain(self, slug: str, exc: Exception) -> None:
        self._metrics.history_reads.labels("failed").inc()
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + COMPLAIN_EVERY_S
            log.warning("Missed finals cannot be read", session=slug, error=repr(exc))

    def _reading(self, slug: str, lack: Lack) -> _Reading:
        lack = replace(lack, after=lack.after - lack.after % STEP)
        key = slug, lack.epoch, lack.after
        reading = self._readings.get(key)
        if reading is not None:
            if reading.lack.given >= lack.to:
                return reading
            self._forget(reading)
        reading = self._readings[key] = _Reading(key, lack)
        reading.expiry = asyncio.get_running_loop().call_later(KEEP_S, self._forget, reading)
        while len(self._readings) > MOST_KEPT:
            self._forget(next(iter(self._readings.values())))
        return reading

    def _forget(self, reading: _Reading) -> None:
        reading.expiry.cancel()
        if self._readings.get(reading.key) is reading:
            del self._readings[reading.key]

    def _forget_soon(self, reading: _Reading) -> None:
        reading.expiry.cancel()
        loop = asyncio.get_running_loop()
        reading.expiry = loop.call_later(FAILURE_KEEP_S, self._forget, reading)

    async def _answer(self, slug: str, reading: _Reading) -> None:
        async with self._at_a_time:
            reading.older = await self._ask(slug, reading.lack)
        reading.is_over = True
        if reading.older is None or not reading.older.to:
            self._forget(reading)  # whoever comes later may be luckier

    async def _ask(self, slug: str, lack: Lack) -> Older | None:
        zero_at = self._zero_at(slug)
        if zero_at is None:
            return None
        older = await self._whole(slug, lack, zero_at)
        outcome = "part" if older is None else "whole"
        if older is None:
            older = await self._last(slug, lack, zero_at)
        self._metrics.history_reads.labels(outcome).inc()
        return older

    async def _whole(self, slug: str, lack: Lack, zero_at: float) -> Older | None:
        """Return all that is lacking; None when that is not certain, or too much."""
        if not await self._flush(lack.epoch):
            return None
        limit = self._most_rows + 1
        rows = await self._finals.finals(slug, epoch=lack.epoch, after=lack.after, limit=limit)
        if len(rows) == limit:
            return None
        return await asyncio.to_thread(_older, lack.epoch, lack.after, lack.given, rows, zero_at)

    async def _last(self, slug: str, lack: Lack, zero_at: float) -> Older:
        """Return the last finals, as far as the table has them. Nothing is certain of them."""
        limit = self._most_rows
        after = max(lack.to - limit, 0)  # numbers are unique: so many hold no more finals
        rows = await self._finals.finals(slug, epoch=lack.epoch, after=after, limit=limit)
        return await asyncio.to_thread(_older, lack.epoch, after, 0, rows, zero_at)


# Not on the loop: thousands of rows take a moment.
def _older(epoch: str, after: int, to: int, rows: Sequence[FinalRow], zero_at: float) -> Older:
    in_order = sorted(rows, key=lambda row: row.seq)
    return Older(epoch, after, to, [entry_of(row, zero_at) for row in in_order])

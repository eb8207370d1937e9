"""Real recognition with PocketSphinx, in processes of its own.

A few workers serve all sessions: an utterance borrows one from its first word to its last, and
waits while all are busy. Two keep up with two people who speak at the same time on two cores.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from gladia_emulator.recognizer import Hypothesis, Onset, Word
from gladia_emulator.sphinx_worker import ENDED, GREW, HEADER, Row

log = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 60.0
LIBRARY = "pocketsphinx"
WORKER = "gladia_emulator.sphinx_worker"


class RecognizerUnavailable(Exception):
    """The recogniser cannot be used; the text says what to do."""


class SphinxRecognizer:
    """A bounded pool of worker processes.

    Entering it starts them and waits for their models; leaving it ends them.
    """

    def __init__(self, workers: int = 2) -> None:
        self._count = workers
        self._idle: asyncio.Queue[Worker] = asyncio.Queue(workers)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if await asyncio.to_thread(importlib.util.find_spec, LIBRARY) is None:
            raise RecognizerUnavailable(
                "pocketsphinx is not installed: pip install 'realtime-core[embedded]'"
            )
        async with AsyncExitStack() as stack:
            workers = [Worker() for _ in range(self._count)]
            for worker in workers:
                stack.push_async_callback(worker.close)
            await _start_all(workers)
            self._stack = stack.pop_all()
        for worker in workers:
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def hear(self, onset: Onset) -> AsyncIterator[SphinxHearing]:
        """Borrow a worker for one utterance; waits while all are busy."""
        worker = await self._idle.get()
        hearing = SphinxHearing(worker, onset)
        try:
            yield hearing
        finally:
            if not hearing.over:  # it still holds half an utterance
                await worker.stop()
            self._idle.put_nowait(worker)


class SphinxHearing:
    """One utterance in one worker. A worker that fails costs this utterance its last words."""

    def __init__(self, worker: Worker, onset: Onset) -> None:
        self._worker, self._onset = worker, onset
        self._rows: list[Row] = []
        self._failed = False
        self.over = False

    async def grew(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Return a draft."""
        await self._ask(GREW, pcm)
        return self._hypothesis(voiced_until_s)

    async def ended(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Return the final."""
        await self._ask(ENDED, pcm)
        self.over = not self._failed
        return self._hypothesis(voiced_until_s)

    async def _ask(self, kind: bytes, pcm: bytes) -> None:
        if self._failed:
            return
        try:
            # A final without a word would be an utterance that was drafted and then unsaid.
            self._rows = await self._worker.ask(kind, pcm) or self._rows
        except (OSError, ValueError) as exc:
            log.warning("Recogniser process failed: %r", exc)
            self._failed = True

    def _hypothesis(self, voiced_until_s: float) -> Hypothesis:
        words = tuple(self._word(*row) for row in self._rows)
        shares = [word.confidence for word in words]
        mean = round(sum(shares) / len(shares), 3) if shares else 0.0
        return Hypothesis(words, self._onset.start_s, voiced_until_s, mean)

    def _word(self, text: str, begin_s: float, end_s: float, confidence: float) -> Word:
        audio_from_s = self._onset.audio_from_s
        return Word(text, audio_from_s + begin_s, audio_from_s + end_s, confidence)


class Worker:
    """One worker process, started again when it is asked after it was stopped or died."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the process and wait until its model is loaded.

        Raises:
            OSError: It did not come up, or the worker is closed.
        """
        if self._closed:
            raise ConnectionAbortedError("recogniser is closed")
        # A session of its own: Ctrl-C in a terminal is for us, and ends it through us.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", WORKER),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
        )
        self._process = process
        await self._answer(process, START_TIMEOUT_S)

    async def ask(self, kind: bytes, pcm: bytes) -> list[Row]:
        """Send one request and return the words it is answered with.

        Raises:
            OSError: The process failed or hangs.
        """
        if self._process is None:
            await self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(HEADER.pack(kind, len(pcm)) + pcm)
            await process.stdin.drain()
            rows: list[Row] = json.loads(await self._answer(process, ANSWER_TIMEOUT_S))
        except BaseException:
            await self.stop()  # an answer that nobody reads would be taken for the next one
            raise
        return rows

    async def close(self) -> None:
        """End the process for good. May be called twice."""
        self._closed = True
        await self.stop()

    async def stop(self) -> None:
        """End the process. May be called twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    async def _answer(self, process: Process, timeout_s: float) -> bytes:
        assert process.stdout is not None
        async with asyncio.timeout(timeout_s):
            line = await process.stdout.readline()
        if not line:
            raise ConnectionResetError("recogniser process ended")
        return line


async def _start_all(workers: Sequence[Worker]) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(worker.start())
    except ExceptionGroup as group:
        raise RecognizerUnavailable(f"pocketsphinx did not start: {group.exceptions[0]}") from group

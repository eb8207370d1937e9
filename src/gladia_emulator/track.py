"""One channel of a session: from samples to drafts and finals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from gladia_emulator.audio import seconds_of
from gladia_emulator.endpointing import (
    Endpointer,
    SpeechEnded,
    SpeechEvent,
    SpeechGrew,
    SpeechStarted,
)
from gladia_emulator.recognizer import Hearing, Hypothesis, Onset, Recognizer

QUEUE_EVENTS = 1_000
"""Five minutes of speech; a client that is further ahead is not read from any more."""


class Listener(Protocol):
    """What a track tells about what it hears. Times are on the session's clock."""

    def speech_started(self, channel: int, at_s: float) -> None: ...
    def draft(self, channel: int, number: int, heard: Hypothesis) -> None: ...
    def speech_ended(self, channel: int, at_s: float) -> None: ...
    def final(self, channel: int, number: int, heard: Hypothesis, ended_at: float) -> None:
        """The end of the utterance was heard at ``ended_at`` on the loop's clock."""


@dataclass(frozen=True, slots=True)
class _Heard:
    event: SpeechEvent
    at: float


class Track:
    """Finds a channel's utterances and has them recognised, one after the other."""

    def __init__(
        self, channel: int, endpointer: Endpointer, recognizer: Recognizer, listener: Listener
    ) -> None:
        self._channel = channel
        self._endpointer, self._recognizer, self._listener = endpointer, recognizer, listener
        self._queue: asyncio.Queue[_Heard | None] = asyncio.Queue(QUEUE_EVENTS)
        self._utterances = 0
        self.processed_s = 0.0
        """Up to where the session's audio has been transcribed."""

    async def hear(self, pcm: bytes) -> None:
        """Take more samples; waits when recognition is far behind."""
        await self._put(self._endpointer.feed(pcm))

    async def finish(self) -> None:
        """Promise that no more samples come: :meth:`run` ends after the last utterance."""
        await self._put(self._endpointer.finish())
        await self._queue.put(None)

    async def run(self) -> None:
        """Recognise until :meth:`finish`."""
        while (heard := await self._queue.get()) is not None:
            assert isinstance(heard.event, SpeechStarted)
            await self._utterance(heard.event)

    async def _utterance(self, begun: SpeechStarted) -> None:
        number, self._utterances = self._utterances, self._utterances + 1
        start_s = seconds_of(begun.at)
        self._listener.speech_started(self._channel, start_s)
        onset = Onset(number, start_s, seconds_of(begun.audio_from))
        async with self._recognizer.hear(onset) as hearing:
            await self._follow(number, hearing)

    async def _follow(self, number: int, hearing: Hearing) -> None:
        while (heard := await self._queue.get()) is not None:
            match heard.event:
                case SpeechGrew(pcm, voiced_until):
                    until_s = seconds_of(voiced_until)
                    self._listener.draft(self._channel, number, await hearing.grew(pcm, until_s))
                    self.processed_s = until_s
                case SpeechEnded():
                    await self._end(number, hearing, heard.event, heard.at)
                    return
                case SpeechStarted():
                    raise AssertionError("an utterance began within another")

    async def _end(self, number: int, hearing: Hearing, ended: SpeechEnded, at: float) -> None:
        end_s = seconds_of(ended.at)
        self._listener.speech_ended(self._channel, end_s)
        heard = await hearing.ended(ended.pcm, end_s)
        self._listener.final(self._channel, number, heard, at)
        self.processed_s = end_s

    async def _put(self, events: list[SpeechEvent]) -> None:
        now = asyncio.get_running_loop().time()
        for event in events:
            await self._queue.put(_Heard(event, now))

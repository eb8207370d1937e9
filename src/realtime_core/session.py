"""One session from start to end: its state, its tasks, its failures.

The session joins the stages: publishers feed the decoder, its PCM goes to speech-to-text,
and what was heard goes to the captioner. The end of the input flows downstream stage by
stage; a failure comes up to :meth:`Session.run`; :meth:`Session.stop` ends the input.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, assert_never

from realtime_core.captioner import Captioner
from realtime_core.errors import DecoderError, SttRejected
from realtime_core.lifecycle import Signal, allows, next_state
from realtime_core.logs import get_logger
from realtime_core.model import (
    AudioGap,
    AudioTag,
    PublishEnd,
    SessionState,
    SpeechBoundary,
    SpeechHeard,
    SttEvent,
    SttStatus,
)

SILENCE_EVERY_S = 0.1
QUIET_AFTER_S = 30.0


class Decoder(Protocol):
    """What a session needs of a decoder. It takes tags before it is entered, too."""

    async def __aenter__(self) -> Self:
        """Start decoding."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and leave nothing behind."""

    def feed(self, tag: AudioTag) -> None:
        """Take a tag; never waits. What does not fit becomes silence and is counted."""

    def end(self) -> None:
        """Promise that no more tags come."""

    def pcm(self) -> AsyncIterator[bytes]:
        """Yield PCM as it is decoded; ends after :meth:`end`.

        Raises:
            DecoderError: The decoder does not stay alive.
        """


class SttBridge(Protocol):
    """What a session needs of speech-to-text."""

    def send(self, pcm: bytes) -> None:
        """Take PCM; never waits."""

    def end(self) -> None:
        """Promise that no more audio comes."""

    async def run(self, emit: Callable[[SttEvent], None]) -> None:
        """Stream until everything after :meth:`end` has come in.

        Raises:
            SttRejected: It will never work.
        """


class Publisher(Protocol):
    """What a session needs of the publish that feeds it."""

    @property
    def id(self) -> int:
        """Unique in this process."""

    @property
    def peer(self) -> str:
        """Where it comes from, for logs."""

    def close(self, end: PublishEnd) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What start may set for one session; empty means the service's setting."""

    languages: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stages:
    """What a session is made of; ``app`` provides it.

    Attributes:
        decoder: Makes a decoder.
        status: Tells viewers of a change.
        gap: Tells viewers of lost audio.
    """

    decoder: Callable[[str], Decoder]
    stt: Callable[[str, SessionOptions], SttBridge]
    captioner: Callable[[str], Captioner]
    status: Callable[[str, SessionState, str], None]
    gap: Callable[[str, AudioGap], None]


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a session waits for publishers, in seconds."""

    publish_grace_s: float = 35.0
    idle_timeout_s: float = 3600.0


class Session:
    """One meeting being transcribed. :meth:`run` is its life; the other methods never wait.

    Attributes:
        epoch: Names this numbering of the session's transcripts.
        failure: Why the session failed, if it did.
        tally: What came out so far.
    """

    def __init__(
        self, slug: str, epoch: str, stages: Stages, waits: Waits, options: SessionOptions
    ) -> None:
        self.slug, self.epoch = slug, epoch
        self.state = SessionState.WAITING_FOR_EGRESS
        self.created_at = time.time()
        self.failure: str | None = None
        self.audio_bytes_received = self.audio_bytes_sent = self.publishes = 0
        self._stages, self._waits = stages, waits
        self._log = get_logger("session").bind(session=slug)
        self._captioner = stages.captioner(slug)
        self._decoder, self._stt = stages.decoder(slug), stages.stt(slug, options)
        self._publisher: Publisher | None = None
        self._published, self._over = asyncio.Event(), asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._heard_nothing_since: float | None = None
        self.tally = self._captioner.tally

    def __repr__(self) -> str:
        return f"<Session {self.slug} {self.state.value}>"

    # What others tell the session. None of it waits.

    def publish_started(self, publisher: Publisher) -> None:
        """A publisher was admitted and its audio follows. It replaces the one before."""
        self._cancel_grace()
        self._publisher = publisher
        self.publishes += 1
        self._log.info("LiveKit Egress connected to RTMP stream", peer=publisher.peer)
        self._signal(Signal.PUBLISHED)
        self._published.set()

    def audio(self, publisher: Publisher, tag: AudioTag) -> None:
        """Audio came from a publisher; only the current one is heard."""
        if publisher is self._publisher:
            self.audio_bytes_received += len(tag.payload)
            self._decoder.feed(tag)

    def publish_ended(self, publisher: Publisher, end: PublishEnd) -> None:
        """A publish ended; the clean end of the current one ends the session."""
        if publisher is not self._publisher or end is PublishEnd.TAKEN_OVER:
            return
        self._publisher = None
        if end is PublishEnd.CLEAN:
            self._end_input(Signal.INPUT_ENDED)
        elif allows(self.state, Signal.PUBLISHER_LOST):
            self._signal(Signal.PUBLISHER_LOST)
            self._grace = asyncio.get_running_loop().call_later(
                self._waits.publish_grace_s, self._end_input, Signal.GRACE_OVER
            )

    def report_speaker(self, identity: str, name: str) -> None:
        """A client says who is speaking now."""
        self._captioner.report_speaker(identity, name)

    def stop(self) -> None:
        """End the session; what was said so far is still transcribed. May be called twice."""
        self._end_input(Signal.STOPPED)

    async def wait_ended(self) -> None:
        """Return when the session is over."""
        await self._over.wait()

    def quiet_for_s(self, now: float) -> float | None:
        """Return how long a live session has had no transcript; None when it is not live."""
        if self.state is not SessionState.LIVE or self._heard_nothing_since is None:
            return None
        return now - max(self.tally.last_transcript_at or 0.0, self._heard_nothing_since)

    def is_unheard(self, now: float) -> bool:
        """Whether speech has been coming in for long and no transcript came of it."""
        quiet_s = self.quiet_for_s(now)
        spoken_at = self.tally.last_speech_at
        return (
            quiet_s is not None
            and spoken_at is not None
            and (quiet_s > QUIET_AFTER_S and now - spoken_at < QUIET_AFTER_S / 2)
        )

    # Its life.

    async def run(self) -> None:
        """Run to the end, and be over then. Raises nothing but cancellation."""
        try:
            await self._run()
        except asyncio.CancelledError:
            self.failure = self.failure or "not drained in time"
            raise
        except Exception as exc:  # noqa: BLE001 - the wall: what fails in one session stays in it
            self.failure = f"internal error ({type(exc).__name__})"
            self._log.exception("Session failed")
        finally:
            self._end()

    async def _run(self) -> None:
        if not await self._has_publisher():
            return
        async with self._decoder as decoder, asyncio.TaskGroup() as tasks:
            silence = tasks.create_task(self._keep_time(), name=f"{self.slug}/silence")
            tasks.create_task(self._pump(decoder), name=f"{self.slug}/pcm")
            transcribing = tasks.create_task(self._transcribe(), name=f"{self.slug}/stt")
            await asyncio.wait([transcribing])
            silence.cancel()

    async def _has_publisher(self) -> bool:
        try:
            async with asyncio.timeout(self._waits.idle_timeout_s):
                await self._published.wait()
        except TimeoutError:
            self._signal(Signal.IDLE)
        self._heard_nothing_since = asyncio.get_running_loop().time()
        return self.state is not SessionState.ENDED

    async def _pump(self, decoder: Decoder) -> None:
        """Move PCM from the decoder to speech-to-text until the decoder has no more."""
        try:
            async for pcm in decoder.pcm():
                self._captioner.audio_arrived(pcm)
                self._send(pcm)
        except DecoderError as exc:
            self._fail(f"the audio cannot be decoded: {exc}")
        finally:
            self._stt.end()

    async def _transcribe(self) -> None:
        try:
            await self._stt.run(self._take)
        except SttRejected as exc:
            self._fail(f"speech-to-text refused: {exc}")

    async def _keep_time(self) -> None:
        """While the publisher is away, let silence keep the session clock going.

        It also lets the provider hear the end of the last utterance.
        """
        while True:
            await asyncio.sleep(SILENCE_EVERY_S)
            if self.state is SessionState.RECONNECTING:
                self._send(self._captioner.silence_due())

    def _send(self, pcm: bytes) -> None:
        self.audio_bytes_sent += len(pcm)
        self._stt.send(pcm)

    def _take(self, event: SttEvent) -> None:
        match event:
            case SpeechHeard():
                self._captioner.hear(event)
            case AudioGap():
                self._stages.gap(self.slug, event)
            case SttStatus():
                self._stages.status(self.slug, self.state, event.reason)
            case SpeechBoundary():
                pass
            case _:
                assert_never(event)

    # How it ends.

    def _end_input(self, signal: Signal) -> None:
        if not allows(self.state, signal):
            return
        self._cancel_grace()
        self._signal(signal)
        self._decoder.end()
        self._published.set()  # wakes a session that still waits for a publisher
        self._hang_up()

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self._log.error("Session failed", reason=failure)
        self._end_input(Signal.FAILED)

    def _end(self) -> None:
        for signal in (Signal.FAILED, Signal.DRAINED):
            if signal is Signal.FAILED and self.failure is None:
                continue
            if allows(self.state, signal):
                self._signal(signal)
        self._cancel_grace()
        self._captioner.finish()
        self._hang_up()
        self._over.set()

    def _hang_up(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close(PublishEnd.STOPPED)

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _signal(self, signal: Signal) -> None:
        before, self.state = self.state, next_state(self.state, signal)
        reason = self.failure if self.failure and signal is not Signal.PUBLISHED else signal.value
        self._log.info("Session state", before=before.value, state=self.state.value, reason=reason)
        self._stages.status(self.slug, self.state, reason)

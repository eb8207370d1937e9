"""One session from start to end: its state, its tasks, its failures.

The session joins the stages: publishers feed the decoder, its PCM goes to speech-to-text,
and what was heard goes to the captioner. The end of the input flows downstream stage by
stage; a failure comes up to :meth:`Session.run`; :meth:`Session.stop` ends the input.
A session that is suspended goes on in the next process, from its record.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

from realtime_core.errors import DecoderError, SttRejected
from realtime_core.lifecycle import Signal, allows, first_state, next_state
from realtime_core.logs import get_logger, session_of_logs
from realtime_core.model import (
    AudioGap,
    AudioTag,
    PublishEnd,
    SessionRecord,
    SessionState,
    SpeakerReport,
    SpeechBoundary,
    SpeechHeard,
    SttEvent,
    SttStatus,
)
from realtime_core.stages import Publisher, Stages, Waits
from realtime_core.transcript.lag import LagEstimate

SILENCE_EVERY_S = 0.1
EMPTY_S = 0.1
"""A decoder that holds less than this has nothing that silence could overtake."""
QUIET_AFTER_S = 30.0


class Session:
    """One meeting being transcribed. :meth:`run` is its life; the other methods never wait.

    Args:
        record: The session, as it begins or as an earlier process left it.

    Attributes:
        epoch: Names this numbering of the session's transcripts.
        failure: Why the session failed, if it did.
        is_suspended: It ends only here, and goes on in the next process.
        tally: What came out so far.
    """

    def __init__(self, record: SessionRecord, stages: Stages, waits: Waits) -> None:
        self.slug, self.epoch, self.created_at = record.slug, record.epoch, record.created_at
        self.state = first_state(record)
        self.failure: str | None = None
        self.is_suspended = False
        self.audio_bytes_received = self.publishes = 0
        self._stages, self._waits = stages, waits
        self._log = get_logger("session").bind(session=self.slug)
        self._captioner = stages.captioner(record)
        self._decoder = stages.decoder(self.slug)
        self._stt = stages.stt(self.slug, record.options)
        self._was_published = record.was_published
        self._publisher: Publisher | None = None
        self._is_silent = True  # no audio since the publisher came, or went
        self._published, self._over = asyncio.Event(), asyncio.Event()
        self._grace: asyncio.TimerHandle | None = None
        self._heard_nothing_since: float | None = None
        self.tally = self._captioner.tally

    def __repr__(self) -> str:
        return f"<Session {self.slug} {self.state.value}>"

    @property
    def record(self) -> SessionRecord:
        """What the next process would have to know now."""
        return self._captioner.record

    @property
    def speaker_lag(self) -> LagEstimate:
        """How much later speech comes in the audio than reports of its speaker."""
        return self._captioner.speaker_lag

    @property
    def audio_bytes_sent(self) -> int:
        """PCM sent to speech-to-text, resends included."""
        return self._stt.statistics().sent_bytes

    # What others tell the session. None of it waits.

    def publish_started(self, publisher: Publisher) -> None:
        """A publisher was admitted and its audio follows. It replaces the one before."""
        self._cancel_grace()
        self._publisher, self._is_silent = publisher, True
        self.publishes += 1
        self._log.info("LiveKit Egress connected to RTMP stream", peer=publisher.peer)
        self._signal(Signal.PUBLISHED)
        if not self._was_published:
            self._was_published = True
            self._captioner.note(was_published=True, is_ending=False)
        elif self.publishes > 1:
            self._captioner.republished()
        self._published.set()

    def audio(self, publisher: Publisher, tag: AudioTag) -> None:
        """Audio came from a publisher; only the current one is heard."""
        if publisher is not self._publisher:
            return
        if self._is_silent and not tag.is_config:
            self._fill_until_now()
            self._is_silent = False
            self._captioner.audio_came()
        self.audio_bytes_received += len(tag.payload)
        self._decoder.feed(tag)

    def publish_ended(self, publisher: Publisher, end: PublishEnd) -> None:
        """A publish ended; the clean end of the current one ends the session."""
        if publisher is not self._publisher or end is PublishEnd.TAKEN_OVER:
            return
        self._publisher, self._is_silent = None, True
        if end is PublishEnd.CLEAN:
            self._end_input(Signal.INPUT_ENDED)
        elif allows(self.state, Signal.PUBLISHER_LOST):
            self._signal(Signal.PUBLISHER_LOST)
            self._grace = asyncio.get_running_loop().call_later(
                self._waits.publish_grace_s, self._end_input, Signal.GRACE_OVER
            )

    def report_speaker(self, report: SpeakerReport) -> None:
        """A client says who is speaking now."""
        self._captioner.report_speaker(report)

    def stop(self) -> None:
        """End the session; what was said so far is still transcribed. May be called twice."""
        if self.is_suspended:  # now it ends for good
            self.is_suspended = False
            self._captioner.note(was_published=self._was_published, is_ending=True)
        self._end_input(Signal.STOPPED)

    def suspend(self) -> None:
        """End it as :meth:`stop` does, but let the next process go on with it.

        One that is ending already ends for good.
        """
        if allows(self.state, Signal.SUSPENDED):
            self.is_suspended = True
            self._end_input(Signal.SUSPENDED)

    async def wait_ended(self) -> None:
        """Return when the session is over."""
        await self._over.wait()

    def quiet_for_s(self, now: float) -> float | None:
        """Return how long a live session has had no transcript; None when it is not live."""
        if self.state is not SessionState.LIVE or self._heard_nothing_since is None:
            return None
        return now - max(self.tally.last_transcript_at or 0.0, self._heard_nothing_since)

    def look(self) -> None:
        """Do what is due now and then: count broken promises, keep how far it has come."""
        self._captioner.check_promises()
        if self.state is SessionState.LIVE:
            self._captioner.keep_position()

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
            with session_of_logs(self.slug):
                self._captioner.go_on()
                await self._run()
                self._captioner.finish()
                await self._stages.settle(self.slug)
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
        async with asyncio.TaskGroup() as tasks:
            silence = tasks.create_task(self._keep_time(), name=f"{self.slug}/silence")
            tasks.create_task(self._decode(), name=f"{self.slug}/pcm")
            transcribing = tasks.create_task(self._transcribe(), name=f"{self.slug}/stt")
            await asyncio.wait([transcribing])
            silence.cancel()

    async def _has_publisher(self) -> bool:
        """Wait for the first publisher of this process; return whether one came."""
        if self.state is SessionState.DRAINING:
            return self.publishes > 0
        known = self.state is SessionState.RECONNECTING
        wait_s = self._waits.publish_grace_s if known else self._waits.idle_timeout_s
        try:
            async with asyncio.timeout(wait_s):
                await self._published.wait()
        except TimeoutError:
            self._end_input(Signal.GRACE_OVER if known else Signal.IDLE)
        self._heard_nothing_since = asyncio.get_running_loop().time()
        return self.publishes > 0

    async def _decode(self) -> None:
        """Let PCM flow from the decoder to speech-to-text until the decoder has no more."""
        try:
            await self._decoder.run(self._pass_on)
        except DecoderError as exc:
            self._fail(f"the audio cannot be decoded: {exc}")
        finally:
            self._tell(self._captioner.audio_ended())
            self._stt.end()

    def _pass_on(self, pcm: bytes) -> None:
        self._tell(self._captioner.audio_arrived(pcm))
        self._stt.send(pcm)

    def _tell(self, gap: AudioGap | None) -> None:
        if gap is not None:
            self._stages.gap(self.slug, gap)

    async def _transcribe(self) -> None:
        try:
            await self._stt.run(self._take)
        except SttRejected as exc:
            self._fail(f"speech-to-text refused: {exc}")

    async def _keep_time(self) -> None:
        """While no publisher sends, let silence keep the session clock going.

        It also lets the provider hear the end of the last utterance.
        """
        while True:
            await asyncio.sleep(SILENCE_EVERY_S)
            if self._is_silent:
                self._fill_with_silence()

    def _fill_with_silence(self) -> None:
        # What the decoder still holds was said before the silence.
        if self.state in (SessionState.LIVE, SessionState.RECONNECTING) and (
            self._decoder.queued_s < EMPTY_S
        ):
            self._stt.send(self._captioner.silence_due())

    def _fill_until_now(self) -> None:
        """Let no time be missing before the audio that comes now."""
        self._fill_with_silence()
        # Silence does not overtake what a slow decoder holds: it comes out of the decoder then.
        owed_s = self._captioner.owed_s(self._decoder.queued_s)
        if owed_s > EMPTY_S:
            self._decoder.skip(owed_s)

    def _take(self, event: SttEvent) -> None:
        match event:
            case SpeechHeard():
                self._captioner.hear(event)
            case AudioGap():
                self._tell(self._captioner.placed(event))
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
        if not self.is_suspended:
            self._captioner.note(was_published=self._was_published, is_ending=True)
        self._decoder.end()
        self._published.set()  # wakes a session that still waits for a publisher
        self._hang_up()

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self._log.error("Session failed", reason=failure)
        self._end_input(Signal.FAILED)

    def _end(self) -> None:
        try:
            self._captioner.finish()
            if self.is_suspended:
                self._captioner.suspend()
            if self.failure and allows(self.state, Signal.FAILED):
                self._signal(Signal.FAILED)
            if allows(self.state, Signal.DRAINED):
                self._signal(Signal.DRAINED)
        finally:
            self._cancel_grace()
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
        # For viewers one that goes on elsewhere does not end.
        if not (self.is_suspended and self.state is SessionState.ENDED):
            self._stages.status(self.slug, self.state, reason)

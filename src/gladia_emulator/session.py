"""One live session: its states, its connections one after the other, its end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping
from enum import Enum

from gladia_emulator import addons, wire
from gladia_emulator.config import StreamingRequest
from gladia_emulator.faults import Fault, FaultBook, FaultName
from gladia_emulator.intake import Intake
from gladia_emulator.narrator import Narrator
from gladia_emulator.outbox import Outbox, Outlet
from gladia_emulator.recognizer import Recognizer
from gladia_emulator.rules import Rules
from gladia_emulator.sabotage import Sabotage
from gladia_emulator.tasks import Tasks, Timer
from gladia_emulator.wire import Message

log = logging.getLogger(__name__)

ALREADY_STOPPED = "Recording already stopped"
GOING_AWAY, BAD_MESSAGE, IDLE, REPLACED = 1001, 4400, 4408, 4409


class State(Enum):
    """Where a session stands."""

    QUEUED = "queued"
    RECORDING = "recording"
    ENDING = "ending"
    DONE = "done"


ARROWS: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RECORDING, State.ENDING}),
    State.RECORDING: frozenset({State.ENDING}),
    State.ENDING: frozenset({State.DONE}),
    State.DONE: frozenset(),
}


class LiveSession:
    """A session from POST to its end, over any number of connections.

    Attributes:
        id: Names it in the API.
        token: Opens its WebSocket.
        request: What it was asked to do.
        outbox: What it said: ``messages``, ``acks``, ``sent``.
        connections: How many WebSockets it has had.
        refusals: How many chunks it did not take.
        done: Set when it is over.
    """

    def __init__(
        self, request: StreamingRequest, rules: Rules, recognizer: Recognizer, faults: FaultBook
    ) -> None:
        self.id, self.token = str(uuid.uuid4()), str(uuid.uuid4())
        self.request, self._rules, self._faults = request, rules, faults
        self.created_at, self.completed_at = time.time(), 0.0
        self.post_session_metadata: Message = {}
        self.outbox = Outbox(
            self.id, request.messages_config, self.take, replay_missed=rules.replay_missed
        )
        self._narrator = Narrator(request, rules, self.outbox, self.take)
        self._intake = Intake(request, rules, recognizer, self._narrator)
        self._idle = Timer(self._went_idle)
        self._abandoned = Timer(self._was_abandoned)
        self._too_old = Timer(self._got_too_old)
        self._tasks = Tasks()
        self._state = State.QUEUED
        self._sabotage = Sabotage(self.take, self._kill)
        self._stopped = self._dead = False
        self._too_big = 0
        self.connections = self.refusals = 0
        self.done = asyncio.Event()

    def __repr__(self) -> str:
        return f"<LiveSession {self.id} {self._state.value} {self.received_bytes} bytes>"

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def custom_metadata(self) -> Message:
        """What the client attached to it."""
        return self.request.custom_metadata

    @property
    def names(self) -> tuple[str | None, str | None]:
        """What a fault may call it by."""
        return self.id, self.custom_metadata.get("sessionSlug")

    @property
    def received_bytes(self) -> int:
        """What it accepted over all connections."""
        return self._intake.received_bytes

    @property
    def pcm(self) -> bytes:
        """The beginning of the audio it accepted, as the client sent it."""
        return bytes(self._intake.kept)

    @property
    def messages(self) -> list[Message]:
        """What it said, acks apart, whether or not a connection was there to take it."""
        return [json.loads(text) for text in self.outbox.messages]

    @property
    def result(self) -> Message:
        """What was heard so far, in the form of GET."""
        took_s = max(0.0, (self.completed_at or time.time()) - self.created_at)
        utterances = sorted(self._narrator.utterances, key=lambda each: float(each["start"]))
        return addons.result_of(self.request, utterances, self._intake.recorded_s, took_s)

    @property
    def admits(self) -> bool:
        """Whether its url can be connected to."""
        if self._dead or self._state is State.DONE:
            return False
        return self._state is not State.ENDING or self._stopped

    @property
    def connected(self) -> bool:
        """Whether it has a WebSocket now."""
        return self.outbox.outlet is not None

    def take(self, name: FaultName, message_type: str | None = None) -> Fault | None:
        """Return the fault of that name that strikes now, if one does."""
        return self._faults.take(name, self.names, self.received_bytes, message_type)

    def open(self) -> None:
        """Begin to wait for the first connection."""
        self._intake.start()
        self._abandoned.restart(self._rules.resume_window_s)
        self._too_old.restart(self._rules.max_session_s)

    async def close(self) -> None:
        """Give everything up at once. May be called twice."""
        self._stop_timers()
        await self._tasks.close()
        await self._intake.close()
        await self._narrator.close()
        self.outbox.close()

    def attach(self, outlet: Outlet) -> None:
        """Go on with this connection; one that was there is kicked."""
        if self.outbox.outlet is not None:
            self.outbox.outlet.close(REPLACED, "Replaced by another connection")
        self._abandoned.stop()
        self.outbox.plug(outlet)
        self.connections += 1
        if self._state is State.QUEUED:
            self._go(State.RECORDING)
            self.outbox.emit(wire.lifecycle("start_recording"))
        elif self.take(FaultName.REPEAT_FINAL_AFTER_RESUME):
            self.outbox.repeat_last_final()
        if self._state is State.RECORDING:
            self._idle.restart(self._rules.idle_timeout_s)
        self._sabotage.greet(outlet)
        self.strike()

    def detach(self, outlet: Outlet, client_code: int | None) -> None:
        """The connection is gone; the client closed it with this code, if it did."""
        if self.outbox.outlet is not outlet:
            return
        self.outbox.unplug()
        self._idle.stop()
        self._sabotage.gone()
        if self._state is not State.RECORDING:
            return
        if client_code == 1000:
            self._end()
        else:
            self._abandoned.restart(self._rules.resume_window_s)

    def sent_too_much(self) -> None:
        """A frame was over the limit; after a few of them the session is dead."""
        self._too_big += 1
        if self._too_big >= self._rules.most_too_big:
            self._kill()

    def strike(self) -> None:
        """Let the faults strike that wait for nothing but a connection."""
        self._sabotage.strike(self.outbox.outlet)

    def hang_up(self) -> None:
        """Tell the client that the server goes away."""
        if self.outbox.outlet is not None:
            self.outbox.outlet.close(GOING_AWAY, "Server is shutting down")

    async def receive_text(self, text: str) -> None:
        """Take a text frame; what is no message of the protocol closes with 4400."""
        match wire.action(text):
            case wire.AudioChunk(data):
                await self.receive_audio(data)
            case wire.StopRecording():
                self._stop()
            case wire.BadChunk():
                self._refuse_audio("Audio chunk is not base64")
            case None:
                self._kill(BAD_MESSAGE, "Invalid message")

    async def receive_audio(self, data: bytes) -> None:
        """Take audio; waits when recognition is far behind."""
        if self._state is not State.RECORDING:
            self._refuse_audio(ALREADY_STOPPED)
            return
        self._idle.restart(self._rules.idle_timeout_s)
        if fault := self.take(FaultName.REFUSE_AUDIO):
            self._refuse_audio(fault.message or "Audio quota exceeded")
        elif self._sabotage.swallows is None:
            start, end = self._intake.count(data)
            self.outbox.emit(wire.audio_ack(start, end, self.request.bytes_per_second))
            await self._intake.hear(data)
        else:
            await self._swallow(data)
        self.strike()

    def _refuse_audio(self, why: str) -> None:
        self.refusals += 1
        self.outbox.emit(wire.refused("audio_chunk", why))

    async def _swallow(self, data: bytes) -> None:
        if self._sabotage.swallows == "counted":
            self._intake.count(data)
            await self._intake.hear(data)
        self._sabotage.swallowed(len(data), self.outbox.outlet)

    def _stop(self) -> None:
        if self.take(FaultName.SWALLOW_STOP):
            return
        if self._state is not State.RECORDING:
            refusal = wire.refused("stop_recording", ALREADY_STOPPED, 409, "ConflictError")
            self.outbox.emit(refusal)
            return
        left_s = self._intake.unprocessed_s
        self.outbox.emit(wire.stop_ack(self._intake.recorded_s, left_s))
        self._stopped = True
        self._end()

    def _went_idle(self) -> None:
        waited_s = self._rules.idle_timeout_s
        self._kill(IDLE, f"No audio chunk received for {waited_s:g}s")

    def _was_abandoned(self) -> None:
        self._kill()

    def _got_too_old(self) -> None:
        self._dead = True
        self._end()

    def _kill(self, code: int = 0, reason: str = "") -> None:
        """Let no connection in any more; what was said so far is still transcribed."""
        self._dead = True
        if code and self.outbox.outlet is not None:
            self.outbox.outlet.close(code, reason)
        self._end()

    def _end(self) -> None:
        if self._state in (State.QUEUED, State.RECORDING):
            self._stop_timers()
            self._go(State.ENDING)
            self._tasks.start(self._finish())

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        close_at = loop.time() + self._rules.close_delay_s
        await self._intake.finish()
        await self._narrator.settle()
        recorded_s = round(self._intake.recorded_s, 3)
        self.outbox.emit(wire.lifecycle("end_recording", {"recording_duration": recorded_s}))
        self.completed_at = time.time()
        result = self.result
        utterances = result["transcription"]["utterances"]
        for message in addons.after_recording(self.request, utterances, result):
            self.outbox.emit(message)
        self.outbox.emit(wire.lifecycle("end_session"))
        if self._stopped:
            await asyncio.sleep(max(0.0, close_at - loop.time()))
        self._over()

    def _over(self) -> None:
        self._go(State.DONE)
        if self.outbox.outlet is not None:
            code = 1000 if self._stopped else self._rules.age_close_code
            self.outbox.outlet.close(code)
        self.done.set()

    def _stop_timers(self) -> None:
        for timer in (self._idle, self._abandoned, self._too_old):
            timer.stop()

    def _go(self, state: State) -> None:
        if state not in ARROWS[self._state]:
            raise ValueError(f"no way from {self._state.name} to {state.name}")
        self._state = state
        log.info("Session %s is %s after %d bytes", self.id, state.value, self.received_bytes)

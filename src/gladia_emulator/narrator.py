"""Puts into messages what the tracks of a session hear."""

from __future__ import annotations

import asyncio

from gladia_emulator import addons, wire
from gladia_emulator.config import StreamingRequest
from gladia_emulator.faults import FaultName
from gladia_emulator.outbox import Outbox, TakeFault
from gladia_emulator.recognizer import Hypothesis
from gladia_emulator.rules import Rules
from gladia_emulator.tasks import Tasks
from gladia_emulator.wire import Message

CHANGED_ID = 90_000_000


class Narrator:
    """Emits speech events, drafts, finals after their delay, and the add-ons of finals.

    Attributes:
        utterances: What was said, as the finals have it.
    """

    def __init__(
        self, request: StreamingRequest, rules: Rules, outbox: Outbox, take: TakeFault
    ) -> None:
        self._request, self._rules = request, rules
        self._outbox, self._take = outbox, take
        self._finals = Tasks()
        self.utterances: list[Message] = []

    def speech_started(self, channel: int, at_s: float) -> None:
        """Tell that speech began."""
        self._outbox.emit(wire.speech_start(at_s, channel))

    def draft(self, channel: int, number: int, heard: Hypothesis) -> None:
        """Tell what was understood so far, if anything was."""
        if heard.words:
            self._outbox.emit(self._transcript(channel, number, heard, final=False))

    def speech_ended(self, channel: int, at_s: float) -> None:
        """Tell that speech ended."""
        self._outbox.emit(wire.speech_end(at_s, channel))

    def final(self, channel: int, number: int, heard: Hypothesis, ended_at: float) -> None:
        """Tell what was said, after the final's delay."""
        if not heard.words:
            return
        message = self._transcript(channel, number, heard, final=True)
        due = ended_at + self._rules.final_delay(number) + self._extra_delay()
        delay_s = due - asyncio.get_running_loop().time()
        if delay_s > 0:
            self._finals.start(self._say_later(delay_s, message))
        else:
            self._say(message)

    async def settle(self) -> None:
        """Return when every final is out."""
        await self._finals.wait()

    async def close(self) -> None:
        """Give up the finals that are still due. May be called twice."""
        await self._finals.close()

    def _transcript(self, channel: int, number: int, heard: Hypothesis, *, final: bool) -> Message:
        if final and self._take(FaultName.CHANGE_ID):
            number += CHANGED_ID
        said = wire.utterance(heard, channel=channel, language=self._request.language)
        return wire.transcript(f"{channel:02d}_{number:08d}", said, final=final)

    def _extra_delay(self) -> float:
        fault = self._take(FaultName.DELAY_FINAL)
        if fault is None:
            return 0.0
        return 1.0 if fault.seconds is None else fault.seconds

    async def _say_later(self, delay_s: float, message: Message) -> None:
        await asyncio.sleep(delay_s)
        self._say(message)

    def _say(self, message: Message) -> None:
        said = message["data"]["utterance"]
        self.utterances.append(said)
        self._outbox.emit(message)
        asked = self._request.realtime_processing
        for addon in addons.with_final(asked, message["data"]["id"], said):
            self._outbox.emit(addon)

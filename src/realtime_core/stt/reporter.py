"""What the bridge tells its session: what was heard, what was lost, whether it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

from realtime_core.logs import get_logger, shows_debug
from realtime_core.model import AudioGap, SpeechBoundary, SpeechHeard, SttEvent, SttStatus
from realtime_core.stt.connection import Heard, SttSession
from realtime_core.stt.placing import place
from realtime_core.stt.timeline import Timeline
from realtime_core.stt.wire import AudioAck, SpeechMessage, TranscriptMessage


class Reporter:
    """Turns messages into events on the session clock, and tells each change once."""

    def __init__(
        self, timeline: Timeline, emit: Callable[[SttEvent], None], *, session: str
    ) -> None:
        self._timeline, self._emit = timeline, emit
        self._log = get_logger("stt").bind(session=session)
        self._available: bool | None = None

    def hear(self, stt: SttSession, message: Heard) -> None:
        """Take a message of ``stt``; all but acknowledgements become events."""
        match message:
            case AudioAck():
                self._tell(available=True, reason="speech-to-text connected")
            case TranscriptMessage():
                self._transcript(stt, place(message, stt.leg, time.monotonic()))
            case SpeechMessage(started=started):
                at_s = stt.leg.session_s(message.at_s)
                if started:
                    self._timeline.speech_begun(at_s)
                self._emit(SpeechBoundary(at_s, started))
            case _:
                assert_never(message)

    def opened(self) -> None:
        """A socket is open. After trouble that proves nothing yet: see ``hear``."""
        if self._available is None:
            self._tell(available=True, reason="speech-to-text connected")

    def down(self, reason: str) -> None:
        """Audio is not being transcribed now."""
        self._tell(available=False, reason=reason)

    def rejected(self) -> None:
        """Nothing more will be tried."""
        self._emit(SttStatus(available=False, reason="speech-to-text refused", final=True))

    def lost(self, gap: AudioGap | None) -> None:
        """Audio was lost, perhaps."""
        if gap is not None:
            self._log.warning("Audio lost", from_s=gap.from_s, to_s=gap.to_s, reason=gap.reason)
            self._emit(gap)

    def _transcript(self, stt: SttSession, heard: SpeechHeard) -> None:
        self._note(heard)
        if heard.is_final:
            stt.finals.add(heard.utterance_id)
        self._timeline.hear(heard.utterance_id, heard.start_s, heard.end_s, is_final=heard.is_final)
        self._emit(heard)

    def _note(self, heard: SpeechHeard) -> None:
        is_debugged = shows_debug("stt")
        if not heard.is_final and not is_debugged:
            return
        say = self._log.info if heard.is_final else self._log.debug
        say(
            "Received transcript from Gladia",
            is_final=heard.is_final,
            utterance=heard.utterance_id,
            length=len(heard.text),
        )
        if is_debugged:
            self._log.debug("Transcript text", utterance=heard.utterance_id, text=heard.text)

    def _tell(self, *, available: bool, reason: str) -> None:
        if available is not self._available:
            self._available = available
            self._emit(SttStatus(available, reason))

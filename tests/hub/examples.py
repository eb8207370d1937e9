"""Transcripts and listeners that tests of the hub share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from realtime_core.hub.cohort import Listener
from realtime_core.hub.wire import CloseCode
from realtime_core.model import FinalizedBy, FinalRow, Transcript, Word

Message = dict[str, Any]
ZERO = 1_790_000_000.25
"""Where the session clock is zero, in Unix seconds."""


def draft(seq: int, text: str = "Hello", *, utterance: str = "u1", rev: int = 1) -> Transcript:
    return Transcript(
        session_slug="weekly",
        utterance_id=utterance,
        text=text,
        is_final=False,
        speaker="Alice",
        speaker_id="alice:1",
        speaker_confidence=0.8512345,
        seq=seq,
        rev=rev,
        start_s=12.3400001,
        end_s=13.9,
        received_at=0.0,
        language="en",
        confidence=0.92,
    )


def final(seq: int, text: str = "Hello", *, utterance: str = "u1", rev: int = 1) -> Transcript:
    return Transcript(
        session_slug="weekly",
        utterance_id=utterance,
        text=text,
        is_final=True,
        speaker="Alice",
        speaker_id="alice:1",
        speaker_confidence=None,
        seq=seq,
        rev=rev,
        start_s=12.34,
        end_s=13.9,
        received_at=0.0,
        finalized_by=FinalizedBy.STT,
        words=(Word("Hello", 12.34, 12.6, 0.9, "alice:1"),),
    )


def row_of(transcript: Transcript, epoch: str = "e", received_at: float = ZERO + 20) -> FinalRow:
    """Return the row that the captioner makes of a final."""
    return FinalRow(
        session_slug=transcript.session_slug,
        epoch=epoch,
        utterance_id=transcript.utterance_id,
        rev=transcript.rev,
        seq=transcript.seq,
        text=transcript.text,
        speaker=transcript.speaker,
        speaker_id=transcript.speaker_id,
        speaker_confidence=transcript.speaker_confidence,
        language=transcript.language,
        confidence=transcript.confidence,
        words=transcript.words,
        finalized_by=transcript.finalized_by or FinalizedBy.STT,
        started_at=ZERO + transcript.start_s,
        ended_at=ZERO + transcript.end_s,
        received_at=received_at,
        speakers=transcript.speakers,
    )


def unframed(stream: bytes) -> list[Message]:
    """Read frames with the websockets library's parser, an implementation that is not ours."""
    reader = StreamReader()
    reader.feed_data(stream)
    reader.feed_eof()
    messages = []
    while not finished(reader):
        messages.append(json.loads(bytes(parsed(reader).data)))
    return messages


def parsed(reader: StreamReader) -> Frame:
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
        assert (frame.opcode, frame.fin) == (Opcode.TEXT, True)
        return frame
    raise AssertionError("the frame is cut off")


def finished(reader: StreamReader) -> bool:
    asking = reader.at_eof()
    try:
        next(asking)
    except StopIteration as done:
        return bool(done.value)
    return False


class FakeListener:
    """A listener whose peer reads when it is told to.

    Attributes:
        messages: What the peer has read.
        closed_with: The code with which it was hung up on.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.closed_with: CloseCode | None = None
        self.frozen = False
        self._buffer = b""
        self.most_buffered = 0

    @property
    def descriptor(self) -> None:
        return None

    def attend(self, fell_behind: Callable[[Listener], None]) -> None:
        pass  # it has no other way to fall behind

    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def write(self, frame: bytes) -> None:
        assert self.closed_with is None, "written to after it was hung up on"
        self._buffer += frame
        self.most_buffered = max(self.most_buffered, len(self._buffer))
        if not self.frozen:
            self.read()

    def hang_up(self, code: CloseCode) -> None:
        assert self.closed_with is None, "hung up on twice"
        self.closed_with = code

    def read(self) -> None:
        self.messages += unframed(self._buffer)
        self._buffer = b""

    def of_type(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

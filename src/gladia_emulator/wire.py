"""The messages of a Gladia Live v2 WebSocket, as dictionaries. Pure.

The builders leave out ``session_id`` and ``created_at``; :func:`stamped` adds them. Times are
seconds since the session's first audio sample.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gladia_emulator.recognizer import Hypothesis, Word

Message = dict[str, Any]

GATES: Mapping[str, str] = {
    "audio_chunk": "receive_acknowledgments",
    "stop_recording": "receive_acknowledgments",
    "speech_start": "receive_speech_events",
    "speech_end": "receive_speech_events",
    "translation": "receive_realtime_processing_events",
    "named_entity_recognition": "receive_realtime_processing_events",
    "sentiment_analysis": "receive_realtime_processing_events",
    "post_transcript": "receive_post_processing_events",
    "post_summarization": "receive_post_processing_events",
    "post_final_transcript": "receive_post_processing_events",
    "start_recording": "receive_lifecycle_events",
    "end_recording": "receive_lifecycle_events",
    "end_session": "receive_lifecycle_events",
}
"""Which flag of ``messages_config`` lets a message through, transcripts apart."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The client sends audio as base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BadChunk:
    """The client sends audio that is not base64."""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """The client has no more audio."""


def action(text: str) -> AudioChunk | BadChunk | StopRecording | None:
    """Read a text frame of the client; None if it is none of the protocol's messages."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    match message:
        case {"type": "audio_chunk", "data": {"chunk": str(chunk)}}:
            return _decoded(chunk)
        case {"type": "stop_recording"}:
            return StopRecording()
        case _:
            return None


def gate_of(message: Message) -> str:
    """Return the flag of ``messages_config`` that lets ``message`` through."""
    if message["type"] != "transcript":
        return GATES[message["type"]]
    final = message["data"]["is_final"]
    return "receive_final_transcripts" if final else "receive_partial_transcripts"


def is_final(message: Message) -> bool:
    """Whether ``message`` is a transcript that will not change any more."""
    return bool(message["type"] == "transcript" and message["data"]["is_final"])


def iso(unix_s: float) -> str:
    """Return a time as the service writes it: ISO 8601, milliseconds, ``Z``."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamped(message: Message, session_id: str, unix_s: float) -> Message:
    """Return ``message`` with the two fields that every message carries."""
    return {"type": "", "session_id": session_id, "created_at": iso(unix_s), **message}


def encode(message: Message) -> str:
    """Return the text frame."""
    return json.dumps(message, separators=(",", ":"))


def audio_ack(start: int, end: int, bytes_per_second: int) -> Message:
    """The bytes ``[start, end)`` of the session were accepted."""
    times = [round(start / bytes_per_second, 6), round(end / bytes_per_second, 6)]
    return _ack("audio_chunk", {"byte_range": [start, end], "time_range": times})


def stop_ack(recorded_s: float, left_s: float) -> Message:
    """The recording is over; ``left_s`` of it has still to be transcribed."""
    times = {"recording_duration": _ms(recorded_s), "recording_left_to_process": _ms(left_s)}
    return _ack("stop_recording", times)


def refused(kind: str, message: str, status: int | None = None, exception: str = "") -> Message:
    """An acknowledgement that says no. With a status it has the longer form of ``error``."""
    error: Message = {"message": message}
    if status is not None:
        error = {"status_code": status, "exception": exception, "message": message}
    return {"type": kind, "acknowledged": False, "error": error, "data": None}


def speech_start(at_s: float, channel: int) -> Message:
    """Speech began."""
    return {"type": "speech_start", "data": {"time": _ms(at_s), "channel": channel}}


def speech_end(at_s: float, channel: int) -> Message:
    """Speech ended."""
    return {"type": "speech_end", "data": {"time": _ms(at_s), "channel": channel}}


def utterance(heard: Hypothesis, *, channel: int, language: str) -> Message:
    """What was said, as it stands in transcripts, add-ons and results."""
    return {
        "text": "".join(f" {word.text}" for word in heard.words),
        "start": _ms(heard.start_s),
        "end": _ms(heard.end_s),
        "language": language,
        "confidence": _confidence(heard.confidence),
        "channel": channel,
        "words": [_word(word) for word in heard.words],
    }


def transcript(utterance_id: str, said: Message, *, final: bool) -> Message:
    """A draft (replaces the one before it) or the final of an utterance."""
    data = {"id": utterance_id, "is_final": final, "utterance": said}
    return {"type": "transcript", "data": data}


def lifecycle(kind: str, data: Message | None = None) -> Message:
    """``start_recording``, ``end_recording`` or ``end_session``."""
    return {"type": kind} if data is None else {"type": kind, "data": data}


def transcription(utterances: Sequence[Message], languages: Sequence[str]) -> Message:
    """All that was said in a session."""
    return {
        "full_transcript": " ".join(each["text"].strip() for each in utterances),
        "languages": list(languages),
        "utterances": list(utterances),
    }


def _decoded(chunk: str) -> AudioChunk | BadChunk:
    try:
        return AudioChunk(base64.b64decode(chunk, validate=True))
    except ValueError:  # not ASCII, or not base64
        return BadChunk()


def _ack(kind: str, data: Message) -> Message:
    return {"type": kind, "acknowledged": True, "error": None, "data": data}


def _word(word: Word) -> Message:
    return {
        "word": f" {word.text}",
        "start": _ms(word.start_s),
        "end": _ms(word.end_s),
        "confidence": _confidence(word.confidence),
    }


def _confidence(value: float) -> float:
    # The service writes certainty as the integer 1; clients have to cope.
    return 1 if value >= 1 else round(value, 2)


def _ms(seconds: float) -> float:
    return round(seconds, 3)

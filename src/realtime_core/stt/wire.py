"""What Gladia Live v2 says over its socket, and the little that it is told, as data.

Pure. Whatever the provider sends becomes one of the messages below; nothing it can send
raises. All times are seconds of *its* session; ``timeline`` places them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from realtime_core.model import Word

STOP_RECORDING = '{"type":"stop_recording"}'

# The form in which the provider is known to take a chunk without audio. It is counted and
# acknowledged like any other, and so tells how many bytes the provider has.
EMPTY_CHUNK = '{"type":"audio_chunk","data":{"chunk":""}}'

# They concern features that are not asked for.
UNUSED_TYPES = frozenset(
    {
        "start_session",
        "start_recording",
        "end_recording",
        "end_session",
        "translation",
        "named_entity_recognition",
        "sentiment_analysis",
        "post_transcript",
        "post_final_transcript",
        "post_summarization",
        "post_chapterization",
    }
)


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """A draft or a final."""

    utterance_id: str
    is_final: bool
    text: str
    start_s: float
    end_s: float
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechMessage:
    """Speech began (``started``) or ended."""

    started: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class AudioAck:
    """Audio was taken; the provider's count of bytes went from ``start`` to ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AudioRefused:
    """A chunk was not taken, as when the account has run out in mid-session."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopAck:
    """``stop_recording`` was taken, or refused because it had been taken before."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class ErrorMessage:
    """An error in no documented form."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unused:
    """A known message that nobody needs."""

    type: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a type that nobody has documented."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """No JSON object, or one that lacks what its type promises."""


class _Range(Struct):
    byte_range: tuple[int, int]


class _Ack(Struct, tag_field="type", tag="audio_chunk"):
    """An acknowledgement as it nearly always is: read without building the rest of it."""

    acknowledged: bool
    data: _Range


ACKS = msgspec.json.Decoder(_Ack)

# What comes seldom beside the acknowledgement of each chunk.
Rare = (
    TranscriptMessage
    | SpeechMessage
    | AudioRefused
    | StopAck
    | ErrorMessage
    | Unused
    | Unknown
    | Malformed
)
Message = AudioAck | Rare


def message_type(message: Message) -> str:
    """Return the message's label for metrics, from a bounded set."""
    match message:
        case AudioAck():
            return "audio_ack"
        case TranscriptMessage(is_final=is_final):
            return "final" if is_final else "draft"
        case SpeechMessage(started=started):
            return "speech_start" if started else "speech_end"
        case Unused(type=name):
            return name
        case _:
            return LABELS[type(message)]


LABELS: Mapping[type, str] = {
    AudioAck: "audio_ack",
    AudioRefused: "audio_refused",
    StopAck: "stop_ack",
    ErrorMessage: "error",
    Unknown: "unknown",
    Malformed: "malformed",
}


def parse(frame: bytes | bytearray | memoryview | str) -> Message:
    """Read one message from the socket. Never raises."""
    try:
        ack = ACKS.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _parse(frame)  # most of what comes is an acknowledgement; this is not
    start, end = ack.data.byte_range
    return AudioAck(start, end) if ack.acknowledged and start >= 0 <= end else _parse(frame)


def _parse(frame: bytes | bytearray | memoryview | str) -> Message:
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Malformed()
    if not isinstance(message, dict):
        return Malformed()
    data = _object(message.get("data"))
    match message.get("type"):
        case "transcript":
            return _transcript(data)
        case "speech_start" | "speech_end" as name:
            at_s = _number(data.get("time"))
            return Malformed() if at_s is None else SpeechMessage(name == "speech_start", at_s)
        case "audio_chunk":
            return _audio_ack(message, data)
        case "stop_recording":
            return StopAck(message.get("acknowledged") is True)
        case "error":
            return ErrorMessage(_reason(message.get("error") or data))
        case str(name) if name in UNUSED_TYPES:
            return Unused(name)
        case str():
            return Unknown()
        case _:
            return Malformed()


def _transcript(data: Mapping[str, Any]) -> Message:
    utterance = _object(data.get("utterance"))
    utterance_id, text = data.get("id"), utterance.get("text")
    start_s, end_s = _number(utterance.get("start")), _number(utterance.get("end"))
    if not isinstance(utterance_id, str) or not isinstance(text, str) or start_s is None:
        return Malformed()
    speaker = utterance.get("speaker")
    return TranscriptMessage(
        utterance_id=utterance_id,
        is_final=data.get("is_final") is True,
        text=text.strip(),
        start_s=start_s,
        end_s=start_s if end_s is None else max(start_s, end_s),
        language=_text(utterance.get("language")),
        confidence=_number(utterance.get("confidence")),
        words=_words(utterance.get("words")),
        speaker=None if speaker is None else str(speaker),
    )


def _words(value: object) -> tuple[Word, ...]:
    if not isinstance(value, list):
        return ()
    words = (_word(_object(item)) for item in value)
    return tuple(word for word in words if word is not None)


def _word(item: Mapping[str, Any]) -> Word | None:
    text, start_s, end_s = item.get("word"), _number(item.get("start")), _number(item.get("end"))
    if not isinstance(text, str) or start_s is None or end_s is None:
        return None
    return Word(text.strip(), start_s, max(start_s, end_s), _number(item.get("confidence")))


def _audio_ack(message: Mapping[str, Any], data: Mapping[str, Any]) -> Message:
    if message.get("acknowledged") is not True:
        return AudioRefused(_reason(message.get("error")))
    match data.get("byte_range"):
        case [int(start), int(end)] if start >= 0 and end >= 0:
            return AudioAck(start, end)
        case _:
            return Malformed()


def _reason(error: object) -> str:
    message = _object(error).get("message")
    return str(message)[:200] if message else "no reason given"


def _object(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is an object; null, missing and anything else are empty."""
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    """Return a finite number as float; the provider writes 1.0 as 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

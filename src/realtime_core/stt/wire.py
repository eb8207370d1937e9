"""Gladia Live v2 as data: the body of the session request, and what the socket says.

Pure. Whatever the provider sends becomes one of the messages below; nothing it can send
raises. All times are seconds of *its* session; ``timeline`` places them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime_core.model import SAMPLE_RATE_HZ, Word
from realtime_core.stt.config import GladiaConfig

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


Message = (
    TranscriptMessage
    | SpeechMessage
    | AudioAck
    | AudioRefused
    | StopAck
    | ErrorMessage
    | Unused
    | Unknown
    | Malformed
)


def start_body(config: GladiaConfig, session: str) -> dict[str, Any]:
    """Return the body of ``POST /v2/live``; only known keys, for others are refused."""
    body: dict[str, Any] = {
        "encoding": "wav/pcm",
        "bit_depth": 16,
        "sample_rate": SAMPLE_RATE_HZ,
        "channels": 1,
        "model": config.model,
        "endpointing": config.endpointing_s,
        "maximum_duration_without_endpointing": config.max_utterance_s,
        "language_config": {
            "languages": list(config.languages),
            "code_switching": config.code_switching,
        },
        "pre_processing": {"audio_enhancer": config.audio_enhancer},
        "custom_metadata": {"sessionSlug": session},
        "messages_config": _messages_config(),
    }
    if config.speech_threshold is not None:
        body["pre_processing"]["speech_threshold"] = config.speech_threshold
    if config.vocabulary:
        body["realtime_processing"] = {
            "custom_vocabulary": True,
            "custom_vocabulary_config": {"vocabulary": list(config.vocabulary)},
        }
    return body


def _messages_config() -> dict[str, bool]:
    return {
        "receive_partial_transcripts": True,
        "receive_final_transcripts": True,
        "receive_speech_events": True,
        "receive_acknowledgments": True,  # without them nothing can be resumed
        "receive_errors": True,
        "receive_lifecycle_events": True,
        "receive_pre_processing_events": False,
        "receive_realtime_processing_events": False,
        "receive_post_processing_events": False,  # megabytes after a long meeting
    }


def message_type(message: Message) -> str:
    """Return the message's label for metrics, from a bounded set."""
    match message:
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


def parse(frame: bytes | str) -> Message:
    """Read one message from the socket. Never raises."""
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

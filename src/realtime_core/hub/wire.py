"""What we send over the WebSocket: messages as JSON, and the frame around them. Pure.

``docs/protocol.md`` is the contract; a test runs its examples through this module. The
codes with which we hang up are in :class:`CloseCode`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import pack
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from realtime_core.errors import RequestError
from realtime_core.model import AudioGap, SpeakerShare, Transcript, Word, is_slug

FIN_AND_TEXT = 0x81
FIN_AND_PONG = 0x8A
PING_FRAME = bytes((0x89, 0))
DECIMALS = 3  # of seconds and confidences; floats' tails would be half of a message

T = TypeVar("T")


class CloseCode(IntEnum):
    """Why we close a WebSocket, and whether the client should come back."""

    NORMAL = 1000
    SHUTTING_DOWN = 4001
    TOO_SLOW = 4008
    BAD_REQUEST = 4400
    UNAUTHORISED = 4401
    FORBIDDEN = 4403
    UNKNOWN_SESSION = 4404
    NO_SUBSCRIBE = 4408
    TOO_MANY = 4429

    @property
    def come_back(self) -> bool:
        """Whether the client should reconnect, with jitter and with ``since``."""
        return self in (CloseCode.SHUTTING_DOWN, CloseCode.TOO_SLOW)

    @property
    def reason(self) -> bytes:
        """What the close frame says beside the code."""
        return self.name.lower().replace("_", " ").encode()


def frame(payload: bytes) -> bytes:
    """Return one unmasked, unfragmented WebSocket text frame (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return pack("!BB", FIN_AND_TEXT, length) + payload
    if length < 1 << 16:
        return pack("!BBH", FIN_AND_TEXT, 126, length) + payload
    return pack("!BBQ", FIN_AND_TEXT, 127, length) + payload


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a WebSocket ping, whose payload has at most 125 bytes."""
    return pack("!BB", FIN_AND_PONG, len(payload)) + payload


# Server to client.


class ServerMessage(Struct, frozen=True, kw_only=True, rename="camel", tag_field="type"):
    """What we send; the subclass's tag is the message's ``type``."""

    def encode(self) -> bytes:
        """Return the message as JSON.

        Half a surrogate pair, which a client can smuggle in as a name, is replaced by "?".
        """
        try:
            return _encoder.encode(self)
        except UnicodeEncodeError:
            return _encoder.encode(_printable(msgspec.to_builtins(self)))


class WordMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """One word of a final, in seconds on the session clock."""

    word: str
    start: float
    end: float
    confidence: float | None = None
    speaker_id: str | None = None


class SpeakerMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """One of several who spoke at once, and their share of the time."""

    id: str
    name: str
    share: float


# What a browser's numbers can count to.
Count = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class TranscriptMessage(
    ServerMessage, frozen=True, kw_only=True, tag="transcript", forbid_unknown_fields=True
):
    """A draft or final. The first eight fields are the original system's, unchanged.

    Attributes:
        ts: When it was sent, in Unix milliseconds. Ours is whole.
        seq, rev: Set in all that we send. A payload that others post may lack them.
        speakers: All who spoke, if that was more than one; the first is ``speaker``.
        finalized_by, words: Only finals have them.
    """

    session_slug: str
    utterance_id: str
    text: str
    is_final: bool
    speaker: str
    speaker_id: str
    ts: int | float
    seq: Count | UnsetType = UNSET
    rev: Count | UnsetType = UNSET
    started_at: float | UnsetType = UNSET
    ended_at: float | UnsetType = UNSET
    language: str | None = None
    confidence: float | None = None
    speaker_confidence: float | None = None
    finalized_by: str | UnsetType = UNSET
    words: list[WordMessage] | UnsetType = UNSET
    speakers: list[SpeakerMessage] | UnsetType = UNSET


class ReadyMessage(ServerMessage, frozen=True, kw_only=True, tag="ready"):
    """The first message after subscribing: where the session stands and what was missed.

    Attributes:
        drafts, history: Transcript messages, as they were sent the first time.
        recovered: Whether ``history`` is all that was missed; only in answer to ``since``.
    """

    session_slug: str
    state: str
    epoch: str
    seq: int
    drafts: list[Raw]
    history: list[Raw]
    recovered: bool | UnsetType = UNSET


class StatusMessage(ServerMessage, frozen=True, kw_only=True, tag="status"):
    """The session changed its state."""

    session_slug: str
    state: str
    reason: str


class GapMessage(ServerMessage, frozen=True, kw_only=True, tag="gap"):
    """Audio between two moments of the session clock was lost."""

    session_slug: str
    from_s: float = msgspec.field(name="from")
    to_s: float = msgspec.field(name="to")
    reason: str


class StartedMessage(ServerMessage, frozen=True, kw_only=True, tag="started"):
    """A ``start`` was carried out.

    Attributes:
        is_new: Whether it started the session; else it was running.
        result: What the HTTP call would have answered.
    """

    session_slug: str
    is_new: bool
    result: Mapping[str, Any]


class StoppedMessage(ServerMessage, frozen=True, kw_only=True, tag="stopped"):
    """A ``stop`` was carried out; ``result`` is what the HTTP call would have answered."""

    session_slug: str
    result: Mapping[str, Any]


class PongMessage(ServerMessage, frozen=True, tag="pong"):
    """The answer to ``ping``."""


class ErrorMessage(ServerMessage, frozen=True, kw_only=True, tag="error"):
    """What the client sent was refused; ``field`` names the offending field, if one does."""

    code: str
    message: str
    field: str | UnsetType = UNSET

    @classmethod
    def of(cls, error: RequestError) -> ErrorMessage:
        """Return what a client is told of ``error``."""
        return cls(code=error.code, message=error.message, field=error.field or UNSET)


_encoder = msgspec.json.Encoder()


def transcript_message(transcript: Transcript, *, sent_at_ms: int) -> TranscriptMessage:
    """Return what viewers are told of a draft or final."""
    final = transcript.is_final
    by = transcript.finalized_by
    return TranscriptMessage(
        session_slug=transcript.session_slug,
        utterance_id=transcript.utterance_id,
        text=transcript.text,
        is_final=final,
        speaker=transcript.speaker,
        speaker_id=transcript.speaker_id,
        ts=sent_at_ms,
        seq=transcript.seq,
        rev=transcript.rev,
        started_at=round(transcript.start_s, DECIMALS),
        ended_at=round(transcript.end_s, DECIMALS),
        language=transcript.language,
        confidence=_rounded(transcript.confidence),
        speaker_confidence=_rounded(transcript.speaker_confidence),
        finalized_by=by.value if final and by else UNSET,
        words=[_word(word) for word in transcript.words] if final else UNSET,
        speakers=[_speaker(share) for share in transcript.speakers] or UNSET,
    )


def gap_message(slug: str, gap: AudioGap) -> GapMessage:
    """Return what viewers are told of lost audio."""
    from_s, to_s = round(gap.from_s, DECIMALS), round(gap.to_s, DECIMALS)
    return GapMessage(session_slug=slug, from_s=from_s, to_s=to_s, reason=gap.reason)


def _word(word: Word) -> WordMessage:
    return WordMessage(
        word=word.text,
        start=round(word.start_s, DECIMALS),
        end=round(word.end_s, DECIMALS),
        confidence=_rounded(word.confidence),
        speaker_id=word.speaker_id,
    )


def _speaker(share: SpeakerShare) -> SpeakerMessage:
    rounded = round(share.share, DECIMALS)
    return SpeakerMessage(id=share.speaker_id, name=share.speaker, share=rounded)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _printable(each) for key, each in value.items()}
    return [_printable(each) for each in value] if isinstance(value, list) else value


# What others send, read strictly.

MALFORMED = "malformed_json"
_FIELD = re.compile(r"`(?:\$\.)?([A-Za-z]\w*)[^`]*`$")


def parse_transcript(payload: bytes) -> TranscriptMessage:
    """Read a transcript that another service posted.

    Raises:
        RequestError: 400.
    """
    message = reading(lambda: msgspec.json.decode(payload, type=TranscriptMessage))
    check_slug(message.session_slug)
    return message


def check_slug(slug: str) -> None:
    """Refuse a name that cannot name a session.

    Raises:
        RequestError: 400.
    """
    if not is_slug(slug):
        raise RequestError(400, "invalid_slug", "that cannot name a session", "sessionSlug")


def reading(decode: Callable[[], T]) -> T:
    """Return what ``decode`` returns, with msgspec's complaints made ours.

    Raises:
        RequestError: 400; its code is :data:`MALFORMED` when the text is no JSON at all.
    """
    try:
        return decode()
    except msgspec.ValidationError as exc:
        # Its texts end in "field `x`" or "at `$.x`".
        named = _FIELD.search(str(exc))
        field = named.group(1) if named else None
        raise RequestError(400, "invalid_message", str(exc), field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestError(400, MALFORMED, "the message is not JSON") from None

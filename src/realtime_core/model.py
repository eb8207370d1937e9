"""The vocabulary: what flows between the stages, frozen, with units.

Times that end in ``_s`` are seconds on the *session clock* (decoded PCM bytes / 32 000)
unless a field says otherwise. Nothing here imports anything of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

SAMPLE_RATE_HZ = 16_000
BYTES_PER_SAMPLE = 2
BYTES_PER_SECOND = SAMPLE_RATE_HZ * BYTES_PER_SAMPLE

# Slugs name streams, sessions and rows, and appear in URLs; so one narrow form everywhere.
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")

ROOM_SPEAKER = "room"
"""Name and id of the speaker when nobody is known to have spoken."""


def is_slug(text: str) -> bool:
    """Whether ``text`` can name a session."""
    return SLUG.fullmatch(text) is not None


def seconds_of(pcm_bytes: int) -> float:
    """Return how long so many bytes of PCM last."""
    return pcm_bytes / BYTES_PER_SECOND


class Silence(bytes):
    """PCM in the place of audio that was lost, so that what follows keeps its time."""


@dataclass(frozen=True, slots=True)
class AudioTag:
    """One RTMP audio message that the decoder is to see: AAC, configuration or frame.

    Attributes:
        payload: The body of an FLV audio tag in its legacy form: ``af 00`` and an
            AudioSpecificConfig, or ``af 01`` and one AAC frame.
        timestamp_ms: The publisher's clock, extended to 64 bits.
        is_config: Whether this is the AudioSpecificConfig.
    """

    payload: bytes
    timestamp_ms: int
    is_config: bool


class PublishEnd(Enum):
    """Why a publish ended; only a clean end ends the session at once."""

    CLEAN = "clean"
    LOST = "lost"
    TAKEN_OVER = "taken_over"
    STOPPED = "stopped"


class SessionState(Enum):
    """Where a session stands (the arrows are in ``lifecycle.py``)."""

    WAITING_FOR_EGRESS = "waiting_for_egress"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    DRAINING = "draining"
    ENDED = "ended"


class FinalizedBy(Enum):
    """Who decided that an utterance is final."""

    STT = "stt"
    TIMEOUT = "timeout"
    END = "end"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an utterance, on the session clock."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    speaker_id: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechHeard:
    """A draft or a final as the speech-to-text service sent it, on the session clock.

    Attributes:
        stt_session_id: The provider's session; utterance ids are unique only within it.
        utterance_id: The provider's id, opaque. It may change between draft and final.
        text: The whole text so far, stripped.
        speaker: The provider's own speaker, which the live API never sends today.
        received_at: When the message came in, by the monotonic clock, as the event loop's is.
    """

    stt_session_id: str
    utterance_id: str
    text: str
    is_final: bool
    start_s: float
    end_s: float
    received_at: float
    language: str | None = None
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class SpeechBoundary:
    """The provider heard speech begin (``started``) or end, at ``at_s``."""

    at_s: float
    started: bool


@dataclass(frozen=True, slots=True)
class AudioGap:
    """Audio between two times was lost on its way to the provider."""

    from_s: float
    to_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class SttStatus:
    """The connection to the provider came up, went down, or was refused for good.

    Attributes:
        available: Whether audio is being transcribed now.
        reason: For viewers and logs; holds no key and no url.
        final: Nothing will be tried any more in this session.
    """

    available: bool
    reason: str
    final: bool = False


SttEvent = SpeechHeard | SpeechBoundary | AudioGap | SttStatus


@dataclass(frozen=True, slots=True)
class SpeakerReport:
    """What one client sees: who is speaking now.

    Attributes:
        identity: ``userId:sessionId`` of the reporting client's platform; None when nobody is.
        client: Who reports it, opaque; one clock.
        said_at: When, by that clock, in seconds since whenever; None if it does not say.
        is_own: Whether the client may report only itself.
    """

    identity: str | None
    name: str
    client: str
    said_at: float | None = None
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class SpeakerSample:
    """One report "identity X is speaking now", dated.

    Attributes:
        identity: ``userId:sessionId`` of the reporting client's platform; None when nobody
            is speaking, as that client sees it.
        at_s: When it was said, on the session clock, before the lag is applied.
        client: Who reported it, opaque.
        is_own: Whether the client may report only itself.
    """

    identity: str | None
    name: str
    at_s: float
    client: str = ""
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class SpeakerShare:
    """One of those who spoke at the same time, and the share of the time, 0 to 1."""

    speaker_id: str
    speaker: str
    share: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who said it, and how sure that is, 0 to 1; None says that it is a fallback.

    Attributes:
        speakers: All who spoke, the first of them most, if that was more than one.
    """

    speaker: str
    speaker_id: str
    confidence: float | None
    speakers: tuple[SpeakerShare, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """A draft or final on its way to viewers, and to the table when final.

    Attributes:
        seq: Grows by one with each transcript of the session.
        rev: Grows by one with each transcript of the utterance, from 1.
        received_at: When its cause came in, by the monotonic clock.
        speakers: All who spoke, if that was more than one; ``speaker`` spoke most.
    """

    session_slug: str
    utterance_id: str
    text: str
    is_final: bool
    speaker: str
    speaker_id: str
    speaker_confidence: float | None
    seq: int
    rev: int
    start_s: float
    end_s: float
    received_at: float
    language: str | None = None
    confidence: float | None = None
    finalized_by: FinalizedBy | None = None
    words: tuple[Word, ...] = ()
    speakers: tuple[SpeakerShare, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What start may set for one session; empty means the service's setting."""

    languages: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a restarted service has to know of a session in order to go on with it.

    Attributes:
        epoch: Names the numbering, which goes on after ``seq``.
        created_at: When it was started, in Unix seconds.
        was_published: A publisher has come at least once.
        is_ending: It was stopped, or its publisher said goodbye; nobody comes back to it.
        zero_at: Where its clock is zero, in Unix seconds; None before its first audio.
        finals: Utterances that have a final.
        heard_to_s: The session clock up to which audio was transcribed, as far as is known.
        drafts: What viewers see as draft; each is owed a final.
        speaker_lag_s: How much later speech comes than its reports, once that was measured.
    """

    slug: str
    epoch: str
    options: SessionOptions = SessionOptions()
    created_at: float = 0.0
    was_published: bool = False
    is_ending: bool = False
    zero_at: float | None = None
    seq: int = 0
    finals: int = 0
    heard_to_s: float = 0.0
    drafts: tuple[Transcript, ...] = ()
    speaker_lag_s: float | None = None


@dataclass(frozen=True, slots=True)
class FinalRow:
    """A final as a row of the table ``transcripts``. Times are Unix seconds.

    Attributes:
        epoch: The run of the session; ``seq`` counts within it, and only there.
        speakers: All who spoke, if that was more than one.
    """

    session_slug: str
    epoch: str
    utterance_id: str
    rev: int
    seq: int
    text: str
    speaker: str
    speaker_id: str
    speaker_confidence: float | None
    language: str | None
    confidence: float | None
    words: tuple[Word, ...]
    finalized_by: FinalizedBy
    started_at: float
    ended_at: float
    received_at: float
    speakers: tuple[SpeakerShare, ...] = ()

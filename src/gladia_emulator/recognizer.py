"""What a session needs of a recogniser. Pure."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Word:
    """One word; times are seconds since the session's first sample."""

    text: str
    start_s: float
    end_s: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an utterance is taken to say so far; no words means nothing was understood."""

    words: tuple[Word, ...]
    start_s: float
    end_s: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Onset:
    """The beginning of an utterance.

    Attributes:
        number: How many utterances came before it on its channel.
        start_s: Where speech begins.
        audio_from_s: Where the audio begins that the recogniser gets: a little earlier.
    """

    number: int
    start_s: float
    audio_from_s: float


class Hearing(Protocol):
    """One utterance while it is spoken. PCM is 16-bit, 16 kHz, mono."""

    async def grew(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Take the audio that came since the last call and return a draft."""

    async def ended(self, pcm: bytes, voiced_until_s: float) -> Hypothesis:
        """Take the last of the audio and return the final."""


class Recognizer(Protocol):
    """Turns utterances into words; entered before use, shared by all sessions."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def hear(self, onset: Onset) -> AbstractAsyncContextManager[Hearing]:
        """Return what follows one utterance; leaving it early gives the utterance up."""

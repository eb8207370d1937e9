"""What a session is made of, as the session needs it; ``parts`` provides it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from realtime_core.captioner import Captioner
from realtime_core.model import (
    AudioGap,
    AudioTag,
    PublishEnd,
    SessionOptions,
    SessionRecord,
    SessionState,
    SttEvent,
)


class Decoder(Protocol):
    """What a session needs of a decoder. It takes tags before it runs, too."""

    @property
    def queued_s(self) -> float:
        """Audio that was fed and has not come out, in seconds."""

    def feed(self, tag: AudioTag) -> None:
        """Take a tag; never waits. What does not fit becomes silence and is counted."""

    def skip(self, seconds: float) -> None:
        """Let silence of this length come out before the frame that is fed next."""

    def end(self) -> None:
        """Promise that no more tags come."""

    async def run(self, emit: Callable[[bytes], None]) -> None:
        """Decode until all is out that was fed before :meth:`end`.

        PCM is emitted as it is there, mostly from where it is fed: what ``emit`` raises is
        raised here, and not there.

        Raises:
            DecoderError: The decoder does not stay alive.
        """


class SttStatistics(Protocol):
    """Where a session's audio stands."""

    @property
    def sent_bytes(self) -> int:
        """PCM sent to the provider, resends included."""


class SttBridge(Protocol):
    """What a session needs of speech-to-text."""

    def statistics(self) -> SttStatistics:
        """Return where the audio stands."""

    def send(self, pcm: bytes) -> None:
        """Take PCM; never waits."""

    def end(self) -> None:
        """Promise that no more audio comes."""

    async def run(self, emit: Callable[[SttEvent], None]) -> None:
        """Stream until everything after :meth:`end` has come in.

        Raises:
            SttRejected: It will never work.
        """


class Publisher(Protocol):
    """What a session needs of the publish that feeds it."""

    @property
    def id(self) -> int:
        """Unique in this process."""

    @property
    def peer(self) -> str:
        """Where it comes from, for logs."""

    def close(self, end: PublishEnd) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts of a session and what it tells.

    Attributes:
        decoder: Makes a decoder for a slug.
        captioner: Makes the captioner of a session, new or gone on with.
        settle: Brings what the session said to viewers and into the table, as far as that
            goes in bounded time.
        status: Tells viewers of a change.
        gap: Tells viewers of lost audio.
    """

    decoder: Callable[[str], Decoder]
    stt: Callable[[str, SessionOptions], SttBridge]
    captioner: Callable[[SessionRecord], Captioner]
    settle: Callable[[str], Awaitable[None]]
    status: Callable[[str, SessionState, str], None]
    gap: Callable[[str, AudioGap], None]


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a session waits for publishers, in seconds."""

    publish_grace_s: float = 35.0
    idle_timeout_s: float = 3600.0

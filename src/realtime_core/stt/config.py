"""What the bridge is told: the provider's options, and how long to wait for what."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GladiaConfig:
    """Where Gladia is and what it is asked for.

    Attributes:
        api_url: ``http(s)://host[:port]`` of Gladia, or of the emulator.
        region: ``eu-west`` or ``us-west``; None lets Gladia choose.
        languages: ISO codes. One fixes the language, several are candidates.
        endpointing_s: Silence that ends an utterance.
        max_utterance_s: An utterance is ended after so long without silence.
        speech_threshold: 0 to 1, nearer to 1 is stricter; None is Gladia's default.
    """

    api_url: str
    api_key: str = field(repr=False)
    region: str | None = None
    model: str = "solaria-1"
    languages: tuple[str, ...] = ()
    code_switching: bool = False
    endpointing_s: float = 0.3
    max_utterance_s: float = 15.0
    vocabulary: tuple[str, ...] = ()
    speech_threshold: float | None = None
    audio_enhancer: bool = False


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the bridge waits, in seconds.

    Attributes:
        drain_s: For the last finals, after the end of the audio or of an STT session.
        ack_s: For an acknowledgement while audio is in flight; then the link is dead.
        probe_s: For the answer to an empty chunk after a resume.
        settle_s: For the provider's count after a resume; then the socket is dropped again.
        idle_s: Without audio until the STT session is ended politely. The provider hangs up
            after 30.
        farewell_s: For saying goodbye when the bridge is cancelled.
        recover_s: For fetching finals that the socket did not bring.
        poll_s: Between two looks for them.
        max_session_s: Age at which an STT session is replaced, in silence. The provider ends
            it at 10 800.
        rotate_grace_s: How long that waits for silence.
        tick_s: Between two looks at all these.
    """

    drain_s: float = 10.0
    ack_s: float = 15.0
    probe_s: float = 1.0
    settle_s: float = 3.0
    idle_s: float = 20.0
    farewell_s: float = 1.0
    recover_s: float = 5.0
    poll_s: float = 0.5
    max_session_s: float = 10_200.0
    rotate_grace_s: float = 300.0
    tick_s: float = 1.0

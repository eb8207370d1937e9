"""What a publisher may cost us, and for how long: each bound with its reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and timers of one connection; tests shorten them."""

    chunk_streams: int = 32
    """Encoders use five; each one may hold a message in the making."""

    media_bytes: int = MIB
    """Audio, video and aggregates. A large key frame fits, 16 MB of nothing does not."""

    command_bytes: int = 64 * KIB
    """Commands and metadata."""

    control_bytes: int = 4 * KIB
    """Protocol control; the longest that has a meaning is 18 bytes."""

    unfinished_bytes: int = 2 * MIB
    """All messages in the making of a connection together: its share of our memory."""

    before_publish_bytes: int = 64 * KIB
    """Ten times what any encoder needs to come to its publish."""

    before_publish_commands: int = 32
    """Encoders send four to six."""

    streams_created: int = 8
    """One is the rule; some encoders ask again while they retry."""

    output_bytes: int = 256 * KIB
    """Replies that a peer does not read; all that we ever have to say is a few KB."""

    handshake_s: float = 5.0
    """What GStreamer, Red5 and rtmp2sink itself grant."""

    publish_s: float = 10.0
    """From the end of the handshake to the publish: a handful of round trips."""

    first_audio_s: float = 20.0
    """From publish to the first audio that can be decoded; egress mixes for 3 s first."""

    idle_s: float = 15.0
    """Without any byte. Egress sends silence, so a quiet wire is a dead wire."""

    write_s: float = 10.0
    """How long a peer may leave our replies unread."""

    ping_s: float = 20.0
    """Between our pings; they make dead routes show."""

    linger_s: float = 1.0
    """After our last word: time for the peer to read it before the socket goes."""

    leave_s: float = 5.0
    """After a clean end: time for the peer to leave. rtmp2sink fails its whole pipeline
    when the server hangs up before it."""

    ack_bytes: int = 1_250_000
    """Acknowledge at the latest after so many bytes, half of the window we announce, or
    half of the peer's when that is smaller."""

    ack_s: float = 10.0
    """Acknowledge at the latest so long after the first byte that was not.

    Egress only needs the one at publish. More would harm FFmpeg: it reads one message for
    every ten it writes, and to leave with one unread resets the connection, which takes
    its farewell along. With one each 0.2 s, 53 of 60 clean ends looked like losses.
    """

    refusal_least_s: float = 1.0
    """Egress comes back at once, without any pause, when it is refused; so the pause is ours."""

    refusal_most_s: float = 2.0
    """Upper end of the same, so that many refused peers do not come back in step."""

    refusal_spacing_s: float = 1.0
    """Between two refusals on one slug, however many peers try it at once."""

    takeovers: int = 5
    """Take-overs of one slug within :attr:`takeover_window_s`; more are refused as busy."""

    takeover_window_s: float = 30.0
    """Two live encoders on one slug would otherwise replace each other for ever."""


DEFAULT_LIMITS = Limits()

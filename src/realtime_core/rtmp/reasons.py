"""Why a connection ended and why a publish was refused: closed sets, for metrics. Pure."""

from __future__ import annotations

from enum import Enum

from realtime_core.errors import ProtocolViolation


class CloseReason(Enum):
    """Why a connection ended. The value is the label of its metric."""

    # The peer's own will.
    UNPUBLISHED = "unpublished"
    PEER_CLOSED = "peer_closed"
    PEER_RESET = "peer_reset"
    # Ours, said politely.
    REFUSED = "refused"
    PLAY_REFUSED = "play_refused"
    TAKEN_OVER = "taken_over"
    STOPPED = "stopped"
    KICKED = "kicked"
    # Timers.
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    PUBLISH_TIMEOUT = "publish_timeout"
    FIRST_AUDIO_TIMEOUT = "first_audio_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    WRITE_TIMEOUT = "write_timeout"
    # Limits.
    TOO_MANY_CONNECTIONS = "too_many_connections"
    MESSAGE_TOO_LARGE = "message_too_large"
    TOO_MUCH_UNFINISHED = "too_much_unfinished"
    TOO_MANY_CHUNK_STREAMS = "too_many_chunk_streams"
    TOO_MUCH_BEFORE_PUBLISH = "too_much_before_publish"
    TOO_MANY_COMMANDS = "too_many_commands"
    TOO_MANY_STREAMS = "too_many_streams"
    OUTPUT_UNREAD = "output_unread"
    # Violations.
    NOT_RTMP = "not_rtmp"
    BAD_CHUNK_HEADER = "bad_chunk_header"
    BAD_CHUNK_SIZE = "bad_chunk_size"
    BAD_CONTROL_MESSAGE = "bad_control_message"
    # Our own fault, or the host's.
    INTERNAL_ERROR = "internal_error"

    @property
    def is_polite(self) -> bool:
        """Whether the peer is given time to read our last word."""
        return self in _POLITE


_POLITE = frozenset(
    {
        CloseReason.UNPUBLISHED,
        CloseReason.REFUSED,
        CloseReason.PLAY_REFUSED,
        CloseReason.TAKEN_OVER,
        CloseReason.STOPPED,
        CloseReason.KICKED,
    }
)


class Refusal(Enum):
    """Why a publish was refused. The value is the label of its metric."""

    UNKNOWN_STREAM = "unknown_stream"
    UNAUTHORIZED = "unauthorized"
    BUSY = "busy"
    BAD_NAME = "bad_name"
    SHUTTING_DOWN = "shutting_down"


def violation(reason: CloseReason, detail: str = "") -> ProtocolViolation:
    """Return the exception that closes a connection for ``reason``."""
    return ProtocolViolation(reason.value, detail)

"""RTMP messages and what they are called. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from realtime_core.rtmp.limits import Limits


class MessageType(IntEnum):
    """Message type ids (specification 5.4, 6.2 and 7.1)."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


class UserControl(IntEnum):
    """The user control events we send or answer (specification 7.1.7)."""

    STREAM_BEGIN = 0
    PING = 6
    PONG = 7


class MessageKind(StrEnum):
    """What was read, for the metric: first the kinds, then what was skipped and why."""

    AUDIO = "audio"
    VIDEO = "video"
    DATA = "data"
    COMMAND = "command"
    CONTROL = "control"
    AGGREGATE = "aggregate"
    OTHER = "other"
    AUDIO_EMPTY = "audio_empty"
    AUDIO_UNSUPPORTED = "audio_unsupported"
    AUDIO_BEFORE_CONFIG = "audio_before_config"
    BEFORE_PUBLISH = "before_publish"
    DATA_MALFORMED = "data_malformed"
    COMMAND_MALFORMED = "command_malformed"
    COMMAND_UNKNOWN = "command_unknown"
    COMMAND_OUT_OF_ORDER = "command_out_of_order"
    AGGREGATE_MALFORMED = "aggregate_malformed"
    PARTIAL_DROPPED = "partial_dropped"
    AMBIGUOUS_DELTA = "ambiguous_delta"


class Message(NamedTuple):
    """One message, put together from its chunks. A tuple, because one is made per frame.

    Attributes:
        timestamp_ms: As on the wire: modulo 2**32.
    """

    type_id: int
    timestamp_ms: int
    stream_id: int
    payload: bytes


KINDS: Mapping[int, MessageKind] = {
    MessageType.SET_CHUNK_SIZE: MessageKind.CONTROL,
    MessageType.ABORT: MessageKind.CONTROL,
    MessageType.ACKNOWLEDGEMENT: MessageKind.CONTROL,
    MessageType.USER_CONTROL: MessageKind.CONTROL,
    MessageType.WINDOW_ACK_SIZE: MessageKind.CONTROL,
    MessageType.SET_PEER_BANDWIDTH: MessageKind.CONTROL,
    MessageType.AUDIO: MessageKind.AUDIO,
    MessageType.VIDEO: MessageKind.VIDEO,
    MessageType.DATA_AMF3: MessageKind.DATA,
    MessageType.DATA: MessageKind.DATA,
    MessageType.COMMAND_AMF3: MessageKind.COMMAND,
    MessageType.COMMAND: MessageKind.COMMAND,
    MessageType.AGGREGATE: MessageKind.AGGREGATE,
}

_MEDIA: frozenset[int] = frozenset({MessageType.AUDIO, MessageType.VIDEO, MessageType.AGGREGATE})

LEAST_BYTES: Mapping[int, int] = {
    MessageType.SET_CHUNK_SIZE: 4,
    MessageType.ABORT: 4,
    MessageType.ACKNOWLEDGEMENT: 4,
    MessageType.USER_CONTROL: 2,
    MessageType.WINDOW_ACK_SIZE: 4,
    MessageType.SET_PEER_BANDWIDTH: 5,
}
"""Control messages that are shorter than this are a violation."""


def kind_of(type_id: int) -> MessageKind:
    """Return under which kind a message is counted."""
    return KINDS.get(type_id, MessageKind.OTHER)


def most_bytes(type_id: int, limits: Limits) -> int:
    """Return how long a message of this type may be."""
    if type_id in _MEDIA:
        return limits.media_bytes
    return limits.control_bytes if type_id in LEAST_BYTES else limits.command_bytes

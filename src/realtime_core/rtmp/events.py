"""What a publisher's connection tells the shell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realtime_core.model import AudioTag
from realtime_core.rtmp.amf import Value
from realtime_core.rtmp.names import StreamName
from realtime_core.rtmp.reasons import CloseReason


@dataclass(frozen=True, slots=True)
class ConnectReceived:
    """A connect came; nothing has been answered yet."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The connect has been accepted."""

    app: str


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Answer with ``accept`` or ``refuse`` before the next event is taken."""

    name: StreamName


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """The publisher described its stream. Nothing depends on it."""

    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class AudioUnsupported:
    """The publisher sends audio that is not AAC; said once."""

    codec: str


@dataclass(frozen=True, slots=True)
class CommandUnknown:
    """A command that means nothing to us; it is skipped."""

    name: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a connection: send what is left, then hang up."""

    reason: CloseReason
    detail: str = ""


Event = (
    AudioTag  # for the decoder; configuration first
    | ConnectReceived
    | Connected
    | PublishRequested
    | MetadataReceived
    | AudioUnsupported
    | CommandUnknown
    | Closed
)

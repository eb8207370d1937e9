"""From RTMP audio to the tags a decoder takes: legacy AAC only. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_core.errors import ProtocolViolation
from realtime_core.model import AudioTag
from realtime_core.rtmp.messages import Message, MessageKind

AAC = 10
ENHANCED = 9
AAC_HEADER = 0xAF
"""What legacy AAC always begins with; rate and channels are in the configuration."""

CONFIG, FRAME = 0, 1
"""Packet types, in legacy AAC and Enhanced RTMP alike."""

SIGNALS = (2, 4)
"""Enhanced packet types that carry no sound: end of sequence, channel layout."""

WIRE_RANGE_MS = 1 << 32

CLOCK_RANGE_MS = 1 << 31
"""FFmpeg's FLV muxer keeps 31 bits, other writers 32. Counting modulo 2**31 follows both
over their wrap, at the price of steps longer than twelve days, which nobody takes."""

TAG_HEADER_BYTES = 11
BACK_POINTER_BYTES = 4


class Skipped(Exception):
    """Not an error: this payload carries nothing to decode; ``kind`` says why.

    Attributes:
        codec: What the payload is, when it is a codec we do not take.
    """

    def __init__(self, kind: MessageKind, codec: str = "") -> None:
        super().__init__(kind.value)
        self.kind, self.codec = kind, codec


class AudioTrack:
    """Turns the audio payloads of one publish into tags.

    Frames are held back until a configuration came: a decoder that guesses guesses wrong.
    """

    def __init__(self) -> None:
        self._configured = False
        self._last_frame_ms: int | None = None

    def take(self, payload: bytes, timestamp_ms: int) -> AudioTag:
        """Return the tag for a payload, its 32-bit time extended to 64.

        Raises:
            Skipped: There is nothing in it for a decoder.
        """
        legacy = legacy_aac(payload)
        is_config = legacy[1] == CONFIG
        if not is_config and not self._configured:
            raise Skipped(MessageKind.AUDIO_BEFORE_CONFIG)
        self._configured = True
        return AudioTag(legacy, self._extend(timestamp_ms, is_config), is_config)

    def _extend(self, timestamp_ms: int, is_config: bool) -> int:
        """Continue the clock by the signed difference, so that it may wrap and step back.

        Frames alone set the clock: after a reconnect rtmp2sink sends its configuration at
        0 and the next frame hours later.
        """
        last_ms = self._last_frame_ms
        if last_ms is None:
            extended_ms = timestamp_ms
        else:
            half = CLOCK_RANGE_MS // 2
            extended_ms = last_ms + (timestamp_ms - last_ms + half) % CLOCK_RANGE_MS - half
        if not is_config:
            self._last_frame_ms = extended_ms
        return extended_ms


def legacy_aac(payload: bytes) -> bytes:
    """Return an audio message's body as a legacy AAC tag body.

    Raises:
        Skipped: It is empty, or something else than AAC.
    """
    if len(payload) < 2:
        raise Skipped(MessageKind.AUDIO_EMPTY)
    sound_format = payload[0] >> 4
    if sound_format == ENHANCED:
        payload = _from_enhanced(payload)
    elif sound_format != AAC:
        raise Skipped(MessageKind.AUDIO_UNSUPPORTED, f"sound format {sound_format}")
    if payload[1] > FRAME:
        raise Skipped(MessageKind.AUDIO_UNSUPPORTED, f"AAC packet type {payload[1]}")
    if len(payload) == 2:  # no configuration, no frame; to a decoder it would mean "flush"
        raise Skipped(MessageKind.AUDIO_EMPTY)
    return payload


def _from_enhanced(payload: bytes) -> bytes:
    """Translate Enhanced RTMP: packet type in the low nibble, then a FourCC."""
    packet_type, codec = payload[0] & 0x0F, payload[1:5]
    if packet_type in SIGNALS:
        raise Skipped(MessageKind.AUDIO_EMPTY)
    if packet_type > FRAME:
        raise Skipped(MessageKind.AUDIO_UNSUPPORTED, f"enhanced packet type {packet_type}")
    if codec != b"mp4a":
        raise Skipped(MessageKind.AUDIO_UNSUPPORTED, codec.decode("ascii", "backslashreplace"))
    return bytes([AAC_HEADER, packet_type]) + payload[5:]


def split_aggregate(aggregate: Message) -> Iterator[Message]:
    """Yield the messages inside an aggregate, which is a run of FLV tags.

    Raises:
        ProtocolViolation: A tag is cut short; those before it have been yielded.
    """
    payload, at = aggregate.payload, 0
    first_ms: int | None = None
    while at < len(payload):
        header = payload[at : at + TAG_HEADER_BYTES]
        at += TAG_HEADER_BYTES
        length = int.from_bytes(header[1:4], "big")
        body = payload[at : at + length]
        if len(header) < TAG_HEADER_BYTES or len(body) < length:
            raise ProtocolViolation("malformed_aggregate")
        at += length + BACK_POINTER_BYTES
        tag_ms = header[7] << 24 | int.from_bytes(header[4:7], "big")
        first_ms = tag_ms if first_ms is None else first_ms
        timestamp_ms = (aggregate.timestamp_ms + tag_ms - first_ms) % WIRE_RANGE_MS
        yield Message(header[0], timestamp_ms, aggregate.stream_id, body)

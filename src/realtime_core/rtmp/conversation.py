"""What a publisher says, message by message, and what it is answered. Pure.

Knows no bytes, no limits in time and no sockets: see ``publish.py`` for those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

from realtime_core.errors import ProtocolViolation
from realtime_core.rtmp import amf
from realtime_core.rtmp.amf import Value
from realtime_core.rtmp.commands import Command, Replies, decode_command, without_amf3_marker
from realtime_core.rtmp.events import (
    AudioUnsupported,
    Closed,
    CommandUnknown,
    Connected,
    ConnectReceived,
    Event,
    MetadataReceived,
    PublishRequested,
)
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.messages import Message, MessageKind, MessageType, UserControl, kind_of
from realtime_core.rtmp.names import stream_name
from realtime_core.rtmp.phases import TRANSITIONS, Phase, Signal, next_phase
from realtime_core.rtmp.reasons import CloseReason, Refusal, violation
from realtime_core.rtmp.tags import AudioTrack, Skipped, split_aggregate


class Conversation:
    """The state machine of one connection.

    Args:
        tally: Where messages are counted, by kind.
        send: Takes the bytes of a reply.
    """

    def __init__(
        self, limits: Limits, tally: Counter[MessageKind], send: Callable[[bytes], object]
    ) -> None:
        self._limits, self._tally, self._send = limits, tally, send
        self._replies = Replies()
        self._track = AudioTrack()
        self._connect: Mapping[str, Value] = {}
        self._stream_id = 0  # the message stream of the publish
        self._streams_created = 0
        self._commands = 0
        self._said_unsupported = False
        self.has_audio = False
        self.phase = Phase.HANDSHAKE

    def move(self, signal: Signal) -> None:
        """Follow an arrow of the table."""
        self.phase = next_phase(self.phase, signal)

    def accept(self) -> None:
        """Let the publish that was requested begin."""
        self.move(Signal.ACCEPT)
        self._send(self._replies.started(self._stream_id))

    def refuse(self) -> None:
        """Do not let it begin; the peer is told later, by :meth:`close_refused`."""
        self.move(Signal.REFUSE)

    def close_refused(self, refusal: Refusal) -> Closed:
        """Tell the peer that it was refused."""
        self._send(self._replies.refused(self._stream_id, refusal))
        return self.closed(CloseReason.REFUSED, refusal.value)

    def close_live(self, reason: CloseReason) -> Closed:
        """End it from our side; a live publisher is told why, if it is there to hear it."""
        if self.phase is Phase.PUBLISHING and reason.is_polite:
            self._send(self._replies.ended(self._stream_id, reason))
        return self.closed(reason)

    def closed(self, reason: CloseReason, detail: str = "") -> Closed:
        """End it and return the event that says so."""
        self.move(Signal.CLOSE)
        return Closed(reason, detail)

    def acknowledge(self, received_bytes: int) -> None:
        """Acknowledge all bytes received so far."""
        self._send(self._replies.acknowledgement(received_bytes))

    def ping(self, token: bytes) -> None:
        """Ask the peer whether it is there."""
        self._send(self._replies.ping(token))

    def receive(self, message: Message) -> Iterator[Event]:
        """Take one message; yield what it means.

        Raises:
            ProtocolViolation: The connection cannot go on.
        """
        if message.type_id == MessageType.AUDIO:
            event = self.hear(message)
            return iter(() if event is None else (event,))
        self._tally[kind_of(message.type_id)] += 1
        match message.type_id:
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                return self._on_command(message)
            case MessageType.DATA | MessageType.DATA_AMF3:
                return self._on_data(message)
            case MessageType.AGGREGATE:
                return self._on_aggregate(message)
            case MessageType.USER_CONTROL:
                self._on_user_control(message.payload)
            case _:
                pass  # video is dropped; the chunk layer obeys what is left
        return iter(())

    def hear(self, message: Message) -> Event | None:
        """Take one audio message; return what it means, if anything."""
        self._tally[MessageKind.AUDIO] += 1
        if self.phase is not Phase.PUBLISHING:
            self._tally[MessageKind.BEFORE_PUBLISH] += 1
            return None
        try:
            tag = self._track.take(message.payload, message.timestamp_ms)
        except Skipped as skipped:
            return self._skip(skipped)
        if not tag.is_config:
            self.has_audio = True
        return tag

    def _skip(self, skipped: Skipped) -> AudioUnsupported | None:
        self._tally[skipped.kind] += 1
        if not skipped.codec or self._said_unsupported:
            return None
        self._said_unsupported = True
        return AudioUnsupported(skipped.codec)

    def _on_aggregate(self, message: Message) -> Iterator[Event]:
        try:
            for inner in split_aggregate(message):
                if inner.type_id == MessageType.AUDIO and self.phase.listens:
                    yield from self.receive(inner)
        except ProtocolViolation:
            self._tally[MessageKind.AGGREGATE_MALFORMED] += 1

    def _on_data(self, message: Message) -> Iterator[Event]:
        try:
            values = amf.decode(without_amf3_marker(message))
        except ProtocolViolation:
            self._tally[MessageKind.DATA_MALFORMED] += 1
            return
        metadata = values[-1] if values else None
        if "onMetaData" in values and isinstance(metadata, dict):
            yield MetadataReceived(metadata)

    def _on_user_control(self, payload: bytes) -> None:
        if int.from_bytes(payload[:2], "big") != UserControl.PING:
            return
        if len(payload) < 6:
            raise violation(CloseReason.BAD_CONTROL_MESSAGE, "ping without its token")
        self._send(self._replies.pong(payload[2:6]))

    def _on_command(self, message: Message) -> Iterator[Event]:
        self._count_command()
        try:
            command = decode_command(message)
        except ProtocolViolation:
            self._tally[MessageKind.COMMAND_MALFORMED] += 1
            return
        if not command.is_whole:
            self._tally[MessageKind.COMMAND_MALFORMED] += 1
            self._send(self._replies.failed(command.transaction_id, "malformed"))
            return
        yield from self._ANSWERS.get(command.name, Conversation._on_unknown)(self, command)

    def _count_command(self) -> None:
        self._commands += 1
        too_many = self._commands > self._limits.before_publish_commands
        if too_many and self.phase is not Phase.PUBLISHING:
            raise violation(CloseReason.TOO_MANY_COMMANDS)

    def _on_unknown(self, command: Command) -> Iterator[Event]:
        self._tally[MessageKind.COMMAND_UNKNOWN] += 1
        yield CommandUnknown(command.name)

    def _on_connect(self, command: Command) -> Iterator[Event]:
        if not self._may(Signal.CONNECT):
            self._out_of_order(command)
            return
        self._connect = command.properties()
        yield ConnectReceived()
        self.move(Signal.CONNECT)
        self._send(self._replies.connected(command.transaction_id))
        yield Connected(stream_name(self._connect, "").app)

    def _on_release(self, command: Command) -> Iterator[Event]:
        if self._is_connected(command):
            self._send(self._replies.done(command.transaction_id))
        return iter(())

    def _on_prepare(self, command: Command) -> Iterator[Event]:
        if self._is_connected(command):
            self._send(self._replies.prepared(command.transaction_id))
        return iter(())

    def _on_create_stream(self, command: Command) -> Iterator[Event]:
        if not self._may(Signal.CREATE_STREAM):
            self._out_of_order(command)
            return iter(())
        self._streams_created += 1
        if self._streams_created > self._limits.streams_created:
            raise violation(CloseReason.TOO_MANY_STREAMS)
        self.move(Signal.CREATE_STREAM)
        self._send(self._replies.stream_created(command.transaction_id, self._streams_created))
        return iter(())

    def _on_publish(self, command: Command) -> Iterator[Event]:
        if not self._may(Signal.PUBLISH):
            self._out_of_order(command)
            return
        self.move(Signal.PUBLISH)
        self._stream_id = command.stream_id
        yield PublishRequested(stream_name(self._connect, command.text(1)))
        assert self.phase is not Phase.DECIDING, "a requested publish was not answered"

    def _on_play(self, command: Command) -> Iterator[Event]:
        self._send(self._replies.not_possible(command.stream_id, command.name))
        yield self.closed(CloseReason.PLAY_REFUSED)

    def _on_end(self, _command: Command) -> Iterator[Event]:
        """End the publish. rtmp2sink names the stream, FFmpeg numbers it, others do neither.

        Before a publish it means nothing: some encoders tidy up first.
        """
        if self.phase is Phase.PUBLISHING:
            self._send(self._replies.unpublished(self._stream_id))
            yield self.closed(CloseReason.UNPUBLISHED)

    def _may(self, signal: Signal) -> bool:
        return signal in TRANSITIONS[self.phase]

    def _is_connected(self, command: Command) -> bool:
        if self.phase is Phase.OPEN:
            self._out_of_order(command)
            return False
        return True

    def _out_of_order(self, command: Command) -> None:
        self._tally[MessageKind.COMMAND_OUT_OF_ORDER] += 1
        if command.name == "publish":
            self._send(self._replies.not_possible(command.stream_id, command.name))
        else:
            self._send(self._replies.failed(command.transaction_id, "out of order"))

    _ANSWERS: ClassVar[Mapping[str, Callable[[Conversation, Command], Iterator[Event]]]] = {
        "connect": _on_connect,
        "releaseStream": _on_release,
        "FCPublish": _on_prepare,
        "createStream": _on_create_stream,
        "publish": _on_publish,
        "play": _on_play,
        "FCUnpublish": _on_end,
        "deleteStream": _on_end,
        "closeStream": _on_end,
    }

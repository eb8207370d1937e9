"""Commands from a publisher, and the replies it waits for, byte for byte. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_core.errors import ProtocolViolation
from realtime_core.rtmp import amf
from realtime_core.rtmp.amf import UNDEFINED, Value
from realtime_core.rtmp.chunk_writer import ChunkWriter
from realtime_core.rtmp.messages import Message, MessageType, UserControl
from realtime_core.rtmp.reasons import CloseReason, Refusal

CONTROL_CSID, COMMAND_CSID, STATUS_CSID = 2, 3, 5
WINDOW_BYTES = 2_500_000
OUR_CHUNK_BYTES = 4096
DYNAMIC = b"\x02"
"""Limit type of SetPeerBandwidth (specification 5.4.5)."""


@dataclass(frozen=True, slots=True)
class Command:
    """One decoded command.

    Attributes:
        arguments: What follows name and transaction id; the first is the command object.
        is_whole: Whether everything could be decoded; name and transaction id always were.
        stream_id: The message stream it came on; its answer has to go there.
    """

    name: str
    transaction_id: float
    arguments: list[Value]
    is_whole: bool
    stream_id: int

    def text(self, index: int) -> str:
        """Return an argument that should be a string; empty if it is none."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def properties(self) -> dict[str, Value]:
        """Return the command object; empty if there is none."""
        first = self.arguments[0] if self.arguments else None
        return first if isinstance(first, dict) else {}


def decode_command(message: Message) -> Command:
    """Decode a command message, in AMF0 or in AMF0 behind the AMF3 marker.

    Raises:
        ProtocolViolation: Not even its name and transaction id can be read.
    """
    reader = amf.Reader(without_amf3_marker(message))
    name, transaction_id = reader.value(), reader.value()
    if not isinstance(name, str) or not isinstance(transaction_id, float):
        raise ProtocolViolation(amf.MALFORMED, "no name or no transaction id")
    try:
        arguments, is_whole = reader.rest(), True
    except ProtocolViolation:
        arguments, is_whole = [], False
    return Command(name, transaction_id, arguments, is_whole, message.stream_id)


def without_amf3_marker(message: Message) -> bytes:
    """Return a command's or data message's AMF0 part."""
    if message.type_id in (MessageType.COMMAND_AMF3, MessageType.DATA_AMF3):
        return message.payload[1:]
    return message.payload


class Replies:
    """Writes all that a server says. Each method returns the bytes to send."""

    def __init__(self) -> None:
        self._writer = ChunkWriter()

    def connected(self, transaction_id: float) -> bytes:
        """Accept a connect; from here on our own chunks are larger."""
        window = WINDOW_BYTES.to_bytes(4, "big")
        output = self._control(MessageType.WINDOW_ACK_SIZE, window)
        output += self._control(MessageType.SET_PEER_BANDWIDTH, window + DYNAMIC)
        output += self._control(MessageType.SET_CHUNK_SIZE, OUR_CHUNK_BYTES.to_bytes(4, "big"))
        self._writer.chunk_bytes = OUR_CHUNK_BYTES
        server: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
        status = _status("status", "NetConnection.Connect.Success", "Connection succeeded.")
        return output + self._command(
            "_result", transaction_id, server, {**status, "objectEncoding": 0.0}
        )

    def done(self, transaction_id: float) -> bytes:
        """Answer a command that has no result; who gives no id waits for nothing."""
        if not transaction_id:
            return b""
        return self._command("_result", transaction_id, None, UNDEFINED)

    def prepared(self, transaction_id: float) -> bytes:
        """Answer an FCPublish."""
        status = _status("status", "NetStream.Publish.Start", "Publish when you are ready.")
        return self.done(transaction_id) + self._command("onFCPublish", 0.0, None, status)

    def stream_created(self, transaction_id: float, stream_id: int) -> bytes:
        """Answer a createStream."""
        return self._command("_result", transaction_id, None, float(stream_id))

    def started(self, stream_id: int) -> bytes:
        """Accept a publish. Without the very stream id of the publish, rtmp2sink hangs."""
        begin = UserControl.STREAM_BEGIN.to_bytes(2, "big") + stream_id.to_bytes(4, "big")
        status = _status("status", "NetStream.Publish.Start", "Publishing started.")
        return self._control(MessageType.USER_CONTROL, begin) + self._on_status(stream_id, status)

    def refused(self, stream_id: int, refusal: Refusal) -> bytes:
        """Refuse a publish."""
        # GStreamer reports BadName as "already exists" and Denied as "permission denied".
        taken = refusal in (Refusal.BUSY, Refusal.BAD_NAME)
        code = "NetStream.Publish.BadName" if taken else "NetStream.Publish.Denied"
        return self._on_status(stream_id, _status("error", code, refusal.value))

    def not_possible(self, stream_id: int, name: str) -> bytes:
        """Tell a peer that its publish or play is not possible here or now."""
        code = "NetStream.Play.Failed" if name == "play" else "NetStream.Publish.Failed"
        return self._on_status(stream_id, _status("error", code, f"{name} is not possible."))

    def failed(self, transaction_id: float, description: str) -> bytes:
        """Answer any command with an error."""
        status = _status("error", "NetConnection.Call.Failed", description)
        return self._command("_error", transaction_id, None, status)

    def unpublished(self, stream_id: int) -> bytes:
        """Confirm the clean end of a publish."""
        status = _status("status", "NetStream.Unpublish.Success", "Publishing ended.")
        return self._on_status(stream_id, status)

    def ended(self, stream_id: int, reason: CloseReason) -> bytes:
        """Tell a live publisher that we end its publish."""
        replaced = reason is CloseReason.TAKEN_OVER
        code = "NetStream.Publish.BadName" if replaced else "NetStream.Failed"
        return self._on_status(stream_id, _status("error", code, reason.value))

    def acknowledgement(self, received_bytes: int) -> bytes:
        """Acknowledge all bytes received so far, modulo 2**32."""
        return self._control(
            MessageType.ACKNOWLEDGEMENT, (received_bytes & 0xFFFFFFFF).to_bytes(4, "big")
        )

    def ping(self, token: bytes) -> bytes:
        """Ask the peer whether it is there."""
        return self._control(MessageType.USER_CONTROL, UserControl.PING.to_bytes(2, "big") + token)

    def pong(self, token: bytes) -> bytes:
        """Answer the peer's ping."""
        return self._control(MessageType.USER_CONTROL, UserControl.PONG.to_bytes(2, "big") + token)

    def _control(self, type_id: MessageType, payload: bytes) -> bytes:
        return self._writer.message(CONTROL_CSID, type_id, 0, payload)

    def _command(self, name: str, transaction_id: float, *arguments: Value) -> bytes:
        payload = amf.encode(name, transaction_id, *arguments)
        return self._writer.message(COMMAND_CSID, MessageType.COMMAND, 0, payload)

    def _on_status(self, stream_id: int, status: dict[str, Value]) -> bytes:
        payload = amf.encode("onStatus", 0.0, None, status)
        return self._writer.message(STATUS_CSID, MessageType.COMMAND, stream_id, payload)


def _status(level: str, code: str, description: str) -> dict[str, Value]:
    return {"level": level, "code": code, "description": description}

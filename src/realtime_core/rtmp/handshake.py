"""The server's half of the simple RTMP handshake (specification 5.2). Pure."""

from __future__ import annotations

from realtime_core.rtmp.reasons import CloseReason, violation

VERSION = 3
PACKET_BYTES = 1536
NONCE_BYTES = PACKET_BYTES - 8


class ServerHandshake:
    """Answers C0 and C1 with S0, S1 and S2, and swallows C2.

    The digest variant is not offered: encoders ask for it only when they play.

    Args:
        nonce: ``NONCE_BYTES`` of randomness for S1.
    """

    def __init__(self, nonce: bytes) -> None:
        self._s1 = bytes(8) + nonce
        assert len(self._s1) == PACKET_BYTES
        self._inbox = bytearray()
        self._outbox = b""
        self._answered = False
        self.done = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes in pieces of any size; return those that lie behind the handshake.

        Raises:
            ProtocolViolation: The first byte is not the version we speak.
        """
        self._inbox += data
        if not self._answered:
            self._answer()
        # C2 should echo S1. Encoders get it wrong, and nothing depends on it.
        if self._answered and len(self._inbox) >= PACKET_BYTES:
            self.done = True
            return bytes(self._inbox[PACKET_BYTES:])
        return b""

    def take_output(self) -> bytes:
        """Return what is to be sent and forget it."""
        output, self._outbox = self._outbox, b""
        return output

    def _answer(self) -> None:
        if self._inbox and self._inbox[0] != VERSION:
            raise violation(CloseReason.NOT_RTMP, f"version {self._inbox[0]}")
        if len(self._inbox) < 1 + PACKET_BYTES:
            return
        c1 = bytes(self._inbox[1 : 1 + PACKET_BYTES])
        del self._inbox[: 1 + PACKET_BYTES]
        # GStreamer compares S2 with its C1, byte by byte from the ninth.
        self._outbox = bytes([VERSION]) + self._s1 + c1
        self._answered = True

"""One Gladia Live session of the stub, and what was heard of its room."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from bench.load.ear import Ear
from bench.load.narrator import Narrator

BYTES_PER_SECOND = 32_000
CREATED_AT = "2026-01-01T00:00:00.000Z"

# Gladia's own defaults (OpenAPI, MessagesConfig).
DEFAULTS = {
    "receive_acknowledgments": True,
    "receive_partial_transcripts": False,
    "receive_final_transcripts": True,
    "receive_speech_events": True,
    "receive_lifecycle_events": False,
}


@dataclass
class Heard:
    """What came of one room, over all its sessions; times are CLOCK_MONOTONIC in nanoseconds."""

    first_pcm_ns: int | None = None
    pcm_bytes: int = 0
    beeps: list[tuple[int, int]] = field(default_factory=list)
    stamps_sent: int = 0
    chunks: int = 0
    ear: Ear = field(default_factory=Ear)

    def take(self, pcm: bytes, now_ns: int) -> None:
        """Note a chunk and the beeps in it."""
        self.first_pcm_ns = self.first_pcm_ns or now_ns
        self.pcm_bytes += len(pcm)
        self.chunks += 1
        for beep in self.ear.hear(pcm, now_ns):
            self.beeps.append((beep.tone, beep.at))

    def report(self) -> dict[str, object]:
        """Return it as the bench's interface names it."""
        return {
            "firstPcmNs": self.first_pcm_ns,
            "pcmBytes": self.pcm_bytes,
            "beeps": self.beeps,
            "tornBeeps": self.ear.torn,
            "chunks": self.chunks,
            "stampsSent": self.stamps_sent,
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a transcript is sent, and how many make an utterance."""

    draft_every_s: float = 0.3
    drafts_per_final: int = 10


class Session(WSListener):
    """Takes PCM, acknowledges it, and tells drafts and finals at a steady pace.

    A client that lost its socket may come back with another one, as with Gladia.
    """

    def __init__(self, slug: str, heard: Heard, pace: Pace, wanted: Mapping[str, bool]) -> None:
        self.id = str(uuid.uuid4())
        self._heard, self._pace, self._wanted = heard, pace, DEFAULTS | dict(wanted)
        self._narrator = Narrator(self.id, slug, pace.drafts_per_final)
        self._bytes = 0
        self._due_s = 0.0
        self._transport: WSTransport | None = None
        self.is_over = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Take a socket; the newest counts."""
        self._transport = transport
        self._tell("receive_lifecycle_events", "start_recording")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Do without a socket until the client comes back."""
        if self._transport is transport:
            self._transport = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take audio, or an action."""
        now_ns = time.monotonic_ns()
        if frame.msg_type == WSMsgType.BINARY:
            self._take(frame.get_payload_as_bytes(), now_ns)
        elif frame.msg_type == WSMsgType.TEXT:
            self._act(json.loads(frame.get_payload_as_bytes()), now_ns)
        elif frame.msg_type == WSMsgType.CLOSE:
            self.is_over = self.is_over or frame.get_close_code() == WSCloseCode.OK
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _act(self, action: Mapping[str, Any], now_ns: int) -> None:
        if action.get("type") == "audio_chunk":
            self._take(base64.b64decode(action["data"]["chunk"]), now_ns)
        elif action.get("type") == "stop_recording" and not self.is_over:
            self._stop()

    def _take(self, pcm: bytes, now_ns: int) -> None:
        start, end = self._bytes, self._bytes + len(pcm)
        self._bytes = end
        if self._wanted["receive_acknowledgments"]:
            # Written by hand: there is one for each chunk of each room.
            self._send(
                b'{"type":"audio_chunk","session_id":"%s","created_at":"%s","acknowledged":true,'
                b'"error":null,"data":{"byte_range":[%d,%d],"time_range":[%.5f,%.5f]}}'
                % (
                    self.id.encode(),
                    CREATED_AT.encode(),
                    start,
                    end,
                    start / BYTES_PER_SECOND,
                    end / BYTES_PER_SECOND,
                )
            )
        if pcm:
            self._heard.take(pcm, now_ns)
            if start == 0:
                self._due_s = asyncio.get_running_loop().time()
                self._be_due()

    def _be_due(self) -> None:
        # From the time it was due, so that a late timer does not make later ones later.
        self._due_s += self._pace.draft_every_s
        asyncio.get_running_loop().call_at(self._due_s, self._speak)

    def _speak(self) -> None:
        if self.is_over:
            return
        if self._transport is not None:
            if not self._narrator.has_draft:
                data = {"time": self._bytes / BYTES_PER_SECOND, "channel": 0}
                self._tell("receive_speech_events", "speech_start", data=data)
            self._say_transcript()
        self._be_due()

    def _say_transcript(self, *, is_last: bool = False) -> None:
        """Send a draft or a final; the stamp is the last thing that is made."""
        seq, audio_s = self._heard.stamps_sent, self._bytes / BYTES_PER_SECOND
        message = self._narrator.next(seq, time.monotonic_ns(), audio_s, is_last=is_last)
        is_final = not self._narrator.has_draft
        if self._wanted["receive_final_transcripts" if is_final else "receive_partial_transcripts"]:
            self._send(message)
            self._heard.stamps_sent += 1

    def _stop(self) -> None:
        duration_s = self._bytes / BYTES_PER_SECOND
        data = {"recording_duration": duration_s, "recording_left_to_process": 0.0}
        self._tell(
            "receive_acknowledgments", "stop_recording", acknowledged=True, error=None, data=data
        )
        if self._narrator.has_draft:
            self._say_transcript(is_last=True)
        self._tell(
            "receive_lifecycle_events", "end_recording", data={"recording_duration": duration_s}
        )
        self._tell("receive_lifecycle_events", "end_session")
        self.is_over = True
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)

    def _tell(self, wanted: str, kind: str, **more: object) -> None:
        if self._wanted[wanted]:
            message = {"type": kind, "session_id": self.id, "created_at": CREATED_AT, **more}
            self._send(json.dumps(message).encode())

    def _send(self, message: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, message)

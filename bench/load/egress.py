"""A publish as LiveKit Egress makes it (GStreamer's rtmp2sink): what it says, and when. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from bench.load.rtmp import (
    AUDIO,
    CHUNK_BYTES,
    COMMAND,
    DATA,
    PEER_BANDWIDTH,
    PING_REQUEST,
    PING_RESPONSE,
    SET_CHUNK_SIZE,
    USER_CONTROL,
    WINDOW_SIZE,
    Amf,
    ChunkReader,
    ChunkWriter,
    amf,
)
from bench.load.sound import AUDIO_SPECIFIC_CONFIG, FRAME_SAMPLES, FRAMES, RATE_HZ, Sound

CONTROL_CSID, COMMAND_CSID, DATA_CSID, AUDIO_CSID = 2, 3, 4, 5
STREAM = 1
HANDSHAKE_BYTES = 1_536
_REFUSAL = amf({"level": "error"})[1:-3]
_CODE = re.compile(rb"Net(?:Stream|Connection)\.[A-Za-z.]+")


class Step(Enum):
    """What a publisher waits for."""

    HANDSHAKE = auto()
    CONNECTED = auto()
    CREATED = auto()
    STARTED = auto()
    NOTHING = auto()


class Conversation:
    """From the first byte to the publish, and the few words after it.

    Attributes:
        step: What is waited for; ``NOTHING`` means that audio may be sent.
        refused: Why the server does not want this publish, once it said so.
    """

    def __init__(self, port: int, slug: str) -> None:
        self._url, self._slug = f"rtmp://127.0.0.1:{port}/live", slug
        self._inbox = b""
        self._reader = ChunkReader()
        self._control, self._commands = ChunkWriter(CONTROL_CSID), ChunkWriter(COMMAND_CSID)
        self.step = Step.HANDSHAKE
        self.refused: str | None = None

    def hello(self) -> bytes:
        """Return what opens the conversation."""
        # The middle is meant to be random; nobody looks at it.
        return b"\x03" + bytes(8) + b"r" * (HANDSHAKE_BYTES - 8)

    def receive(self, data: bytes) -> bytes:
        """Take what the server says; return what to say to it."""
        if self.step is not Step.HANDSHAKE:
            return self._answers(data)
        self._inbox += data
        if len(self._inbox) < 1 + 2 * HANDSHAKE_BYTES:
            return b""
        self.step = Step.CONNECTED
        echo, rest = self._inbox[1 : 1 + HANDSHAKE_BYTES], self._inbox[1 + 2 * HANDSHAKE_BYTES :]
        app = {"app": "live", "type": "nonprivate", "flashVer": "bench", "tcUrl": self._url}
        return echo + self._command("connect", 1, app) + self._answers(rest)

    def farewell(self) -> bytes:
        """Return what ends the publish cleanly."""
        # rtmp2sink names the stream where a number is due.
        return self._command("FCUnpublish", 0, None, self._slug) + self._command(
            "deleteStream", 0, None, self._slug
        )

    def _answers(self, data: bytes) -> bytes:
        return b"".join(self._answer(*message) for message in self._reader.feed(data))

    def _answer(self, kind: int, payload: bytes) -> bytes:
        if kind == COMMAND:
            return self._heard(payload)
        if kind == PEER_BANDWIDTH:
            return self._control.message(WINDOW_SIZE, 0, payload[:4])
        if kind == USER_CONTROL and payload[:2] == PING_REQUEST:
            return self._control.message(USER_CONTROL, 0, PING_RESPONSE + payload[2:])
        return b""

    def _heard(self, payload: bytes) -> bytes:
        code = _CODE.search(payload)
        if payload.startswith(amf("_error")) or _REFUSAL in payload:
            self.refused = code[0].decode() if code else "error"
        elif self.step is Step.CONNECTED and payload.startswith(amf("_result", 1.0)):
            self.step = Step.CREATED
            return (
                self._command("releaseStream", 0, None, self._slug)
                + self._command("FCPublish", 0, None, self._slug)
                + self._command("createStream", 2, None)
            )
        elif self.step is Step.CREATED and payload.startswith(amf("_result", 2.0)):
            self.step = Step.STARTED
            return self._command("publish", 0, None, self._slug, "live", stream=STREAM)
        elif self.step is Step.STARTED and code and code[0] == b"NetStream.Publish.Start":
            self.step = Step.NOTHING
            return self._control.message(SET_CHUNK_SIZE, 0, CHUNK_BYTES.to_bytes(4, "big"))
        return b""

    def _command(self, name: str, transaction: float, *more: Amf, stream: int = 0) -> bytes:
        return self._commands.message(COMMAND, stream, amf(name, transaction, *more))


class Stream:
    """The bytes of the audio, made once for all rooms.

    A frame's header holds the time since the frame before, and eight seconds are a whole
    number of both frames and milliseconds; so the loop's bytes repeat.

    Attributes:
        opening: The metadata and the AudioSpecificConfig, to be sent before all frames.
        onsets: As in :class:`~bench.load.sound.Sound`.
    """

    def __init__(self, sound: Sound) -> None:
        metadata = amf(
            "@setDataFrame", "onMetaData", {"audiocodecid": 10.0, "audiodatarate": 128.0}
        )
        audio = ChunkWriter(AUDIO_CSID)
        self.onsets = sound.onsets
        self.opening = ChunkWriter(DATA_CSID).message(DATA, STREAM, metadata)
        self.opening += audio.message(AUDIO, STREAM, b"\xaf\x00" + AUDIO_SPECIFIC_CONFIG)
        self._first: Sequence[bytes] = _frames(audio, sound, 0)
        self._later: Sequence[bytes] = _frames(audio, sound, FRAMES)

    def frame(self, number: int) -> bytes:
        """Return the bytes of one frame; they must be sent in order, from 0."""
        return self._first[number] if number < FRAMES else self._later[number % FRAMES]


def _frames(audio: ChunkWriter, sound: Sound, first: int) -> list[bytes]:
    return [
        audio.message(AUDIO, STREAM, b"\xaf\x01" + frame, 1_000 * number * FRAME_SAMPLES // RATE_HZ)
        for number, frame in enumerate(sound.frames, first)
    ]

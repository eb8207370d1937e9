"""One room that publishes: its socket, and what happened when."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from bench.load.egress import Conversation, Step, Stream
from bench.load.sound import FRAME_SAMPLES, FRAMES, RATE_HZ

READ_BYTES = 65_536
BEGIN_WITHIN_NS = 30_000_000_000
"""LiveKit Egress gives a stream up that makes no progress for so long."""

LEAVE_WITHIN_NS = 5_000_000_000
"""For the server to hang up at the end; a word that it must not miss may still be unread."""

MOST_WAITING_BYTES = 160_000
"""Ten seconds of audio. A server that leaves more unread does not read."""

WHOLE_BEEP_FRAMES = 8
"""A beep counts when so much audio followed its onset; else it could not be heard whole."""


class State(Enum):
    """Where a room stands."""

    WAITING = auto()
    CONNECTING = auto()
    TALKING = auto()
    PUBLISHING = auto()
    LEAVING = auto()
    GONE = auto()


@dataclass
class Diary:
    """What happened to one room; times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        publish_ns: When the server said that the publish may begin.
        beeps: Of each beep the frame that completes its onset, its tone, and when it left.
        blocked: Sends that found the socket full.
        failed: Why it did not publish to its end; None while all is well.
    """

    publish_ns: int | None = None
    first_frame_ns: int | None = None
    last_frame_ns: int | None = None
    frames: int = 0
    beeps: list[tuple[int, int, int]] = field(default_factory=list)
    blocked: int = 0
    failed: str | None = None

    def report(self) -> dict[str, object]:
        """Return it as the bench's interface names it."""
        whole = [beep for beep in self.beeps if beep[0] + WHOLE_BEEP_FRAMES <= self.frames]
        return {
            "publishNs": self.publish_ns,
            "firstFrameNs": self.first_frame_ns,
            "lastFrameNs": self.last_frame_ns,
            "frames": self.frames,
            "audioMs": self.frames * FRAME_SAMPLES * 1_000 / RATE_HZ,
            "beeps": [[number, tone, ns] for number, (_, tone, ns) in enumerate(whole)],
            "failed": self.failed,
        }


class Room:
    """A publisher on a socket that never blocks.

    Call :meth:`connect`, then :meth:`ready` when its socket is writable for the first time
    or readable at any time, and :meth:`turn` each time a frame is due, until it is ``GONE``;
    then close its socket.

    Args:
        frames: How many to publish before it leaves.
    """

    def __init__(self, slug: str, port: int, stream: Stream, frames: int) -> None:
        self.slug = slug
        self._port, self._stream, self._frames = port, stream, frames
        self._conversation = Conversation(port, slug)
        self._outbox = b""
        self._since_ns = 0
        self._has_said_all = False
        self._socket: socket.socket | None = None
        self.state = State.WAITING
        self.diary = Diary()

    @property
    def socket(self) -> socket.socket:
        """The socket, from :meth:`connect` on."""
        assert self._socket is not None, "not connected"
        return self._socket

    @property
    def is_open(self) -> bool:
        """Whether there is a socket, connected or not."""
        return self._socket is not None and self._socket.fileno() >= 0

    def connect(self) -> None:
        """Begin to connect."""
        self._socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(("127.0.0.1", self._port))
        self._move(State.CONNECTING)

    def ready(self) -> None:
        """Do what the socket is ready for."""
        if self.state is State.CONNECTING:
            self._move(State.TALKING)
            self._write(self._conversation.hello())
        else:
            self._read()

    def turn(self) -> bool:
        """Take a turn; return whether a frame was sent."""
        if self.state is State.PUBLISHING:
            self._send_frame()
            return True
        if self._outbox:
            self._write(b"")
        elif self.state is State.LEAVING and not self._has_said_all:
            self._has_said_all = True
            with suppress(OSError):  # the server was faster
                self.socket.shutdown(socket.SHUT_WR)
        self._look_at_the_clock()
        return False

    def give_up(self, why: str) -> None:
        """End it at once; the first reason stays."""
        if self.state is not State.GONE:
            self.diary.failed = self.diary.failed or why
            self._move(State.GONE)

    def _look_at_the_clock(self) -> None:
        waited_ns = time.monotonic_ns() - self._since_ns
        if self.state in (State.CONNECTING, State.TALKING) and waited_ns > BEGIN_WITHIN_NS:
            self.give_up("no publish within 30 s")
        elif self.state is State.LEAVING and waited_ns > LEAVE_WITHIN_NS:
            self._move(State.GONE)

    def _read(self) -> None:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as exc:
            self._hung_up(str(exc))
            return
        if not data:
            self._hung_up("hung up on")
            return
        self._write(self._conversation.receive(data))
        if self._conversation.refused:
            self.give_up(self._conversation.refused)
        elif self.state is State.TALKING and self._conversation.step is Step.NOTHING:
            self._begin()

    def _begin(self) -> None:
        """Publish the first frame at once, as egress does, whose frames wait for the server."""
        self._move(State.PUBLISHING)
        self.diary.publish_ns = self._since_ns
        self._write(self._stream.opening)
        self._send_frame()

    def _send_frame(self) -> None:
        diary, number = self.diary, self.diary.frames
        # Before it is written: if the socket is full, the wait is the server's doing.
        now_ns = time.monotonic_ns()
        self._write(self._stream.frame(number))
        if (tone := self._stream.onsets.get(number % FRAMES)) is not None:
            diary.beeps.append((number, tone, now_ns))
        diary.first_frame_ns, diary.last_frame_ns = diary.first_frame_ns or now_ns, now_ns
        diary.frames += 1
        if diary.frames == self._frames:
            self._write(self._conversation.farewell())
            self._move(State.LEAVING)

    def _write(self, data: bytes) -> None:
        """Send what can be sent, and keep the rest for the next time."""
        if self.state is State.GONE:
            return
        data = self._outbox + data
        try:
            sent = self.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._hung_up(str(exc))
            return
        self._outbox = data[sent:]
        if self._outbox:
            self.diary.blocked += 1
            if len(self._outbox) > MOST_WAITING_BYTES:
                self.give_up("the server does not read")

    def _hung_up(self, why: str) -> None:
        """Be gone; without complaint if all was said, for the server may hang up first."""
        if self.state is State.LEAVING:
            self._move(State.GONE)
        else:
            self.give_up(why)

    def _move(self, state: State) -> None:
        self.state, self._since_ns = state, time.monotonic_ns()

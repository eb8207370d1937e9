"""A publisher that comes back as LiveKit Egress does: at once, and on its old clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.chaos.judge import Span
from tests.chaos.tape import FRAME_S, Spoken, Tape
from tests.rtmp.vectors import CONNECT, CREATE, HELLO, NULL, command, full, metadata, publish, text

AUDIO_CSID = 5
SERVER_HANDSHAKE_BYTES = 1 + 2 * 1536
ANSWER_S = 5.0
"""How long egress waits for an answer."""
AGAIN_AFTER_S = 0.1
GIVES_UP_AFTER_S = 30.0
IN_FLIGHT_S = 0.5
"""What was sent so shortly before a connection broke may not have arrived."""
NOTICED_WITHIN_S = 5.0


class Broken(Exception):
    """The connection is gone, or the publish was refused."""


class Line:
    """One RTMP connection that publishes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._listening: asyncio.Task[None] | None = None

    @property
    def is_broken(self) -> bool:
        """Whether the server has ended it."""
        return self._listening is None or self._listening.done() or self._writer.is_closing()

    async def publish(self, slug: str) -> None:
        """Come as far as a live publish.

        Raises:
            Broken: It was refused, or cut.
        """
        self._writer.write(HELLO)
        answer = await self._reader.readexactly(SERVER_HANDSHAKE_BYTES)
        self._writer.write(answer[1 : 1 + 1536] + CONNECT + CREATE + publish(slug))
        heard = b""
        while b"NetStream.Publish.Start" not in heard:
            piece = await self._reader.read(65_536)
            if not piece or b"NetStream.Publish.BadName" in heard + piece:
                raise Broken("refused")
            heard = (heard + piece)[-65_536:]
        self._listening = asyncio.create_task(self._listen(), name=f"publisher/{slug}/acks")

    def say(self, message: bytes) -> None:
        """Send without waiting."""
        self._writer.write(message)

    async def hung_up_on(self) -> None:
        """Wait for the server to end it, for a while."""
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=ANSWER_S)
        await self.close()

    async def close(self, goodbye: bytes = b"") -> None:
        """Say goodbye, if there is one, and end the connection."""
        with suppress(OSError):
            self._writer.write(goodbye)
            self._writer.close()
            await self._writer.wait_closed()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        with suppress(OSError):
            while await self._reader.read(65_536):
                pass


class Publisher:
    """Plays a tape in real time, for as long as :meth:`run` runs.

    Args:
        port: Where the RTMP server, or a proxy in front of it, listens.

    Attributes:
        breaks: The times between connections, and what had been sent shortly before.
        given_up: How often egress would have given up, and a human had to help.
    """

    def __init__(self, slug: str, tape: Tape, port: int) -> None:
        self.slug, self.breaks, self.given_up = slug, list[Span](), 0
        self._tape, self._port = tape, port
        self._line: Line | None = None
        self._frame = 0
        self._began_s = self._began_at = 0.0
        self._lost_since: float | None = None
        self._suspected_at = 0.0
        self._ended = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether its audio goes out."""
        return self._line is not None

    def spoken(self) -> list[Spoken]:
        """Return all that was said up to now, heard or not."""
        return list(self._tape.spoken(self.slug, self._began_at, time.time()))

    @property
    def unheard(self) -> list[Span]:
        """When no live connection took its audio."""
        if self._lost_since is None:
            return self.breaks
        return [*self.breaks, Span(self.slug, self._lost_since, float("inf"))]

    async def run(self) -> None:
        """Publish until :meth:`end`."""
        self._began_s, self._began_at = time.monotonic(), time.time()
        self._lost_since = self._began_at
        while not self._ended.is_set():
            with suppress(OSError, EOFError, TimeoutError, Broken):
                async with self._connected():
                    await self._play()
            await self._rest()

    def end(self) -> None:
        """Stop at the next frame, with a proper goodbye."""
        self._ended.set()

    def suspect(self) -> None:
        """Note that something is about to break the connection, before it shows."""
        self._suspected_at = time.time()

    async def take_over(self) -> None:
        """Publish the same on a new connection, as a second egress would; the first one ends."""
        line = await self._new_line()
        if self._line is None:  # it has just broken, and is coming back by itself
            await line.close()
            return
        self._lose()
        before = self._line
        self._go_live(line)
        await before.hung_up_on()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        line = await self._new_line()
        self._go_live(line)
        try:
            yield
        finally:
            self._lose()
            current, self._line = self._line or line, None
            await current.close(self._goodbye() if self._ended.is_set() else b"")

    async def _new_line(self) -> Line:
        async with asyncio.timeout(ANSWER_S):
            line = Line(*await asyncio.open_connection("127.0.0.1", self._port))
            try:
                await line.publish(self.slug)
            except BaseException:
                await line.close()
                raise
        return line

    def _lose(self) -> None:
        now = time.time()
        is_recent = now - self._suspected_at < NOTICED_WITHIN_S
        self._lost_since = self._lost_since or (self._suspected_at if is_recent else now)

    def _go_live(self, line: Line) -> None:
        line.say(metadata(b"\x00" + bytes(8)) + full(AUDIO_CSID, 0, self._tape.config))
        now = time.time()
        self._frame = int((time.monotonic() - self._began_s) / FRAME_S) + 1
        if self._lost_since is not None:
            self.breaks.append(Span(self.slug, self._lost_since - IN_FLIGHT_S, now + FRAME_S))
            self.given_up += now - self._lost_since > GIVES_UP_AFTER_S
        self._lost_since, self._line = None, line

    async def _play(self) -> None:
        """Send frames on the current connection, which may be taken over, until it breaks."""
        while self._line is not None and not self._line.is_broken and not self._ended.is_set():
            due_s = self._began_s + self._frame * FRAME_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            while self._frame * FRAME_S <= time.monotonic() - self._began_s:
                self._send_frame()

    def _send_frame(self) -> None:
        body = self._tape.frames[self._frame % len(self._tape.frames)]
        if self._line is not None:
            self._line.say(full(AUDIO_CSID, round(self._frame * FRAME_S * 1000), body))
        self._frame += 1

    def _goodbye(self) -> bytes:
        # So GStreamer ends a stream: deleteStream carries the name.
        name = text(self.slug)
        return command("FCUnpublish", 0.0, NULL, name) + command("deleteStream", 0.0, NULL, name)

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_AFTER_S):
                await self._ended.wait()

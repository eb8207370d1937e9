"""One socket of an STT session, from open to closed: it sends, receives, and watches both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from websockets.exceptions import ConnectionClosed
from websockets.typing import BytesLike

from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.stt import wire
from realtime_core.stt.config import Waits
from realtime_core.stt.feed import MOST_FRAME_BYTES, Feed, nobody
from realtime_core.stt.leg import Leg
from realtime_core.stt.verdicts import ABNORMAL_CLOSURE, Cut
from realtime_core.stt.websocket import Nobody, ProviderSocket
from realtime_core.stt.wire import AudioAck, SpeechMessage, TranscriptMessage

Heard = TranscriptMessage | SpeechMessage | AudioAck


@dataclass(slots=True)
class SttSession:
    """One STT session as the bridge follows it over its sockets.

    Attributes:
        url: Where its sockets go; carries a token.
        began_at: When it was given out, on the event loop's clock.
        finals: Ids of the utterances whose final has come.
        sockets: How many were opened.
        ending: It gets no more audio.
        stop_sent: ``stop_recording`` went out over some socket.
        stop_taken: The provider has shown that it got it.
        answers_empty_chunks: The provider is known to acknowledge chunks without audio.
    """

    id: str
    url: str = field(repr=False)
    leg: Leg
    began_at: float
    finals: set[str] = field(default_factory=set)
    sockets: int = 0
    ending: bool = False
    stop_sent: bool = False
    stop_taken: bool = False
    answers_empty_chunks: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """How a socket ended.

    Attributes:
        code: The provider's close code, 1006 if it sent none.
        cut: Why we hung up, if it was us.
    """

    code: int
    cut: Cut | None = None


class Connection:
    """A socket that is open. :meth:`run` is its life.

    Args:
        hear: Takes what was heard, and each sign that audio is taken, from the receive loop.
    """

    def __init__(
        self,
        socket: ProviderSocket,
        stt: SttSession,
        feed: Feed,
        hear: Callable[[SttSession, Heard], None],
        *,
        waits: Waits,
        metrics: Metrics,
    ) -> None:
        self._socket, self._stt, self._feed, self._hear = socket, stt, feed, hear
        self._waits, self._metrics = waits, metrics
        self._log = get_logger("stt").bind(stt_session=stt.id)
        self._closed: Closed | None = None
        self._time = asyncio.get_running_loop().time
        self._opened_at = self._sent_at = self._waiting_since = self._time()
        self._said_all = asyncio.Event()
        self._stop_sent_at: float | None = None

    async def run(self) -> Closed:
        """Return when the socket is closed. Cancelled, it says goodbye first, briefly."""
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self._send(), name=f"stt/{self._stt.id}/send"),
                    tasks.create_task(self._watch(), name=f"stt/{self._stt.id}/watch"),
                ]
                self._socket.serve(self)
                code = await self._socket.lost()
                for helper in helpers:
                    helper.cancel()
        except asyncio.CancelledError:
            self._socket.serve(Nobody())
            await self._farewell()
            raise
        finally:
            self._feed.wake = nobody
            self._socket.transport.abort()
            await self._socket.wait_closed()
        return self._closed or Closed(code)

    # Out.

    async def _send(self) -> None:
        try:
            await self._settle()
            self._feed.wake = self._socket.speak_soon
            self._feed.notify()
            await self._said_all.wait()
            self._stt.stop_sent = True
            self._stop_sent_at = self._time()
            await self._socket.send(wire.STOP_RECORDING)
        except ConnectionClosed:
            pass  # the receiver knows why

    def _may_stop(self) -> bool:
        return self._stt.ending or (self._feed.ended and not self._feed.timeline.unsent_bytes)

    def speak(self) -> None:
        """Send what has gathered, as far as the socket takes it, and note when all is said.

        Called once in a turn of the loop: a loop that is late makes chunks bigger, not more.
        """
        if self._said_all.is_set():
            return
        while not self._stt.ending and self._socket.takes_audio:
            if self._send_audio(self._feed.take) < MOST_FRAME_BYTES:
                break  # there was no more
        if self._may_stop():
            self._said_all.set()

    def _send_audio(self, take: Callable[[], bytes]) -> int:
        leg = self._stt.leg
        was_waiting = leg.sent_at > leg.acknowledged_at
        if chunk := take():
            self._sent_at = now = self._time()
            if not was_waiting:
                self._waiting_since = now
            self._socket.write(chunk)
        return len(chunk)

    async def _settle(self) -> None:
        """After a resume, learn how much of what was in flight the provider has got."""
        if self._stt.leg.settled:
            return
        await self._socket.send(wire.EMPTY_CHUNK)
        try:
            async with asyncio.timeout(self._waits.probe_s):
                await self._settled()
            self._stt.answers_empty_chunks = True
        except TimeoutError:
            if not self._stt.answers_empty_chunks and self._socket.takes_audio:
                self._send_audio(self._feed.take_probe)
            await self._settled()

    async def _settled(self) -> None:
        while not self._stt.leg.settled:
            await self._feed.changed()

    # In.

    def hear(self, message: BytesLike) -> None:
        """Take a message of the provider."""
        parsed = wire.parse(message)
        self._metrics.stt_messages.labels(wire.message_type(parsed)).inc()
        if isinstance(parsed, AudioAck):
            self._acknowledged(parsed)
        else:
            self._take(parsed)

    def _take(self, message: wire.Rare) -> None:
        match message:
            case TranscriptMessage() | SpeechMessage():
                self._hear(self._stt, message)
            case wire.AudioRefused(reason=reason):
                self._refused(reason)
            case wire.StopAck():
                self._stop_taken()
            case wire.ErrorMessage(reason=reason):
                self._log.warning("Gladia reports an error", reason=reason)
            case wire.Unused() | wire.Unknown() | wire.Malformed():
                pass  # counted
            case _:
                assert_never(message)

    def _acknowledged(self, ack: AudioAck) -> None:
        if self._closed is not None:
            return  # after a refused chunk the provider's count is no longer ours
        leg = self._stt.leg
        was_settled, faults = leg.settled, leg.clock_fault_bytes
        self._waiting_since = now = self._time()
        self._feed.acknowledge(ack.start, ack.end, now)
        if leg.clock_fault_bytes != faults:
            self._log.error("Gladia lost audio that it had acknowledged", count=ack.start)
        if leg.settled and not was_settled:
            self._feed.notify()
        self._hear(self._stt, ack)

    def _refused(self, reason: str) -> None:
        self._log.warning("Gladia refused audio", reason=reason)
        if self._stt.stop_sent and not self._stt.leg.settled:
            # Refused because the stop of an earlier socket had arrived, and so all before it.
            self._stop_taken()
        else:
            # A chunk is missing in the middle: all that follows would be dated too early.
            self._cut(Cut.REFUSED)

    def _stop_taken(self) -> None:
        """The provider has the stop, and with it all the audio before."""
        self._stt.stop_taken = True
        self._feed.delivered(self._time())
        self._feed.notify()

    # Watching.

    async def _watch(self) -> None:
        while not self._is_drained_out():
            await asyncio.sleep(self._waits.tick_s)
            self._look()
        self._closed = Closed(ABNORMAL_CLOSURE, Cut.DRAIN_TIMEOUT)
        await self._farewell()

    def _look(self) -> None:
        now, leg, waits = self._time(), self._stt.leg, self._waits
        if self._feed.timeline.has_hole:
            self._cut(Cut.OVERFLOW)
        elif not leg.settled:
            if now - self._opened_at > waits.settle_s:
                self._cut(Cut.UNSETTLED)
        elif leg.in_flight_bytes and now - self._waiting_since > waits.ack_s:
            self._cut(Cut.ACK_TIMEOUT)
        elif not self._stt.ending and self._is_time_for_another(now):
            self._stt.ending = True
            self._feed.notify()

    def _is_drained_out(self) -> bool:
        """Whether the provider had its time to finish."""
        return (
            self._stop_sent_at is not None
            and self._time() - self._stop_sent_at > self._waits.drain_s
        )

    def _is_time_for_another(self, now: float) -> bool:
        """Whether this STT session is idle, which the provider punishes, or getting too old."""
        if now - self._sent_at > self._waits.idle_s:
            return True
        overtime_s = now - self._stt.began_at - self._waits.max_session_s
        quiet = self._feed.timeline.quiet
        return overtime_s > (0 if quiet else self._waits.rotate_grace_s)

    def _cut(self, cut: Cut) -> None:
        """Hang up without the courtesies, which a dead link would not answer."""
        if self._closed is None:
            self._closed = Closed(ABNORMAL_CLOSURE, cut)
        self._socket.transport.abort()

    async def _farewell(self) -> None:
        """End the STT session, lest it hold one of the account's places; bounded."""
        try:
            async with asyncio.timeout(self._waits.farewell_s):
                if not self._stt.stop_sent:
                    await self._socket.send(wire.STOP_RECORDING)
                await self._socket.close()
        except (TimeoutError, ConnectionClosed):
            pass  # it goes the hard way

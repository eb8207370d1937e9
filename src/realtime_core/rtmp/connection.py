"""One RTMP connection on asyncio: moves bytes, keeps the timer, and calls the hooks."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from typing import Any, Protocol, cast

from realtime_core.logs import get_logger
from realtime_core.metrics import Tally
from realtime_core.model import AudioTag, PublishEnd
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
from realtime_core.rtmp.gathering import Gatherer, PairedReads
from realtime_core.rtmp.handshake import NONCE_BYTES
from realtime_core.rtmp.host import Publish, PublishHost, PublishRequest
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.listening import is_reset, tune
from realtime_core.rtmp.messages import MessageKind
from realtime_core.rtmp.publish import PublishSession
from realtime_core.rtmp.reasons import CloseReason, Refusal

ENDS = {
    CloseReason.UNPUBLISHED: PublishEnd.CLEAN,
    CloseReason.TAKEN_OVER: PublishEnd.TAKEN_OVER,
    CloseReason.STOPPED: PublishEnd.STOPPED,
}
"""What the end of a connection means for its publish; every other reason: it was lost."""

OUTPUT_HIGH_BYTES = 16 * 1024
"""From so much unread output on the write timer runs."""

SHARE_BYTES = 8 * 1024
"""What one connection may have read in one turn of the event loop. Who floods us fills 256 KiB
at a time, and all others would wait for a tenth of a second."""

log = get_logger("rtmp")


class Owner(Protocol):
    """What a connection needs of its server."""

    host: PublishHost
    limits: Limits
    gatherer: Gatherer
    received_bytes: Tally
    messages: Counter[MessageKind]

    def opened(self, connection: Connection) -> CloseReason | None:
        """Take note of a new connection; return why it cannot stay, if it cannot."""

    def closed(self, connection: Connection, reason: CloseReason) -> None:
        """Forget a connection."""

    def judge(self, request: PublishRequest, now: float) -> Refusal | None:
        """Say why this publish is refused; None accepts it."""

    def refusal_due(self, slug: str, refusal: Refusal, now: float) -> float:
        """Say when a refused peer is to be told."""

    def begin(self, publish: Publish) -> None:
        """Register a publish and hand it to the host."""

    def end(self, publish: Publish, end: PublishEnd) -> None:
        """Forget a publish and tell the host; raises nothing."""


class Connection(asyncio.Protocol):
    """Runs one :class:`PublishSession` on a socket."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._publish: Publish | None = None
        self._reason: CloseReason | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_known = False  # whether it came as far as a connect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; asyncio calls it."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=OUTPUT_HIGH_BYTES)
        self._socket = transport.get_extra_info("socket")
        tune(self._socket)
        self._reads = PairedReads(self._owner.gatherer, self._transport)
        self._peer = _peer_name(transport.get_extra_info("peername"))
        self._log = log.bind(peer=self._peer)
        self._session = PublishSession(
            self._owner.limits,
            os.urandom(NONCE_BYTES),
            self._loop.time(),
            self._owner.messages,
        )
        unwelcome = self._owner.opened(self)
        if unwelcome is None:
            self._schedule()
        else:
            self.hang_up(unwelcome)

    def data_received(self, data: bytes) -> None:
        """Take bytes; after our last word they are only drained."""
        if self._reason is not None:
            return
        if len(data) <= SHARE_BYTES:
            self._read(data)
        else:
            self._transport.pause_reading()
            self._read_in_shares(memoryview(data))

    def _read_in_shares(self, data: memoryview) -> None:
        """Read our share of this turn of the loop; the rest in the next, and more after it."""
        if self._reason is None:  # it may have ended since the share before
            self._read(bytes(data[:SHARE_BYTES]))
        rest = data[SHARE_BYTES:]
        if rest and self._reason is None:
            self._loop.call_soon(self._read_in_shares, rest)
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _read(self, data: bytes) -> None:
        self._owner.received_bytes.inc(len(data))
        self._run(data)
        self._reads.came(len(data), self._loop.time())

    def pause_writing(self) -> None:
        """Learn that the peer does not read our replies."""
        self._session.output_blocked(self._loop.time())
        self._schedule()

    def resume_writing(self) -> None:
        """Learn that it reads again."""
        self._session.output_flowing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, if that has not been done; asyncio calls it once."""
        self._end(CloseReason.PEER_CLOSED if exc is None else CloseReason.PEER_RESET)
        self._stop_timer()
        assert self._reason is not None
        self._owner.closed(self, self._reason)

    def hang_up(
        self, reason: CloseReason, *, detail: str = "", end: PublishEnd | None = None
    ) -> None:
        """End the connection; its publish has ended when this returns. May be called twice."""
        if self._reason is not None:
            return
        self._session.close(reason)
        self._end(reason, detail=detail, end=end)
        self._flush()
        self._stop_timer()
        if reason is CloseReason.UNPUBLISHED:
            self._timer = self._loop.call_later(self._owner.limits.leave_s, self._linger)
        elif reason.is_polite:
            self._linger()
        else:
            self._transport.abort()

    def stop(self) -> None:
        """End the connection for a server that stops, without waiting for those who are leaving."""
        if self._reason is None:
            self.hang_up(CloseReason.STOPPED)
        else:
            self._transport.abort()

    def _end(self, reason: CloseReason, *, detail: str = "", end: PublishEnd | None = None) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        self._reads.close()
        # Scanners and health checks never send a connect, and would fill the log.
        say = self._log.info if self._is_known else self._log.debug
        say("RTMP connection closed", reason=reason.value, detail=detail)
        publish, self._publish = self._publish, None
        if publish is not None:
            self._owner.end(publish, end or ENDS.get(reason, PublishEnd.LOST))

    def _linger(self) -> None:
        """Half-close, and leave the peer time to read.

        To close with its bytes unread would reset the connection, and with it our last word.
        """
        try:
            self._transport.write_eof()
        except OSError:  # it left in this moment, and asyncio does not know yet
            self._transport.abort()
            return
        self._timer = self._loop.call_later(self._owner.limits.linger_s, self._transport.abort)

    def _run(self, data: bytes | None) -> None:
        """Take bytes, or do what is due. The wall around one connection: nothing gets past it."""
        session, now = self._session, self._loop.time()
        try:
            for event in session.tick(now) if data is None else session.receive(data, now):
                self._act(event)
        except Exception:  # noqa: BLE001 - the wall between connections
            self._log.exception("RTMP connection failed")
            self.hang_up(CloseReason.INTERNAL_ERROR)
        self._flush()
        self._schedule()

    def _act(self, event: Event) -> None:
        match event:
            case AudioTag():
                if self._publish is not None:
                    self._reads.saw(event.timestamp_ms)
                    self._owner.host.audio(self._publish, event)
            case Closed(reason, detail):
                self.hang_up(reason, detail=detail)
            case PublishRequested():
                self._decide(event)
            case ConnectReceived():
                self._is_known = True
                self._log.info("RTMP client connecting")
                self._owner.host.pre_connect(self._peer)
            case Connected(app):
                self._owner.host.post_connect(self._peer, app)
            case MetadataReceived(values):
                self._log.debug("RTMP metadata", names=sorted(values))
            case AudioUnsupported(codec):
                self._log.warning("RTMP audio is not AAC and is ignored", codec=codec)
            case CommandUnknown(name):
                self._log.debug("RTMP command ignored", command=name)

    def _decide(self, event: PublishRequested) -> None:
        now, name = self._loop.time(), event.name
        request = PublishRequest(name.slug, name.app, name.args, self._peer)
        refusal = self._owner.judge(request, now)
        if refusal is None:
            self._begin(request, now)
            return
        self._session.refuse(refusal, self._owner.refusal_due(name.slug, refusal, now))
        self._log.warning("RTMP publish refused", refusal=refusal.value)

    def _begin(self, request: PublishRequest, now: float) -> None:
        self._log = self._log.bind(session=request.slug)
        self._log.info("RTMP stream connecting")
        self._session.accept(now)
        self._publish = Publish(request, now, self._close_publish)
        self._owner.begin(self._publish)

    def _close_publish(self, end: PublishEnd) -> None:
        reasons = {
            PublishEnd.TAKEN_OVER: CloseReason.TAKEN_OVER,
            PublishEnd.STOPPED: CloseReason.STOPPED,
        }
        self.hang_up(reasons.get(end, CloseReason.KICKED), end=end)

    def _flush(self) -> None:
        if not self._session.has_output:
            return
        output = self._session.take_output()
        if self._transport.is_closing() or is_reset(self._socket):
            return
        self._transport.write(output)
        if self._transport.get_write_buffer_size() > self._owner.limits.output_bytes:
            self.hang_up(CloseReason.OUTPUT_UNREAD)

    def _schedule(self) -> None:
        """See that the timer runs no later than something is due; it may run earlier."""
        due_at = self._session.due_at
        if due_at is None or due_at >= self._timer_at:
            return
        self._stop_timer()
        self._timer, self._timer_at = self._loop.call_at(due_at, self._tick), due_at

    def _tick(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self._run(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf


def _peer_name(address: Any) -> str:
    """Return host and port of a socket address of either family."""
    if not address:  # it left before we looked
        return "unknown"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

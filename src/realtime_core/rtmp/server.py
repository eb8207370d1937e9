"""The RTMP listener: accepts publishers, admits them by slug, and ends them in order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Self

from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import PublishEnd, is_slug
from realtime_core.rtmp.connection import Connection
from realtime_core.rtmp.gathering import Gatherer
from realtime_core.rtmp.host import Publish, PublishHost, PublishRequest
from realtime_core.rtmp.limits import DEFAULT_LIMITS, Limits
from realtime_core.rtmp.listening import ANY_ADDRESS, open_listeners
from realtime_core.rtmp.messages import MessageKind
from realtime_core.rtmp.pacing import Frequency, Spacing
from realtime_core.rtmp.reasons import CloseReason, Refusal

__all__ = ["Limits", "Publish", "PublishHost", "PublishRequest", "Refusal", "RtmpServer"]

LONGEST_REFUSAL_S = 10.0
"""However many peers are refused on one slug, none waits longer for its answer."""

log = get_logger("rtmp")


class RtmpServer:
    """Listens for publishers. Building one opens nothing.

    Leaving it closes the listeners, ends every publish as ``STOPPED``, and returns when
    all connections are gone, which takes little more than ``limits.linger_s``.

    Args:
        port: 0 takes a free one.
        addresses: Where to listen; None is everywhere, in IPv4 and IPv6.
        max_connections: More are hung up on at once.
    """

    def __init__(
        self,
        host: PublishHost,
        metrics: Metrics,
        *,
        port: int,
        addresses: Sequence[str] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        max_connections: int = 512,
    ) -> None:
        self.host, self.limits = host, limits
        self._metrics = metrics
        self._asked_port, self._addresses = port, addresses or ANY_ADDRESS
        self._max_connections = max_connections
        self.gatherer = Gatherer(metrics)
        self.received_bytes = metrics.rtmp_bytes
        self.messages: Counter[MessageKind] = Counter()
        for kind in MessageKind:
            metrics.rtmp_messages.labels(kind).set_function(
                partial(self.messages.__getitem__, kind)
            )
        self._listeners: list[asyncio.Server] = []
        self._port: int | None = None
        self._is_stopping = False
        self._connections: set[Connection] = set()
        self._all_gone = asyncio.Event()
        self._publishes: dict[str, Publish] = {}
        self._refusals = Spacing(limits.refusal_spacing_s)
        self._takeovers = Frequency(limits.takeover_window_s)

    @property
    def port(self) -> int:
        """The port in use; it differs from the one asked for when that was 0."""
        assert self._port is not None, "not entered"
        return self._port

    @property
    def publishes(self) -> Mapping[str, Publish]:
        """The live publishes by slug."""
        return MappingProxyType(self._publishes)

    async def __aenter__(self) -> Self:
        sockets = open_listeners(self._addresses, self._asked_port)
        self._port = int(sockets[0].getsockname()[1])
        loop = asyncio.get_running_loop()
        for each in sockets:
            server = await loop.create_server(lambda: Connection(self), sock=each)
            self._listeners.append(server)
        self.gatherer.start()
        log.info("RTMP listening", port=self._port, addresses=[s.getsockname()[0] for s in sockets])
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop_listening()
        self.gatherer.stop()
        for connection in tuple(self._connections):
            connection.stop()
        await self._wait_until_gone()
        for listener in self._listeners:
            await listener.wait_closed()

    async def stop_listening(self) -> None:
        """Accept nobody any more, and keep those who publish. May be called twice."""
        self._is_stopping = True
        for listener in self._listeners:
            listener.close()

    async def _wait_until_gone(self) -> None:
        """Wait for the connections, each of which aborts itself when its time is over."""
        while self._connections:
            self._all_gone.clear()
            await self._all_gone.wait()

    # What connections need of their owner

    def opened(self, connection: Connection) -> CloseReason | None:
        """Take note of a new connection; return why it cannot stay, if it cannot."""
        self._connections.add(connection)
        self._metrics.rtmp_connections.inc()
        if self._is_stopping:  # accepted in the moment the listener was closed
            return CloseReason.STOPPED
        if len(self._connections) > self._max_connections:
            return CloseReason.TOO_MANY_CONNECTIONS
        return None

    def closed(self, connection: Connection, reason: CloseReason) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._metrics.rtmp_connections.dec()
        self._metrics.rtmp_closed.labels(reason.value).inc()
        if not self._connections:
            self._all_gone.set()

    def judge(self, request: PublishRequest, now: float) -> Refusal | None:
        """Say why this publish is refused; None accepts it."""
        if not is_slug(request.slug):
            return Refusal.BAD_NAME
        if self._is_stopping:
            return Refusal.SHUTTING_DOWN
        # Before the host is asked, because its answer may start a session.
        replaced = self._takeovers.recent(request.slug, now)
        if request.slug in self._publishes and replaced >= self.limits.takeovers:
            return Refusal.BUSY
        return self.host.pre_publish(request)

    def refusal_due(self, slug: str, refusal: Refusal, now: float) -> float:
        """Say when a refused peer is to be told: not soon, and not all at once."""
        self._metrics.rtmp_refusals.labels(refusal.value).inc()
        pause_s = random.uniform(self.limits.refusal_least_s, self.limits.refusal_most_s)
        name = "" if refusal is Refusal.BAD_NAME else slug
        return self._refusals.slot(name, now + pause_s, now + LONGEST_REFUSAL_S)

    def begin(self, publish: Publish) -> None:
        """Register a publish and hand it to the host; the newest wins its slug."""
        older = self._publishes.get(publish.slug)
        if older is not None:
            self._metrics.rtmp_takeovers.inc()
            self._takeovers.note(publish.slug, publish.started_at)
            older.close(PublishEnd.TAKEN_OVER)
        self._publishes[publish.slug] = publish
        self._metrics.rtmp_publishers.inc()
        self.host.post_publish(publish)

    def end(self, publish: Publish, end: PublishEnd) -> None:
        """Forget a publish and tell the host, whose failure stays here."""
        if self._publishes.get(publish.slug) is publish:
            del self._publishes[publish.slug]
        self._metrics.rtmp_publishers.dec()
        try:
            self.host.done_publish(publish, end)
        except Exception:
            log.exception("Host failed at the end of a publish", session=publish.slug)

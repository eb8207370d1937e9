"""Starts every part in order, and stops them in reverse.

Start: the store, the hub and the registry, RTMP, web. Stop: :meth:`Service.drain`, then
the reverse.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp import web

from realtime_core.access import Gate
from realtime_core.aio import TaskSet, backoff, persevere
from realtime_core.capacity import Capacity
from realtime_core.errors import RequestError, StoreUnavailable, may_retry
from realtime_core.garbage import collect_garbage
from realtime_core.hub.rooms import Hub
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import SessionRecord
from realtime_core.parts import (
    Storage,
    decoder_factory,
    make_capacity,
    make_registry,
    make_stages,
    make_urls,
    open_storage,
    outlets,
    token_keys,
)
from realtime_core.registry import Registry
from realtime_core.rtmp.server import RtmpServer
from realtime_core.settings import Settings
from realtime_core.store.journal import Journal
from realtime_core.store.postgres import PostgresStore
from realtime_core.urls import WILDCARDS, addresses, reachable
from realtime_core.vitals import watch_vitals
from realtime_core.web.broadcast import BroadcastRoutes
from realtime_core.web.control import Control, ControlRoutes
from realtime_core.web.health import HealthRoutes
from realtime_core.web.live import LiveRoutes, ReadMissed
from realtime_core.web.missed import Missed
from realtime_core.web.pages import PageRoutes, static_files
from realtime_core.web.patience import Patience
from realtime_core.web.routes import Routes, application
from realtime_core.web.stored import StoredRoutes

LOOK_EVERY_S = 1.0
ASK_EVERY_S = 10.0
"""How often a database that is away is asked again; each time the log says so."""
FLUSH_TIMEOUT_S = 5.0
READ_FLUSH_TIMEOUT_S = 1.0
WEB_CLOSE_S = 2.0
KEEP_ALIVE_S = 75.0

log = get_logger("app")


@dataclass
class Service:
    """The running service.

    Attributes:
        posting: What carries transcripts elsewhere; empty in direct mode.
        live: The viewers' connections, once web is open.
        port: Where HTTP listens; differs from the setting when that was 0.
    """

    settings: Settings
    metrics: Metrics
    hub: Hub
    storage: Storage | None
    registry: Registry
    rtmp: RtmpServer
    posting: AsyncExitStack
    capacity: Capacity
    live: LiveRoutes | None = None
    port: int = 0
    is_draining: bool = False

    @property
    def rtmp_port(self) -> int:
        """Where RTMP listens."""
        return self.rtmp.port

    @property
    def url(self) -> str:
        """Where this machine reaches the service."""
        return f"http://{reachable(self.settings.host)}:{self.port}"

    def degraded(self) -> list[str]:
        """Return why the service works less well than it should."""
        reasons: list[str] = []
        if (shortage := self.capacity.shortage()) is not None:
            reasons.append(f"full, new sessions are refused: short of {shortage.value}")
        storage = self.storage
        if storage is None:
            return reasons
        is_unsafe = storage.writer.is_unsafe
        # A journal that refuses looks behind, whatever the database does.
        if storage.table.is_away or (storage.is_behind and not is_unsafe):
            reasons.append("the database does not answer; finals wait in the journal")
        if is_unsafe:
            reasons.append("the journal refuses writes; what it lacks is in memory only")
        return reasons

    async def drain(self) -> None:
        """End all sessions with what was said in them transcribed, shown and stored.

        Nothing new starts. What cannot be stored in time stays in the journal.
        """
        self.is_draining = self.hub.is_closing = True
        log.info("Stopping", sessions=len(self.registry))
        await self.rtmp.stop_listening()
        await self.registry.drain(self.settings.stop_grace_s)
        await self.posting.aclose()
        async with asyncio.TaskGroup() as closing:
            # Publishers wait only so long for the next process, which stores it just as well.
            if self.storage is not None and not self.storage.table.is_away:
                closing.create_task(self.storage.writer.flush(FLUSH_TIMEOUT_S))
            if self.live is not None:
                closing.create_task(self.live.close())


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """Run the service for the length of a block.

    Raises:
        ConfigurationError: Something is missing that only the operator can mend.
        OSError: A port is taken.
    """
    async with AsyncExitStack() as stack:
        service = await _start(settings, stack)
        log.info("Ready", url=service.url, rtmp_port=service.rtmp_port)
        yield service


async def _start(settings: Settings, stack: AsyncExitStack) -> Service:
    metrics = Metrics()
    decoder = await decoder_factory(settings, metrics)
    storage = await open_storage(settings, metrics, stack)
    http = await stack.enter_async_context(aiohttp.ClientSession())
    hub = Hub(
        metrics,
        viewer_buffer_bytes=settings.viewer_buffer_bytes,
        history_size=settings.history_size,
        posts_are_ours=settings.realtime_broadcast_mode == "http"
        and settings.realtime_broadcast_url is None,
    )
    ways = outlets(settings, metrics, http, hub, storage)
    posting = await stack.enter_async_context(AsyncExitStack())
    if ways.broadcaster is not None:
        await posting.enter_async_context(ways.broadcaster)
    stages = make_stages(settings, metrics, http, hub, decoder, ways, storage)
    capacity = make_capacity(settings)
    registry = make_registry(settings, metrics, hub, stages, storage, capacity)
    stack.push_async_callback(registry.drain, 0)
    if storage is not None:
        registry.restore(await _left_over(storage.journal))
    rtmp = await stack.enter_async_context(_rtmp_server(settings, metrics, registry))
    service = Service(settings, metrics, hub, storage, registry, rtmp, posting, capacity)
    service.port = await _open_web(service, stack)
    tasks = TaskSet("app")
    stack.push_async_callback(tasks.close)
    _ = tasks.start(registry.watch(), "watch")
    _ = tasks.start(watch_vitals(capacity, metrics), "vitals")
    _ = tasks.start(collect_garbage(), "garbage")
    if storage is not None:
        _ = tasks.start(_reach_database(storage.table), "database")
    return service


async def _left_over(journal: Journal) -> list[SessionRecord]:
    """Return the sessions that an earlier process left; none if the journal cannot be read."""
    try:
        return await journal.records()
    except StoreUnavailable as exc:
        # Starting all the same: the next try would fail as well, and new sessions can run.
        log.error("Sessions cannot be restored", error=str(exc))  # noqa: TRY400
        return []


def _rtmp_server(settings: Settings, metrics: Metrics, registry: Registry) -> RtmpServer:
    return RtmpServer(
        registry,
        metrics,
        port=settings.rtmp_internal_port,
        addresses=addresses(settings.host),
        max_connections=settings.rtmp_max_connections,
    )


async def _open_web(service: Service, stack: AsyncExitStack) -> int:
    settings = service.settings
    patience = Patience()
    app = application(await _web_parts(service), patience.middleware)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=WEB_CLOSE_S, keepalive_timeout=KEEP_ALIVE_S
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None
    tasks = TaskSet("web")
    stack.push_async_callback(tasks.close)
    _ = tasks.start(patience.run(runner.server), "patience")
    host = None if settings.host in WILDCARDS else settings.host
    await web.TCPSite(runner, host, settings.port).start()
    port: int = runner.addresses[0][1]
    return port


async def _web_parts(service: Service) -> list[Routes]:
    settings, storage = service.settings, service.storage
    gate = Gate(token_keys(settings))
    control = Control(
        service.registry, service.hub, make_urls(service.settings, service.rtmp_port, service.url)
    )
    secret, token = settings.internal_secret, settings.metrics_token
    service.live = LiveRoutes(
        service.hub,
        control,
        gate,
        service.metrics,
        allowed_origins=settings.allowed_origins,
        any_origin=settings.wants_tokens or settings.allow_anonymous,
        max_viewers=settings.max_viewers,
        missed=_missed(service),
    )

    service.metrics.viewer_buffered_bytes.set_function(service.live.buffered_bytes)

    async def flush() -> None:
        if storage is not None:
            await storage.flush(READ_FLUSH_TIMEOUT_S)

    return [
        ControlRoutes(control, gate),
        service.live,
        StoredRoutes(gate, storage.table if storage else None, flush),
        BroadcastRoutes(service.hub, secret.get_secret_value() if secret else None),
        HealthRoutes(
            service.metrics,
            is_draining=lambda: service.is_draining,
            degraded=service.degraded,
            refresh=service.registry.refresh_metrics,
            metrics_token=token.get_secret_value() if token else None,
        ),
        PageRoutes(await asyncio.to_thread(static_files)),
    ]


def _missed(service: Service) -> ReadMissed | None:
    """Return what reads finals for viewers that the hub has forgotten."""
    storage, registry = service.storage, service.registry
    if storage is None:
        return None

    async def flush(epoch: str) -> bool:
        await storage.flush(READ_FLUSH_TIMEOUT_S)
        return storage.writer.has_stored_all(epoch)

    def zero_at(slug: str) -> float | None:
        try:
            return registry.find(slug).record.zero_at
        except RequestError:
            return None  # it ended since

    return Missed(storage.table, flush, zero_at, service.metrics).read


async def _reach_database(table: PostgresStore) -> None:
    """Ask the database now, so that an operator sees at start whether it answers.

    And as long as it does not: on a quiet service nobody else would find out that it is back.
    """

    async def reach() -> bool:
        await table.ping()
        return True

    persist = partial(persevere, may_retry=may_retry, delays=_pauses, what="reach the database")
    await persist(reach)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if table.is_away:
            await persist(reach)


def _pauses() -> Iterator[float]:
    return backoff(1.0, most_s=ASK_EVERY_S)

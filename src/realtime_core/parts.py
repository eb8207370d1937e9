"""How the parts of the service are made from the settings; ``app`` puts them together."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

from realtime_core.access import TokenKeys
from realtime_core.capacity import Capacity
from realtime_core.captioner import Captioner
from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.inprocess import InprocessDecoder, load_pyav
from realtime_core.decode.locate import locate
from realtime_core.decode.starts import StartGate
from realtime_core.hub.post import HttpBroadcaster
from realtime_core.hub.rooms import Hub
from realtime_core.hub.wire import CloseCode
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.model import FinalRow, SessionOptions, SessionRecord, Transcript
from realtime_core.registry import Registry, Rules
from realtime_core.session import Session
from realtime_core.settings import Settings
from realtime_core.stages import Decoder, Stages, Waits
from realtime_core.store.embedded import EmbeddedPostgres
from realtime_core.store.folder import claimed_folder
from realtime_core.store.journal import Journal
from realtime_core.store.postgres import PostgresStore
from realtime_core.store.writer import Writer
from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.gladia import GladiaBridge
from realtime_core.transcript.speakers import SpeakerTimeline
from realtime_core.urls import WEBSOCKET_PATH, reachable, rtmp_url, websocket_url
from realtime_core.web.control import Urls

BEHIND_AFTER_S = 15.0
SETTLE_TIMEOUT_S = 2.0

MakeDecoder = Callable[[str], Decoder]

log = get_logger("app")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where finals go: through the writer and its journal to the table."""

    table: PostgresStore
    journal: Journal
    writer: Writer

    @property
    def is_behind(self) -> bool:
        """Whether finals have been waiting for longer than a batch ever takes."""
        return self.journal.oldest_age > BEHIND_AFTER_S

    async def flush(self, timeout_s: float) -> None:
        """Write what is accepted, unless the database is away anyway."""
        if not self.is_behind and not self.table.is_away:
            await self.writer.flush(timeout_s)


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where transcripts go.

    Attributes:
        publish: To viewers; ours, or another service's.
        store: To the table, with the session's record as it is then.
        save: Keeps a session's record for the next process.
        broadcaster: What carries them to another service, to be entered; None when direct.
    """

    publish: Callable[[Transcript], object]
    store: Callable[[FinalRow, SessionRecord], object]
    save: Callable[[SessionRecord], object]
    broadcaster: HttpBroadcaster | None


async def decoder_factory(settings: Settings, metrics: Metrics) -> MakeDecoder:
    """Return what makes a session's decoder.

    Raises:
        ConfigurationError: There is no FFmpeg, or no PyAV.
    """
    if settings.decoder == "inprocess":
        await load_pyav()  # so that its absence is told now, and not by each session
        return lambda slug: InprocessDecoder(metrics, session=slug)
    found = await locate(settings.ffmpeg_path)
    log.info("Using FFmpeg", path=found.path, version=found.version)
    starts = StartGate(most=os.cpu_count() or 1)
    return lambda slug: FfmpegDecoder(
        found.path,
        metrics,
        session=slug,
        retries=settings.ffmpeg_retries,
        retry_delay_s=settings.ffmpeg_retry_delay_s,
        starts=starts,
    )


async def open_storage(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> Storage | None:
    """Open the journal and the way to PostgreSQL; None when nothing is stored.

    Raises:
        ConfigurationError: The embedded PostgreSQL is missing, or the journal is in use.
    """
    if not settings.stores:
        log.warning("Nothing is stored (DATABASE_URL=none)")
        return None
    folder = await stack.enter_async_context(claimed_folder(settings.data_dir))
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
    else:
        dsn = await stack.enter_async_context(EmbeddedPostgres(folder / "postgres"))
    table = await stack.enter_async_context(
        PostgresStore(
            dsn,
            pool_size=settings.database_pool_size,
            statement_cache=settings.database_statement_cache,
        )
    )
    journal = Journal(folder / "journal.sqlite", max_bytes=settings.journal_max_bytes)
    rows, wait_s = settings.batch_max_rows, settings.batch_max_wait_s
    # Draining flushes; what is left then stays in the journal.
    writer = Writer(table, journal, metrics, max_rows=rows, max_wait_s=wait_s, stop_timeout_s=0)
    return Storage(table, journal, await stack.enter_async_context(writer))


def outlets(
    settings: Settings,
    metrics: Metrics,
    http: aiohttp.ClientSession,
    hub: Hub,
    storage: Storage | None,
) -> Outlets:
    """Return where transcripts go."""
    store = storage.writer.accept if storage is not None else _forget_row
    save = storage.journal.save if storage is not None else _forget_record
    secret = settings.internal_secret
    if settings.realtime_broadcast_mode == "direct" or secret is None:
        return Outlets(hub.publish, store, save, None)
    own = f"http://{reachable(settings.host)}:{settings.port}{WEBSOCKET_PATH}/broadcast"
    url = settings.realtime_broadcast_url or own
    broadcaster = HttpBroadcaster(url, secret.get_secret_value(), http, metrics)
    return Outlets(broadcaster.publish, store, save, broadcaster)


def _forget_row(_row: FinalRow, _record: SessionRecord) -> None:
    """Where finals go when nothing is stored."""


def _forget_record(_record: SessionRecord) -> None:
    """Where sessions go when nothing is stored: they end with the process."""


def make_registry(
    settings: Settings,
    metrics: Metrics,
    hub: Hub,
    stages: Stages,
    storage: Storage | None,
    capacity: Capacity,
) -> Registry:
    """Return the registry, whose sessions are made of ``stages``."""
    waits = Waits(settings.publish_grace_s, settings.session_idle_timeout_s)
    secret = settings.rtmp_key_secret

    def open_(session: Session) -> None:
        hub.open(session.slug, session.epoch, session.state, seq=session.record.seq)
        if storage is not None:
            storage.journal.save(session.record)

    def close(session: Session) -> None:
        if storage is not None and not session.is_suspended:
            storage.journal.forget(session.slug)
        # Viewers come back to a session that goes on, and not after its end.
        hub.close(
            session.slug, CloseCode.SHUTTING_DOWN if session.is_suspended else CloseCode.NORMAL
        )

    return Registry(
        build=lambda record: Session(record, stages, waits),
        opened=open_,
        closed=close,
        metrics=metrics,
        rules=Rules(
            max_sessions=settings.max_sessions,
            auto_start=settings.auto_start,
            rtmp_key_secret=secret.get_secret_value() if secret else None,
            keeps_sessions=storage is not None,
        ),
        capacity=capacity,
    )


def make_capacity(settings: Settings) -> Capacity:
    """Return what says when the process is full."""
    lag_ms, free_mb = settings.admit_loop_lag_ms, settings.admit_free_memory_mb
    return Capacity(
        most_lag_s=lag_ms / 1000 if lag_ms else None,
        least_free_bytes=free_mb * 2**20 if free_mb else None,
    )


def make_stages(
    settings: Settings,
    metrics: Metrics,
    http: aiohttp.ClientSession,
    hub: Hub,
    decoder: MakeDecoder,
    ways: Outlets,
    storage: Storage | None,
) -> Stages:
    """Return what sessions are made of."""

    def captioner(record: SessionRecord) -> Captioner:
        return Captioner(
            record,
            publish=ways.publish,
            store=ways.store,
            save=ways.save,
            metrics=metrics,
            draft_timeout_s=settings.draft_timeout_s,
            speakers=_speakers(settings, record),
            relabel_window_s=settings.relabel_window_s,
        )

    def stt(slug: str, options: SessionOptions) -> GladiaBridge:
        return GladiaBridge(
            _gladia_config(settings, options),
            metrics,
            http,
            session=slug,
            replay_s=settings.stt_replay_s,
            chunk_ms=settings.stt_chunk_ms,
            drain_timeout_s=settings.stt_drain_timeout_s,
        )

    async def settle(slug: str) -> None:
        if ways.broadcaster is not None:
            await ways.broadcaster.settled(slug)
        if storage is not None:
            await storage.flush(SETTLE_TIMEOUT_S)

    return Stages(decoder, stt, captioner, settle, status=hub.status, gap=hub.gap)


def _speakers(settings: Settings, record: SessionRecord) -> SpeakerTimeline:
    """Return what will know who spoke when; the lag begins where an earlier process left it."""
    estimates, lag_s = settings.speaker_lag_estimate, settings.speaker_lag_ms / 1000
    if estimates and record.speaker_lag_s is not None:
        lag_s = record.speaker_lag_s
    return SpeakerTimeline(lag_s=lag_s, estimates_lag=estimates)


def _gladia_config(settings: Settings, options: SessionOptions) -> GladiaConfig:
    key = settings.gladia_api_key
    return GladiaConfig(
        api_url=settings.gladia_api_url,
        api_key=key.get_secret_value() if key else "",
        region=settings.gladia_region,
        model=settings.gladia_model,
        languages=options.languages or settings.gladia_languages,
        code_switching=settings.gladia_code_switching,
        endpointing_s=settings.gladia_endpointing_s,
        max_utterance_s=settings.gladia_max_utterance_s,
        vocabulary=options.vocabulary or settings.gladia_vocabulary,
        speech_threshold=settings.gladia_speech_threshold,
        audio_enhancer=settings.gladia_audio_enhancer,
    )


def make_urls(settings: Settings, rtmp_port: int, own_url: str) -> Urls:
    """Return what makes the URLs of sessions.

    Args:
        rtmp_port: Where RTMP listens; differs from the setting when that was 0.
        own_url: Where this machine reaches the service.
    """
    secret = settings.rtmp_key_secret

    def rtmp(slug: str) -> str:
        return rtmp_url(
            settings.rtmp_host or settings.railway_tcp_proxy_domain or settings.host,
            settings.rtmp_external_port or settings.railway_tcp_proxy_port or rtmp_port,
            slug,
            secret.get_secret_value() if secret else None,
        )

    def websocket(slug: str) -> str:
        domain = settings.railway_public_domain
        base = settings.public_url or (f"https://{domain}" if domain else own_url)
        return websocket_url(base, slug)

    return Urls(rtmp, websocket)


def token_keys(settings: Settings) -> TokenKeys | None:
    """Return what client tokens are checked with; None when anybody is admitted."""
    if not settings.wants_tokens:
        return None
    secret, livekit = settings.auth_secret, settings.livekit_api_secret
    return TokenKeys(
        secret=secret.get_secret_value() if secret else None,
        livekit_key=settings.livekit_api_key,
        livekit_secret=livekit.get_secret_value() if livekit else None,
    )

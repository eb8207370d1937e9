"""Every setting, read once from the environment (and ``.env``) at the edge of the program.

Parts below ``app`` receive plain values, never this object. ``.env.example`` lists the
same fields; a test compares them.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from realtime_core.errors import ConfigurationError

LEAST_SECRET_BYTES = 32
GLADIA_API_URL = "https://api.gladia.io"

Commas = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The service's settings. Names in the environment are the field names in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    host: str = "127.0.0.1"
    """Address that HTTP and RTMP listen on. `0.0.0.0` or `::` means all, IPv4 and IPv6."""
    port: Port = 8080
    """TCP port of HTTP and WebSocket."""
    public_url: str | None = None
    """How browsers reach this service, e.g. `https://captions.example.com`; for the URLs that start returns. Unset on Railway: its public domain."""
    railway_public_domain: str | None = None
    """Set by Railway; used when PUBLIC_URL is not set."""

    rtmp_internal_port: Port = 1937
    """TCP port that RTMP listens on."""
    rtmp_host: str | None = None
    """Host name in the RTMP URL that start returns. Unset: RAILWAY_TCP_PROXY_DOMAIN, else HOST."""
    rtmp_external_port: Port | None = None
    """Port in the RTMP URL that start returns. Unset: RAILWAY_TCP_PROXY_PORT, else RTMP_INTERNAL_PORT."""
    railway_tcp_proxy_domain: str | None = None
    """Set by Railway; used when RTMP_HOST is not set."""
    railway_tcp_proxy_port: Port | None = None
    """Set by Railway; used when RTMP_EXTERNAL_PORT is not set."""
    rtmp_key_secret: SecretStr | None = None
    """When set (32 bytes or more), RTMP URLs carry `?key=` and a publish without it is refused."""
    rtmp_max_connections: Annotated[int, Field(ge=1)] = 512
    """Most RTMP connections at a time; further ones are closed at once."""

    max_sessions: Annotated[int, Field(ge=1)] = 100
    """Most sessions at a time; past it, start answers 503."""
    admit_loop_lag_ms: Annotated[float, Field(ge=0)] = 40
    """How late the event loop may run, one time in ten, before start answers 503; 0 admits whatever happens. Milliseconds."""
    admit_free_memory_mb: Annotated[int, Field(ge=0)] = 96
    """Memory that the machine, or the container, has to have left, or start answers 503; 0 admits whatever happens. MiB."""
    auto_start: bool = False
    """Whether a publish for a slug that nobody started starts the session."""
    publish_grace_s: Seconds = 35
    """Seconds a session waits for a lost publisher to come back (LiveKit Egress retries for 30)."""
    session_idle_timeout_s: Seconds = 3600
    """Seconds a started session waits for its first publisher before it is removed."""

    decoder: Literal["ffmpeg", "inprocess"] = "ffmpeg"
    """`ffmpeg`: one FFmpeg process per session. `inprocess`: PyAV (extra `inprocess`), a sixth of the CPU, no crash isolation."""
    ffmpeg_path: str | None = None
    """Path of the FFmpeg to use. Unset: the one on the PATH, else the embedded one (extra `embedded`)."""
    ffmpeg_retries: Annotated[int, Field(ge=0)] = 3
    """How often a decoder that died is started again before the session gives up."""
    ffmpeg_retry_delay_s: Seconds = 2
    """Seconds between those tries."""

    gladia_api_key: SecretStr | None = None
    """Gladia API key. Required unless GLADIA_API_URL points elsewhere."""
    gladia_api_url: str = GLADIA_API_URL
    """Base URL of Gladia's API, or of the emulator."""
    gladia_region: Literal["eu-west", "us-west"] | None = None
    """Gladia region. Unset: Gladia chooses."""
    gladia_model: str = "solaria-1"
    """Gladia model."""
    gladia_languages: Commas = ()
    """Spoken languages, comma-separated ISO codes. One fixes the language; several are candidates."""
    gladia_code_switching: bool = False
    """Whether the language is detected anew for each utterance."""
    gladia_endpointing_s: Annotated[float, Field(ge=0.01, le=10)] = 0.3
    """Seconds of silence that end an utterance."""
    gladia_max_utterance_s: Annotated[float, Field(ge=5, le=60)] = 15
    """Seconds after which an utterance is ended without silence."""
    gladia_vocabulary: Commas = ()
    """Words and names the recogniser should expect, comma-separated."""
    gladia_speech_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """How strict Gladia's voice detection is. Unset: Gladia's default."""
    gladia_audio_enhancer: bool = False
    """Whether Gladia cleans the audio first."""
    stt_chunk_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    """Least audio per message to Gladia, milliseconds; 0 sends what has gathered at once."""
    stt_replay_s: Annotated[float, Field(ge=1, le=600)] = 60
    """Seconds of unacknowledged audio kept for resending when Gladia's socket drops."""
    stt_drain_timeout_s: Seconds = 10
    """Seconds to wait for the last finals at the end of a session."""

    speaker_lag_ms: Annotated[int, Field(ge=0, le=15_000)] = 2000
    """How much later speech arrives in the audio than clients report its speaker, milliseconds;
    where each session's own estimate begins."""
    speaker_lag_estimate: bool = True
    """Whether that is measured in each session; false keeps SPEAKER_LAG_MS."""
    relabel_window_s: Annotated[float, Field(ge=0, le=60)] = 15
    """Seconds after its final for which an utterance may still get another speaker; 0 never."""
    draft_timeout_s: Seconds = 5
    """Seconds after its last change at which a draft without final is finalised by us."""

    realtime_broadcast_mode: Literal["direct", "http"] = "direct"
    """`direct`: to our own viewers. `http`: POST each transcript to REALTIME_BROADCAST_URL instead."""
    realtime_broadcast_url: str | None = None
    """Where `http` mode posts to. Unset: our own /api/realtime/transcribe/broadcast."""
    internal_secret: SecretStr | None = None
    """Secret of the broadcast endpoint (32 bytes or more); unset closes it."""
    viewer_buffer_bytes: Annotated[int, Field(ge=16_384)] = 262_144
    """Bytes that may wait for one viewer before it loses drafts, then its connection (4008)."""
    history_size: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Finals per session kept in memory for late comers and reconnecting viewers."""
    max_viewers: Annotated[int, Field(ge=1)] = 5000
    """Most viewers at a time; further ones are closed with 4429."""

    database_url: SecretStr | None = None
    """PostgreSQL URL. Unset: the embedded PostgreSQL (extra `embedded`). `none`: nothing is stored."""
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 4
    """Most connections to PostgreSQL."""
    database_statement_cache: bool = False
    """Whether to cache prepared statements; leave off behind a transaction-mode pooler (PgBouncer)."""
    batch_max_rows: Annotated[int, Field(ge=1, le=1000)] = 50
    """Most finals written by one statement."""
    batch_max_wait_s: Seconds = 2
    """Most seconds a final waits for its batch."""
    journal_max_bytes: Annotated[int, Field(ge=65_536)] = 268_435_456
    """Bytes of finals the local journal holds while PostgreSQL is away."""
    data_dir: Path = Path(".realtime-core")
    """Folder of the journal and of the embedded PostgreSQL."""

    auth_mode: Literal["auto", "none", "token"] = "auto"
    """`token`: clients need a token. `none`: anybody. `auto`: `token` when a secret is set, else `none`."""
    auth_secret: SecretStr | None = None
    """Secret (32 bytes or more) that client tokens (HS256) are signed with."""
    livekit_api_key: str | None = None
    """LiveKit API key: LiveKit access tokens of the room are accepted as client tokens."""
    livekit_api_secret: SecretStr | None = None
    """LiveKit API secret that belongs to LIVEKIT_API_KEY."""
    allow_anonymous: bool = False
    """Allows AUTH_MODE=none on an address that is not loopback. Anybody can then read and start captions."""
    allowed_origins: Commas = ()
    """Origins whose pages may connect, comma-separated. Unset: any, the token being the guard; without tokens only pages of this service and of this machine."""
    metrics_token: SecretStr | None = None
    """When set, /metrics wants it as a bearer token."""

    stop_grace_s: Annotated[float, Field(gt=0, le=600)] = 20
    """Seconds that SIGTERM leaves the sessions to drain."""
    loop_stall_s: Annotated[float, Field(ge=1, le=300)] = 15
    """Seconds the event loop may stand still before the process ends with a stack dump and status 1, to be started again."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged. Text of transcripts appears only at debug."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`json`: one JSON line per event. `console`: for people. `auto`: `console` in a terminal."""

    @field_validator("gladia_languages", "gladia_vocabulary", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", "log_format", "decoder", "auth_mode", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("rtmp_key_secret", "internal_secret", "auth_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < LEAST_SECRET_BYTES:
            raise ValueError(
                f"is shorter than {LEAST_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
            )
        return value

    @field_validator("gladia_api_url", "realtime_broadcast_url", "public_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value is not None else None

    @field_validator("database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else "none"
        if text != "none" and not text.startswith(("postgres://", "postgresql://")):
            raise ValueError("must be a postgresql:// URL, or none")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*self._access_faults(), *self._provider_faults()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _access_faults(self) -> list[str]:
        faults = []
        if bool(self.livekit_api_key) != bool(self.livekit_api_secret):
            faults.append("LIVEKIT_API_KEY and LIVEKIT_API_SECRET: set both or neither")
        if self.auth_mode == "token" and not self._has_keys:
            faults.append("AUTH_MODE: token needs AUTH_SECRET, or the LIVEKIT_API_ pair")
        if not self.wants_tokens and not self.is_loopback and not self.allow_anonymous:
            faults.append(
                f"HOST: {self.host} is reachable from outside, so set AUTH_SECRET"
                " (or say ALLOW_ANONYMOUS=true aloud)"
            )
        return faults

    def _provider_faults(self) -> list[str]:
        faults = []
        if self.gladia_api_key is None and self.gladia_api_url == GLADIA_API_URL:
            faults.append(
                "GLADIA_API_KEY: missing; get one at app.gladia.io, or point GLADIA_API_URL"
                " at a gladia-emulator"
            )
        if self.realtime_broadcast_mode == "http" and self.internal_secret is None:
            faults.append("INTERNAL_SECRET: REALTIME_BROADCAST_MODE=http needs it")
        return faults

    @property
    def _has_keys(self) -> bool:
        return self.auth_secret is not None or self.livekit_api_secret is not None

    @property
    def wants_tokens(self) -> bool:
        """Whether clients have to show a token."""
        return self.auth_mode == "token" or (self.auth_mode == "auto" and self._has_keys)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def stores(self) -> bool:
        """Whether finals are stored at all."""
        return self.database_url is None or self.database_url.get_secret_value() != "none"


def load(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` (by field name) win over the environment.

    Raises:
        ConfigurationError: All faults at once, one line each.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as exc:
        faults = _lines(exc) + _faults_behind(exc, overrides)
        raise ConfigurationError("\n".join(faults)) from None  # inputs may be secrets


def _faults_behind(exc: ValidationError, overrides: dict[str, object]) -> list[str]:
    # Faults between fields are only looked for once each field is sound by itself.
    faulty = {str(error["loc"][0]): None for error in exc.errors() if error["loc"]}
    if not faulty:
        return []
    sound = {name: Settings.model_fields[name].default for name in faulty}
    try:
        Settings(**{**overrides, **sound})
    except ValidationError as behind:
        return _lines(behind)
    return []


def _lines(exc: ValidationError) -> list[str]:
    lines: list[str] = []
    for error in exc.errors(include_input=False, include_url=False):
        message = error["msg"].removeprefix("Value error, ")
        name = str(error["loc"][0]).upper() if error["loc"] else ""
        lines += [f"{name}: {line}" if name else line for line in message.split("\n")]
    return lines

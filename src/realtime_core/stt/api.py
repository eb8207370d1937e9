"""Gladia's HTTP API: ask for an STT session, fetch what a session said. One attempt each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from realtime_core.errors import SttRejected, SttUnavailable
from realtime_core.logs import get_logger
from realtime_core.metrics import Metrics
from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.request import start_body
from realtime_core.stt.verdicts import (
    Refusal,
    after_refusal,
    is_trusted,
    retry_after_s,
    status_label,
)

TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Started:
    """An STT session as the provider gave it out. The url carries a token: a secret."""

    id: str
    url: str = field(repr=False)


class GladiaApi:
    """The HTTP side of the provider, for one session."""

    def __init__(
        self, config: GladiaConfig, metrics: Metrics, http: aiohttp.ClientSession, *, session: str
    ) -> None:
        self._config, self._metrics, self._http, self._session = config, metrics, http, session
        self._log = get_logger("stt").bind(session=session)

    async def start(self) -> Started:
        """Ask for a new STT session.

        Raises:
            SttRejected: The same request can never succeed.
            SttUnavailable: It may, later.
        """
        body = start_body(self._config, self._session)
        params = {"region": self._config.region} if self._config.region else {}
        try:
            status, headers, answer = await self._request("POST", "/v2/live", params, body)
        except SttUnavailable:
            self._metrics.stt_refusals.labels("network").inc()
            raise
        if status not in (200, 201):
            raise self._refusal(status, headers, answer)
        match answer:
            case {"id": str(stt_session_id), "url": str(url)}:
                if not is_trusted(url, self._config.api_url):
                    raise SttRejected("the answer points to a foreign host")
                self._log.info("Gladia session started", stt_session=stt_session_id)
                return Started(stt_session_id, url)
            case _:
                raise SttUnavailable("the answer to the session request makes no sense")

    async def finished_messages(self, stt_session_id: str) -> list[str] | None:
        """Return all a session has sent, as JSON texts; None while it is not finished.

        Raises:
            SttUnavailable: The provider did not say.
        """
        path = f"/v2/live/{quote(stt_session_id, safe='')}"
        status, _, answer = await self._request("GET", path, {}, None)
        if status != 200:
            raise SttUnavailable(f"HTTP {status}")
        match answer:
            case {"status": "done", "result": {"messages": list(messages)}}:
                return [message for message in messages if isinstance(message, str)]
            case {"status": "done" | "error"}:
                return []
            case _:
                return None

    async def _request(
        self, method: str, path: str, params: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, Mapping[str, str], Any]:
        try:
            async with self._http.request(
                method,
                self._config.api_url.rstrip("/") + path,
                params=params,
                json=body,
                headers={"x-gladia-key": self._config.api_key},
                allow_redirects=False,  # the key goes nowhere else
                timeout=TIMEOUT,
            ) as response:
                content = await response.read()
                return response.status, response.headers, _decoded(content)
        except (aiohttp.ClientError, OSError) as exc:
            raise SttUnavailable(f"no connection ({type(exc).__name__})") from exc

    def _refusal(
        self, status: int, headers: Mapping[str, str], answer: Any
    ) -> SttRejected | SttUnavailable:
        """Count and log a refusal, and name it."""
        self._metrics.stt_refusals.labels(status_label(status)).inc()
        fields = answer if isinstance(answer, dict) else {}
        said = self._without_key(fields.get("message", ""))
        self._log.warning(
            "Gladia refused a session",
            status=status,
            said=said,
            faults=self._without_key(fields.get("validation_errors", "")),
            request_id=fields.get("request_id"),
            call_id=headers.get("x-aipi-call-id"),
        )
        text = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        refusal = after_refusal(status)
        if refusal is Refusal.FINAL:
            return SttRejected(text)
        return SttUnavailable(
            text,
            retry_after_s=retry_after_s(headers.get("Retry-After")),
            slow_down=refusal is Refusal.SLOW_DOWN,
        )

    def _without_key(self, said: object) -> str:
        return str(said).replace(self._config.api_key or "\0", "[key]")[:300]


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None

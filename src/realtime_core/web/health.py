"""Whether the service lives, whether it is ready, and its metrics."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from aiohttp import web

from realtime_core.errors import RequestError
from realtime_core.metrics import Metrics
from realtime_core.web.bearer import bearer_of

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class HealthRoutes:
    """``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        is_draining: Whether the service is shutting down.
        degraded: Why the service works less well than it should; empty when all is well.
        refresh: Brings gauges up to now, before they are read.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        is_draining: Callable[[], bool],
        degraded: Callable[[], list[str]],
        refresh: Callable[[], None],
        metrics_token: str | None = None,
    ) -> None:
        self._metrics, self._token = metrics, metrics_token
        self._is_draining, self._degraded, self._refresh = is_draining, degraded, refresh

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application's router."""
        return [
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._show_metrics),
        ]

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        if self._is_draining():
            return web.json_response({"status": "draining"}, status=503)
        # A database that is away must not take the service out: captions go on.
        reasons = self._degraded()
        if reasons:
            return web.json_response({"status": "degraded", "reasons": reasons})
        return web.json_response({"status": "ready"})

    async def _show_metrics(self, request: web.Request) -> web.Response:
        self._check_token(request)
        self._refresh()
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response(self._metrics.snapshot())
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": PROMETHEUS_TEXT}
        )

    def _check_token(self, request: web.Request) -> None:
        if self._token is None:
            return
        if not hmac.compare_digest(bearer_of(request).encode(), self._token.encode()):
            raise RequestError(401, "unauthorized", "METRICS_TOKEN is needed as a bearer token")

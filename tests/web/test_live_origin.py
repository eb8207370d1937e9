"""Whose pages may connect."""

from __future__ import annotations

from typing import cast

import pytest

from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.web.live import Gate, LiveRoutes, SessionControl

HOST = "captions.example.com"


def routes(*, any_origin: bool, allowed: tuple[str, ...] = ()) -> LiveRoutes:
    metrics = Metrics()
    return LiveRoutes(
        Hub(metrics),
        cast(SessionControl, None),
        cast(Gate, None),
        metrics,
        allowed_origins=allowed,
        any_origin=any_origin,
    )


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://captions.example.com", True),
        ("http://localhost:3000", True),
        ("http://127.0.0.1:5173", True),
        ("http://[::1]:3000", True),
        ("https://evil.example", False),
        ("https://captions.example.com.evil.example", False),
        ("https://localhost.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_without_tokens_only_pages_of_the_service_and_of_this_machine(
    origin: str, may: bool
) -> None:
    assert routes(any_origin=False).may_connect(origin, HOST) is may


def test_with_tokens_any_page_may_try() -> None:
    assert routes(any_origin=True).may_connect("https://app.example", HOST)


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://app.example", True),
        ("https://app.example:8443", False),
        ("http://app.example", False),
        ("https://captions.example.com", False),
    ],
)
def test_a_list_is_exact(origin: str, may: bool) -> None:
    listed = routes(any_origin=True, allowed=("https://app.example",))
    assert listed.may_connect(origin, HOST) is may

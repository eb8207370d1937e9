"""What follows upon codes and statuses, and which addresses are trusted."""

from __future__ import annotations

import pytest

from realtime_core.stt.verdicts import (
    Cut,
    Next,
    Refusal,
    after_close,
    after_cut,
    after_refusal,
    close_label,
    is_trusted,
    retry_after_s,
    status_label,
)


@pytest.mark.parametrize(
    "code", [1001, 1002, 1005, 1006, 1009, 1011, 1012, 1015, 4000, 4399, 4500, 4999]
)
@pytest.mark.parametrize("stop_sent", [True, False])
def test_a_session_that_may_live_is_resumed(code: int, stop_sent: bool) -> None:
    assert after_close(code, stop_sent=stop_sent) is Next.RESUME


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404, 4408, 4429, 4499])
def test_a_session_that_was_refused_is_replaced(code: int) -> None:
    assert after_close(code, stop_sent=False) is Next.NEW_SESSION


def test_a_normal_end_is_one_only_when_it_was_asked_for() -> None:
    assert after_close(1000, stop_sent=True) is Next.FINISHED
    assert after_close(1000, stop_sent=False) is Next.NEW_SESSION


def test_what_follows_our_own_hanging_up() -> None:
    assert after_cut(Cut.ACK_TIMEOUT, in_flight=True) is Next.RESUME
    assert after_cut(Cut.UNREACHABLE, in_flight=True) is Next.RESUME
    assert after_cut(Cut.UNSETTLED, in_flight=True) is Next.RESUME
    assert after_cut(Cut.DRAIN_TIMEOUT, in_flight=False) is Next.FINISHED
    assert after_cut(Cut.DRAIN_TIMEOUT, in_flight=True) is Next.NEW_SESSION
    for cut in (Cut.SESSION_GONE, Cut.REFUSED, Cut.OVERFLOW):
        assert after_cut(cut, in_flight=True) is Next.NEW_SESSION


@pytest.mark.parametrize("status", [300, 307, 400, 401, 402, 403, 404, 413, 422])
def test_these_refusals_are_final(status: int) -> None:
    assert after_refusal(status) is Refusal.FINAL


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 599])
def test_these_refusals_are_not(status: int) -> None:
    assert after_refusal(status) is Refusal.RETRY


def test_a_limit_is_met_with_patience() -> None:
    assert after_refusal(429) is Refusal.SLOW_DOWN


def test_labels_are_few() -> None:
    codes = {close_label(code) for code in range(10_000)}
    statuses = {status_label(status) for status in range(1_000)}
    assert (close_label(4408), close_label(4409), close_label(9999)) == ("4408", "other", "other")
    assert (status_label(429), status_label(418)) == ("429", "other")
    assert len(codes) < 30
    assert len(statuses) < 20


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("3600", 60.0),
        (None, None),
        ("", None),
        ("-1", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_how_long_the_provider_asks_to_wait(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize(
    ("url", "api_url"),
    [
        ("wss://api.gladia.io/v2/live?token=t", "https://api.gladia.io"),
        ("wss://eu.api.gladia.io/v2/live?token=t", "https://api.gladia.io"),
        ("wss://us-west.gladia.io:8443/", "https://api.gladia.io/"),
        ("wss://10.0.0.7/", "https://10.0.0.7"),
        ("wss://localhost/", "https://localhost"),
        ("ws://127.0.0.1:8090/v2/live?token=t", "http://127.0.0.1:8090"),
        ("ws://127.0.0.1:9000/", "http://127.0.0.1:8090"),
        ("wss://stt.internal/", "http://stt.internal"),
        ("ws://[::1]:8090/", "http://[::1]:8090"),
    ],
)
def test_these_addresses_are_trusted(url: str, api_url: str) -> None:
    assert is_trusted(url, api_url)


@pytest.mark.parametrize(
    ("url", "api_url"),
    [
        ("ws://api.gladia.io/", "https://api.gladia.io"),
        ("https://api.gladia.io/", "https://api.gladia.io"),
        ("wss://evil.io/", "https://api.gladia.io"),
        ("wss://evilgladia.io/", "https://api.gladia.io"),
        ("wss://api.gladia.io.evil.io/", "https://api.gladia.io"),
        ("wss://api.gladia.io@evil.io/", "https://api.gladia.io"),
        ("wss://user@api.gladia.io/", "https://api.gladia.io"),
        ("wss://evil.io/", "https://gladia.io"),
        ("wss://9.0.0.7/", "https://10.0.0.7"),
        ("wss://11.0.0.7/", "https://10.0.0.7"),
        ("ws://169.254.169.254/", "http://127.0.0.1:8090"),
        ("ws://localhost/", "http://127.0.0.1:8090"),
        ("http://127.0.0.1/", "http://127.0.0.1:8090"),
        ("ws://127.0.0.1:port/", "http://127.0.0.1:8090"),
        ("ws://[::1/", "http://[::1]:8090"),
        ("ws:///v2/live", "http://127.0.0.1:8090"),
        ("", "http://127.0.0.1:8090"),
    ],
)
def test_these_addresses_are_not(url: str, api_url: str) -> None:
    assert not is_trusted(url, api_url)

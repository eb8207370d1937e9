"""What a refusal or a hang-up means, and which addresses the provider may send us to. Pure."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_address
from urllib.parse import urlsplit

# Only a new STT session helps after these answers to the WebSocket handshake.
SESSION_GONE = frozenset({401, 403, 404, 410})

NORMAL_CLOSURE = 1000
ABNORMAL_CLOSURE = 1006
CLIENT_FAULTS = range(4400, 4500)

KNOWN_CLOSE_CODES = frozenset(
    {*range(1000, 1004), *range(1005, 1016)} | {4400, 4401, 4403, 4404, 4408, 4429, 4500}
)
KNOWN_STATUSES = frozenset({400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504})


class Next(Enum):
    """What follows when a socket has closed."""

    FINISHED = "finished"
    RESUME = "resume"
    NEW_SESSION = "new_session"


class Refusal(Enum):
    """What follows when a session request was refused."""

    RETRY = "retry"
    SLOW_DOWN = "slow_down"
    FINAL = "final"


class Cut(Enum):
    """Why a socket ended, when it was not the provider who closed it."""

    UNREACHABLE = "unreachable"
    SESSION_GONE = "session_gone"
    ACK_TIMEOUT = "ack_timeout"
    UNSETTLED = "unsettled"
    REFUSED = "refused"
    OVERFLOW = "overflow"
    DRAIN_TIMEOUT = "drain_timeout"


def after_cut(cut: Cut, *, in_flight: bool) -> Next:
    """Return what to do after a socket that the provider did not close."""
    match cut:
        case Cut.UNREACHABLE | Cut.ACK_TIMEOUT | Cut.UNSETTLED:
            return Next.RESUME
        case Cut.SESSION_GONE | Cut.REFUSED | Cut.OVERFLOW:
            return Next.NEW_SESSION
        case Cut.DRAIN_TIMEOUT:
            return Next.NEW_SESSION if in_flight else Next.FINISHED


def after_close(code: int, *, stop_sent: bool) -> Next:
    """Return what to do after the provider closed with ``code``."""
    if code == NORMAL_CLOSURE:
        return Next.FINISHED if stop_sent else Next.NEW_SESSION
    return Next.NEW_SESSION if code in CLIENT_FAULTS else Next.RESUME


def after_refusal(status: int) -> Refusal:
    """Return whether a session request that got ``status`` may be repeated."""
    if status == 429:
        return Refusal.SLOW_DOWN
    return Refusal.RETRY if status in (408, 425) or status >= 500 else Refusal.FINAL


def close_label(code: int) -> str:
    """Return the code as a metric's label, from a bounded set."""
    return str(code) if code in KNOWN_CLOSE_CODES else "other"


def status_label(status: int) -> str:
    """Return the HTTP status as a metric's label, from a bounded set."""
    return str(status) if status in KNOWN_STATUSES else "other"


def retry_after_s(header: str | None, *, most_s: float = 60.0) -> float | None:
    """Read a ``Retry-After`` in seconds; its other form, a date, is not worth a clock."""
    if header is None or not (header.isascii() and header.isdigit()):
        return None
    return min(float(header), most_s)


def is_trusted(url: str, api_url: str) -> bool:
    """Whether audio may be sent to ``url``, which the API at ``api_url`` answered.

    A tampered answer must not turn the service against a neighbour. From an https API only
    wss is taken, on its own host or one below the same parent domain; from an http API (the
    emulator) only its own host.
    """
    try:
        target, api = urlsplit(url), urlsplit(api_url)
        _ = target.port  # raises when it is no number
    except ValueError:
        return False
    if target.username is not None or target.hostname is None or api.hostname is None:
        return False
    if api.scheme != "https":
        return target.scheme in ("ws", "wss") and target.hostname == api.hostname
    return target.scheme == "wss" and _are_related(target.hostname, api.hostname)


def _are_related(host: str, api_host: str) -> bool:
    if host == api_host:
        return True
    _, _, parent = api_host.partition(".")
    # Below a mere "io" everybody is related.
    return "." in parent and not _is_address(api_host) and host.endswith(f".{parent}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True

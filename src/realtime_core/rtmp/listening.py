"""The listening sockets: both families on one port."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Sequence

from realtime_core.logs import get_logger

ANY_ADDRESS = ("0.0.0.0", "::")
BACKLOG = 512
MOST_ATTEMPTS = 20
ABSENT = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What the kernel answers when a family is switched off."""

TCP_CLOSE = 7
"""The state that Linux gives to a connection that was reset."""

log = get_logger("rtmp")


def open_listeners(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Listen on every address, on the same port.

    Port 0 takes one that is free in all families. A machine without IPv6 is served on
    IPv4 alone, which is logged.

    Raises:
        OSError: The port is taken, or no address could be used.
    """
    # IPv4 first: it decides the port when that is 0.
    addresses = sorted(addresses, key=_family)
    for _ in range(MOST_ATTEMPTS - 1):
        try:
            return _open_all(addresses, port)
        except OSError as exc:
            if port != 0 or exc.errno != errno.EADDRINUSE:
                raise
    return _open_all(addresses, port)


def _open_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for address in addresses:
            try:
                opened.append(_open(address, port))
            except OSError as exc:
                if exc.errno not in ABSENT:
                    raise
                log.warning("Address cannot be listened on", address=address, error=str(exc))
                refused = exc
            else:
                port = int(opened[-1].getsockname()[1])
        if refused is not None and not opened:
            raise refused
    except OSError:
        for each in opened:
            each.close()
        raise
    return opened


def _open(address: str, port: int) -> socket.socket:
    listener = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            # Or it would take the port in IPv4 as well, on some systems and not on others.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tune(connection: socket.socket) -> None:
    """Make a dead peer show, and small replies leave at once."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 15),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 15_000),
    ):
        option = getattr(socket, name, None)  # not every system has them
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def is_reset(connection: socket.socket) -> bool:
    """Whether the peer has reset a connection whose last bytes may still be unread.

    FFmpeg leaves by a reset when our acknowledgements lie unread. Its last frames and its
    farewell can be read all the same, unless we write first: a write that fails makes
    asyncio drop the transport with all that it has not read.
    """
    if sys.platform != "linux":
        return False
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE

"""Prints what an idle viewer takes, in KB. A process of its own: here nothing else was freed."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from realtime_core.logs import configure
from tests.web.live_service import LiveService, live_service, upgrade_request

WARM_UP, VIEWERS = 20, 400
READY = b'{"type":"ready"'


async def come(service: LiveService, stack: AsyncExitStack, viewers: int) -> None:
    """Connect so many, and wait until each has its first message."""
    loop = asyncio.get_running_loop()
    for _ in range(viewers):
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", service.port))
        await loop.sock_sendall(sock, upgrade_request("sessionSlug=weekly"))
        received = b""
        while READY not in received:
            received += await loop.sock_recv(sock, 4096)


def pss_kb() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


async def main() -> None:
    async with live_service() as service, AsyncExitStack() as stack:
        await come(service, stack, WARM_UP)
        before_kb = pss_kb()
        await come(service, stack, VIEWERS)
        sys.stdout.write(f"{(pss_kb() - before_kb) / VIEWERS}\n")


if __name__ == "__main__":
    configure("warning")
    uvloop.run(main())

"""The viewers of ``bench.crowd``: thousands of WebSockets in one process that does little else.

Obeys lines on standard input, and answers each with one line of JSON: ``forget`` what was
seen, ``freeze 30``: so many stop reading, ``thaw``: they read again, ``report``.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from statistics import quantiles
from typing import IO, Any

WINDOW_BYTES = 1 << 16
STAMP = b'"text":"'
PING, PONG = b"\x89\x00", b"\x8a\x80\x00\x00\x00\x00"
UPGRADE = (
    "GET /api/realtime/transcribe?sessionSlug={slug} HTTP/1.1\r\nHost: localhost\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    # What a browser sends besides, roughly.
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36\r\n"
    "Origin: http://localhost\r\nAccept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\r\n"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def read_line(stream: IO[str]) -> str:
    """Return a line.

    Raises:
        EOFError: The process that writes it is gone.
    """
    line = stream.readline()
    if not line:
        raise EOFError("the viewers' process ended")
    return line


class Viewer:
    """One WebSocket, read as a stream of unmasked frames."""

    def __init__(self, port: int, slug: str) -> None:
        self.sock = socket.socket()
        # Left alone it grows with what is read, and a viewer that stops costs its own kernel more.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(UPGRADE.format(slug=slug).encode())
        self._inbox = b""
        self.is_open = self.is_ready = False

    def receive(self) -> list[bytes]:
        """Read what is there; return the payloads of the frames that are whole.

        Raises:
            ConnectionError: The service closed.
        """
        received = self.sock.recv(WINDOW_BYTES)
        if not received:
            raise ConnectionError("the service closed a viewer")
        self._inbox += received
        if not self.is_open and not self._upgraded():
            return []
        self._answer_pings()
        return list(iter(self._frame, None))

    def _answer_pings(self) -> None:
        # Silent for so long that it is asked, it has read all else: a ping comes first.
        while self._inbox.startswith(PING):
            self._inbox = self._inbox[len(PING) :]
            self.sock.sendall(PONG)

    def _upgraded(self) -> bool:
        head, found, rest = self._inbox.partition(b"\r\n\r\n")
        if found:
            assert head.startswith(b"HTTP/1.1 101"), head
            self.is_open, self._inbox = True, rest
        return self.is_open

    def _frame(self) -> bytes | None:
        if len(self._inbox) < 10:
            return None  # shorter than any message
        begin, length = 2, self._inbox[1]
        if length >= 126:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(self._inbox[2:begin], "big")
        if len(self._inbox) < begin + length:
            return None
        payload = self._inbox[begin : begin + length]
        self._inbox = self._inbox[begin + length :]
        return payload


class Seats:
    """All viewers, and what they saw: for each message, the latencies in seconds."""

    def __init__(self, port: int, slug: str, viewers: int) -> None:
        self._seen: dict[bytes, list[float]] = {}
        self._began, self._cpu_s = time.monotonic(), time.process_time()
        self._polling = select.epoll()
        self._viewers: dict[int, Viewer] = {}
        self._frozen: list[int] = []
        self._ready = self._reading = 0
        for number in range(viewers):
            self._seat(Viewer(port, slug))
            if number % 50 == 49:  # the listener's backlog is not what is measured
                self.read_until(number + 1)
        self.read_until(viewers)

    def _seat(self, viewer: Viewer) -> None:
        self._viewers[viewer.sock.fileno()] = viewer
        self._polling.register(viewer.sock, select.EPOLLIN)

    def read_until(self, ready: int) -> None:
        while self._ready < ready:
            self.read(0.1)

    def read(self, timeout_s: float) -> None:
        """Wait for something, and read from all that have it."""
        for descriptor, _ in self._polling.poll(timeout_s):
            if descriptor in self._viewers:
                self._read(descriptor)

    def _read(self, descriptor: int) -> None:
        viewer = self._viewers[descriptor]
        try:
            for payload in viewer.receive():
                self._note(payload, viewer)
        except ConnectionError:
            self._polling.unregister(descriptor)
            del self._viewers[descriptor]
            viewer.sock.close()

    def watch(self, stream: IO[str]) -> None:
        """Have :meth:`read` return when a line comes."""
        self._polling.register(stream, select.EPOLLIN)

    def _note(self, payload: bytes, viewer: Viewer) -> None:
        now_ns = time.monotonic_ns()
        if payload.startswith(b'{"type":"ready"'):
            self._ready += not viewer.is_ready
            viewer.is_ready = True
            return
        if STAMP not in payload:
            return  # it says how the session stands
        begin = payload.find(STAMP) + len(STAMP)
        stamp = payload[begin : payload.find(b'"', begin)].rstrip(b".")
        self._seen.setdefault(stamp, []).append((now_ns - int(stamp)) / 1e9)

    def obey(self, command: str) -> dict[str, Any]:
        """Carry out a command; return the answer."""
        name, _, number = command.partition(" ")
        if name == "forget":
            self._seen.clear()
            self._began, self._cpu_s = time.monotonic(), time.process_time()
        elif name == "freeze":
            self._freeze(int(number))
        elif name == "thaw":
            self._thaw()
        if name != "report":  # whoever is lost later was to read, too
            self._reading = len(self._viewers) - len(self._frozen)
        return self._report()

    def _freeze(self, viewers: int) -> None:
        self._thaw()
        self._frozen = list(self._viewers)[-viewers:]
        for descriptor in self._frozen:
            self._polling.unregister(descriptor)

    def _thaw(self) -> None:
        frozen, self._frozen = self._frozen, []
        for descriptor in frozen:
            self._polling.register(descriptor, select.EPOLLIN)

    def _report(self) -> dict[str, Any]:
        every = [latency for latencies in self._seen.values() for latency in latencies]
        last = [max(latencies) for latencies in self._seen.values()]
        busy = (time.process_time() - self._cpu_s) / (time.monotonic() - self._began)
        return {
            "messages": len(last),
            "complete": sum(len(each) == self._reading for each in self._seen.values()),
            "everyViewerMs": _summary(every),
            "lastViewerMs": _summary(last),
            "readerCores": round(busy, 3),
        }


def _summary(latencies_s: list[float]) -> dict[str, float]:
    if len(latencies_s) < 2:
        return {}
    percentiles = quantiles(latencies_s, n=100, method="inclusive")
    named = {"p50": percentiles[49], "p99": percentiles[98], "max": max(latencies_s)}
    return {name: round(value * 1e3, 2) for name, value in named.items()}


def main() -> None:
    port, slug, viewers = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    seats = Seats(port, slug, viewers)
    seats.watch(sys.stdin)
    waiting = select.poll()
    waiting.register(sys.stdin, select.POLLIN)
    while True:
        seats.read(1.0)
        if waiting.poll(0):
            command = sys.stdin.readline().strip()
            if not command:
                return
            print(json.dumps(seats.obey(command)), flush=True)


if __name__ == "__main__":
    main()

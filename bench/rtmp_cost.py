"""What an audio message costs between a socket and the host: CPU of this process per message.

Ten publishers on loopback send 372-byte AAC frames in chunks of 128 bytes, which is what
LiveKit Egress sends: once as egress does, a frame each 23 ms, and once as fast as it goes.
Beside it the same bytes into a protocol that only counts them: what the loop alone costs.

Run: ``python bench/rtmp_cost.py`` (about 20 seconds).
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import time
from collections.abc import Callable

import structlog
import uvloop

from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp import amf
from realtime_core.rtmp.chunk_writer import ChunkWriter
from realtime_core.rtmp.server import Publish, PublishRequest, Refusal, RtmpServer

STREAMS = 10
PACED_FRAMES = 150  # for each stream
FLAT_OUT_FRAMES = 3000
FRAME_S = 1024 / 44_100
CHUNK_BYTES = 128
CONFIG, FRAME = b"\xaf\x00\x12\x10", b"\xaf\x01" + bytes(370)


class Bare(asyncio.Protocol):
    """Counts bytes, and measures from the first to the last."""

    missing, began_s, ended_s = 0, 0.0, 0.0
    done: asyncio.Event

    @classmethod
    def expect(cls, size_bytes: int) -> None:
        """Begin a measurement."""
        cls.missing, cls.began_s, cls.done = size_bytes, 0.0, asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what is needed to hang up."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Count."""
        Bare.began_s = Bare.began_s or time.process_time()
        Bare.missing -= len(data)
        if Bare.missing == 0:
            Bare.ended_s = time.process_time()
            Bare.done.set()

    def eof_received(self) -> None:
        """Hang up as well."""
        self._transport.close()


class CountingHost:
    """Measures from the moment all publish until the last frame came."""

    def __init__(self, frames: int) -> None:
        self._expected, self._publishing, self._came = STREAMS * (frames + 1), 0, 0
        self.began_s = self.ended_s = 0.0
        self.done = asyncio.Event()

    def pre_connect(self, peer: str) -> None:
        """Nothing to do."""

    def post_connect(self, peer: str, app: str) -> None:
        """Nothing to do."""

    def pre_publish(self, request: PublishRequest) -> Refusal | None:
        """Accept."""

    def post_publish(self, publish: Publish) -> None:
        """Start the clock with the last publisher."""
        self._publishing += 1
        if self._publishing == STREAMS:
            self.began_s = time.process_time()

    def audio(self, publish: Publish, tag: AudioTag) -> None:
        """Stop the clock with the last frame."""
        self._came += 1
        if self._came == self._expected:
            self.ended_s = time.process_time()
            self.done.set()

    def done_publish(self, publish: Publish, end: PublishEnd) -> None:
        """Nothing to do."""


def delta_message(csid: int, delta_ms: int, body: bytes) -> bytes:
    """Return audio as encoders go on with it: a type 1 header, and the body cut by type 3."""
    head = bytes([0x40 | csid]) + delta_ms.to_bytes(3, "big") + len(body).to_bytes(3, "big")
    cuts = (body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES))
    return head + b"\x08" + bytes([0xC0 | csid]).join(cuts)


CONFIGURATION = ChunkWriter().message(5, 8, 1, CONFIG)
AUDIO = delta_message(5, 23, FRAME)


def publish_all(port: int, frames: int, pause_s: float, is_bare: bool) -> None:
    """Publish on all streams from this process, which is not the one measured."""
    peers = [connected(port) for _ in range(STREAMS)]
    for index, peer in enumerate(peers):
        if not is_bare:
            begin(peer, f"s{index}")
    send(peers, frames, pause_s)
    for peer in peers:  # to leave with replies unread would reset the connection
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65_536):
            pass
        peer.close()


def send(peers: list[socket.socket], frames: int, pause_s: float) -> None:
    """Send a configuration and frames on all streams, in step."""
    for peer in peers:
        peer.sendall(CONFIGURATION)
    began = time.monotonic()
    for count in range(frames):
        for peer in peers:
            peer.sendall(AUDIO)
        time.sleep(max(0.0, began + (count + 1) * pause_s - time.monotonic()))


def connected(port: int) -> socket.socket:
    """Return a socket that sends at once."""
    peer = socket.create_connection(("127.0.0.1", port))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def begin(peer: socket.socket, key: str) -> None:
    """Come as far as a live publish."""
    writer = ChunkWriter()
    said = b"\x03" + bytes(2 * 1536)
    said += writer.message(3, 20, 0, amf.encode("connect", 1.0, {"app": "live"}))
    said += writer.message(3, 20, 0, amf.encode("createStream", 2.0, None))
    said += writer.message(3, 20, 1, amf.encode("publish", 0.0, None, key, "live"))
    peer.sendall(said)
    heard = b""
    while b"Publish.Start" not in heard:
        heard += peer.recv(65_536)


async def publishing(port: int, frames: int, pause_s: float, *, is_bare: bool) -> None:
    """Run the publishers to their end."""
    spawn = multiprocessing.get_context("spawn")
    writers = spawn.Process(target=publish_all, args=(port, frames, pause_s, is_bare))
    writers.start()
    await asyncio.to_thread(writers.join)


async def served(frames: int, pause_s: float) -> float:
    """Return the CPU seconds that the RTMP server took."""
    host = CountingHost(frames)
    async with RtmpServer(host, Metrics(), port=0, addresses=["127.0.0.1"]) as server:
        await publishing(server.port, frames, pause_s, is_bare=False)
        await host.done.wait()
    return host.ended_s - host.began_s


async def bare(frames: int, pause_s: float) -> float:
    """Return the CPU seconds that reading the same bytes took."""
    Bare.expect(STREAMS * (len(CONFIGURATION) + frames * len(AUDIO)))
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    async with server:
        await publishing(server.sockets[0].getsockname()[1], frames, pause_s, is_bare=True)
        await Bare.done.wait()
    return Bare.ended_s - Bare.began_s


def main() -> None:
    """Print one line for each loop and pace."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop,
        "uvloop": uvloop.new_event_loop,
    }
    paces = (("as egress", PACED_FRAMES, FRAME_S), ("flat out", FLAT_OUT_FRAMES, 0.0))
    for (name, new_loop), (pace, frames, pause_s) in itertools.product(loops.items(), paces):
        costs_us = []
        for measured in (served, bare):
            with asyncio.Runner(loop_factory=new_loop) as runner:
                cpu_s = runner.run(measured(frames, pause_s))
            costs_us.append(cpu_s * 1e6 / (STREAMS * frames))
        print(
            f"{name:8} {pace:10} {costs_us[0]:5.1f} µs a message; bare loop {costs_us[1]:5.1f} µs"
        )


if __name__ == "__main__":
    main()

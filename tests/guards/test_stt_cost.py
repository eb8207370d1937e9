"""What a chunk costs from the bridge to the socket and back, against the least it can cost."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask
from websockets.uri import parse_uri

from realtime_core.metrics import Metrics
from realtime_core.stt.config import Waits
from realtime_core.stt.connection import Connection, SttSession
from realtime_core.stt.feed import Feed
from realtime_core.stt.reporter import Reporter
from realtime_core.stt.timeline import Timeline
from realtime_core.stt.websocket import ProviderSocket, wire_log
from tests.stt.fake_gladia import ack
from tests.stt.raw_provider import upgraded

PIECE = bytes(682)
CHUNKS, ROUNDS = 1000, 15
MOST = 4.8
"""Seen: 2.6 to 2.8."""


class Wire(asyncio.Transport):
    """Keeps what was written last."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written = data


class Bare:
    """Keeps the audio, frames it, and reads how much of it may go."""

    def __init__(self) -> None:
        self.kept, self.acknowledged = bytearray(), 0

    def send(self, pcm: bytes, wire: Wire) -> None:
        self.kept += pcm
        mask = os.urandom(4)
        wire.write(b"\x82\xfe\x02\xaa" + mask + apply_mask(pcm, mask))

    def data_received(self, data: bytes) -> None:
        start, self.acknowledged = json.loads(data[4:])["data"]["byte_range"]
        del self.kept[: self.acknowledged - start]


def opened(wire: Wire) -> ProviderSocket:
    """Return a socket whose handshake is done."""
    socket = ProviderSocket(ClientProtocol(parse_uri("ws://provider/"), logger=wire_log))
    socket.connection_made(wire)
    socket.protocol.send_request(socket.protocol.connect())
    socket.send_data()
    socket.data_received(upgraded(wire.written))
    assert socket.takes_audio
    return socket


def talking(socket: ProviderSocket) -> tuple[Feed, Connection]:
    """Return a session's feed, and its connection over the socket."""
    metrics = Metrics()
    feed = Feed(Timeline(60.0), metrics, chunk_bytes=0)
    feed.begin("s", 0.0)
    assert feed.timeline.leg is not None
    session = SttSession("s", "ws://provider/", feed.timeline.leg, 0.0)
    hear = Reporter(feed.timeline, lambda _event: None, session="weekly").hear
    connection = Connection(socket, session, feed, hear, waits=Waits(), metrics=metrics)
    socket.serve(connection)
    return feed, connection


def cost_s(send: Callable[[], None], hear: Callable[[bytes], None], acks: list[bytes]) -> float:
    began_s = time.thread_time()
    for each in acks:
        send()
        hear(each)
    return time.thread_time() - began_s


def acknowledgements() -> list[list[bytes]]:
    sizes = range(0, CHUNKS * ROUNDS * len(PIECE), len(PIECE))
    texts = [json.dumps(ack(start, start + len(PIECE))).encode() for start in sizes]
    frames = [Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts]
    return [frames[at : at + CHUNKS] for at in range(0, len(frames), CHUNKS)]


@pytest.mark.alone
async def test_a_chunk_costs_little_more_than_its_bytes_and_their_acknowledgement() -> None:
    wire, bare = Wire(), Bare()
    socket = opened(wire)
    feed, connection = talking(socket)

    def send() -> None:
        feed.put(PIECE)
        connection.speak()

    ratios = [
        cost_s(send, socket.data_received, acks)
        / cost_s(lambda: bare.send(PIECE, wire), bare.data_received, acks)
        for acks in acknowledgements()
    ]
    assert feed.acknowledged_bytes == bare.acknowledged == CHUNKS * ROUNDS * len(PIECE)
    assert statistics.median(ratios) < MOST, sorted(ratios)

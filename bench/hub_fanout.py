"""What one broadcast to many viewers costs, beside the least it can cost.

The least is a loop of ``socket.send`` over the same number of sockets, with a frame that is
already made. The hub's pass encodes, frames, keeps the transcript for late comers, counts,
and writes to asyncio transports; to a large crowd in several turns of the loop, of which the
longest is shown. Both send to another process that reads all of it.

    python bench/hub_fanout.py [--viewers 50,500] [--passes 300] [--loop uvloop|asyncio]
                               [--json bench/results/fanout.json]

Prints one line of JSON for each number of viewers; the times are medians per pass, in
microseconds of this thread's processor time, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import selectors
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import uvloop
from aiohttp import web

from realtime_core.hub import wire
from realtime_core.hub.crowd import SLICE
from realtime_core.hub.rooms import Hub
from realtime_core.logs import configure
from realtime_core.metrics import Metrics
from realtime_core.model import SessionState, Transcript
from realtime_core.web.viewer import Viewer

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
WARM_UP = 20
PAUSE_S = 0.005  # in which the other process reads


def read_everything() -> None:
    """Be the other process: accept and read until the first process is gone."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
            elif not key.fileobj.recv(65_536):  # type: ignore[union-attr] # a socket
                selector.unregister(key.fileobj)


def transcript(seq: int) -> Transcript:
    return Transcript(
        session_slug="bench",
        utterance_id=f"5f0c2a91-00_{seq:08d}",
        text="we should move the release to Thursday, and tell everybody today",
        is_final=False,
        speaker="Alice Example",
        speaker_id="alice:1",
        speaker_confidence=0.85,
        seq=seq,
        rev=1,
        start_s=12.34,
        end_s=15.9,
        received_at=asyncio.get_running_loop().time(),
        language="en",
        confidence=0.92,
    )


def bare_sockets(port: int, count: int) -> list[socket.socket]:
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
    return sockets


async def transports_to(port: int, count: int) -> list[asyncio.Transport]:
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(asyncio.Protocol, "127.0.0.1", port))[0] for _ in range(count)
    ]


def seated(transports: list[asyncio.Transport]) -> list[Viewer]:
    viewers = [Viewer(web.WebSocketResponse(), each, limit_bytes=262_144) for each in transports]
    for viewer in viewers:
        viewer.open()
    return viewers


def hub_with(viewers: list[Viewer]) -> Hub:
    hub = Hub(Metrics())
    hub.open("bench", "e", SessionState.LIVE)
    for viewer in viewers:
        hub.join("bench", viewer)
    return hub


async def published(hub: Hub, message: Transcript, count: int) -> list[float]:
    """Publish to a crowd; return what each turn of the loop took, in seconds, until all have it."""
    marks = [time.thread_time()]
    reached = hub.publish(message)
    for _ in range(-(-count // SLICE)):
        await asyncio.sleep(0)
        marks.append(time.thread_time())
    assert reached == count
    return [after - before for before, after in pairwise(marks)]


async def measure(port: int, count: int, passes: int) -> dict[str, float]:
    sockets, transports = bare_sockets(port, count), await transports_to(port, count)
    viewers = seated(transports)
    hub = hub_with(viewers)
    frame = wire.frame(wire.transcript_message(transcript(1), sent_at_ms=1).encode())
    bare, whole, longest = [], [], []
    for seq in range(1, passes + WARM_UP + 1):
        began = time.thread_time()
        for sock in sockets:
            sock.send(frame)
        bare.append(time.thread_time() - began)
        await asyncio.sleep(PAUSE_S)
        turns = await published(hub, transcript(seq), count)
        whole.append(sum(turns))
        longest.append(max(turns))
        await asyncio.sleep(PAUSE_S)
    for each in sockets:
        each.close()
    hub.close("bench")
    for viewer, transport in zip(viewers, transports, strict=True):
        viewer.release()
        transport.close()
    bare_us, whole_us, turn_us = (median(each[WARM_UP:]) * 1e6 for each in (bare, whole, longest))
    return {
        "bareSendUs": round(bare_us),
        "hubPublishUs": round(whole_us),
        "ratio": round(whole_us / bare_us, 3),
        "longestTurnUs": round(turn_us),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", default="500", help="numbers, separated by commas")
    parser.add_argument("--passes", type=int, default=300)
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument("--json", type=Path, help="a file for the results")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    configure("warning")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if asked.read:
        return read_everything()
    results = [run(int(viewers), asked.passes, asked.loop) for viewers in asked.viewers.split(",")]
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(results, indent=1) + "\n")
    return None


def run(viewers: int, passes: int, loop: str) -> dict[str, float]:
    """Measure with so many viewers, print the result and return it."""
    with subprocess.Popen(
        [sys.executable, __file__, "--read"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdin
        assert reader.stdout
        port = int(reader.stdout.readline())
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            result = runner.run(measure(port, viewers, passes))
        reader.stdin.close()
    print(json.dumps({"loop": loop, "viewers": viewers, **result}), flush=True)
    return {"viewers": viewers, **result}


if __name__ == "__main__":
    main()

"""The viewers: how long a stamped transcript took, and whether each of them got it.

Run: ``python -m bench.load.view --port 8080 --rooms 20 --per-room 5``.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Sequence

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.load.talk import Commands, LoopLag, obey, say, spread_ms

PATH = "/api/realtime/transcribe"
CONNECT_AT_ONCE = 50
CONNECT_WITHIN_S = 30.0
NO_CODE, ABNORMAL = 1005, 1006


class Caption(msgspec.Struct):
    """What a message holds that matters here; anything else has no text on top."""

    text: str = ""


class Crowd:
    """What all viewers saw since the last mark.

    Attributes:
        latencies_ns: Stamp to arrival, of each message that came.
        closed: Connections that ended, by close code, from the start.
    """

    def __init__(self) -> None:
        self.decode = msgspec.json.Decoder(Caption).decode
        self.viewers: list[Viewer] = []
        self.closed: Counter[int] = Counter()
        self.lag = LoopLag()
        self.mark()

    def mark(self) -> dict[str, object]:
        """Forget what was seen."""
        self.latencies_ns = array("q")
        self._since_ns, self._cpu_s = time.monotonic_ns(), time.process_time()
        for viewer in self.viewers:
            viewer.stamps = set()
        self.lag.take()
        return {"marked": True}

    def report(self) -> dict[str, object]:
        """Return what was seen since the mark."""
        by_room: dict[str, list[int]] = {}
        for viewer in self.viewers:
            by_room.setdefault(viewer.slug, []).append(len(viewer.stamps))
        return {
            "received": len(self.latencies_ns),
            "latencyMs": spread_ms(self.latencies_ns),
            "byRoom": {
                slug: {"viewers": len(stamps), "stamps": stamps} for slug, stamps in by_room.items()
            },
            "closed": self.closed,
            "windowS": (time.monotonic_ns() - self._since_ns) / 1e9,
            "cpuS": time.process_time() - self._cpu_s,
            "loopLagMs": spread_ms(self.lag.lags_ns),
        }


class Viewer(WSListener):
    """One connection.

    Attributes:
        stamps: The numbers of the transcripts it saw since the mark.
    """

    def __init__(self, slug: str, crowd: Crowd) -> None:
        self.slug, self._crowd = slug, crowd
        self.stamps: set[int] = set()
        self._close_code = ABNORMAL

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Note when a stamp arrived."""
        now_ns = time.monotonic_ns()
        if frame.msg_type == WSMsgType.TEXT:
            caption = self._crowd.decode(frame.get_payload_as_memoryview())
            stamp = caption.text.rpartition("@")[2].split(":")
            if len(stamp) == 3:
                self.stamps.add(int(stamp[1]))
                self._crowd.latencies_ns.append(now_ns - int(stamp[2]))
        elif frame.msg_type == WSMsgType.CLOSE:
            self._close_code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big") or NO_CODE
            transport.send_close()
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note how it ended."""
        self._crowd.closed[self._close_code] += 1


async def watch(crowd: Crowd, port: int, rooms: int, per_room: int) -> None:
    """Open all connections; the rooms take turns.

    Raises:
        WSHandshakeError: The server refused one.
    """
    turns = asyncio.Semaphore(CONNECT_AT_ONCE)

    async def join(slug: str) -> None:
        viewer = Viewer(slug, crowd)
        url = f"ws://127.0.0.1:{port}{PATH}?sessionSlug={slug}"
        async with turns:
            await ws_connect(lambda: viewer, url, websocket_handshake_timeout=CONNECT_WITHIN_S)
        crowd.viewers.append(viewer)

    async with asyncio.TaskGroup() as joining:
        for number in range(rooms * per_room):
            joining.create_task(join(f"room-{number % rooms}"))


async def run(options: argparse.Namespace) -> None:
    """Watch until ``quit``."""
    crowd = Crowd()
    await watch(crowd, options.port, options.rooms, options.per_room)
    watching = asyncio.create_task(crowd.lag.watch())
    say(viewers=len(crowd.viewers))
    await obey(Commands(), {"report": crowd.report, "mark": crowd.mark})
    watching.cancel()


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.view", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the WebSocket, on 127.0.0.1")
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--per-room", type=int, default=5)
    uvloop.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()

"""The publishers: one thread that gives each room a frame when its time has come.

Rooms take turns, evenly over the 21.3 ms of a frame, so that the load itself does not burst.
Rooms less than half a millisecond apart share a turn: to sleep costs more than to send.

Run: ``python -m bench.load.publish --port 1937 --rooms 20 --seconds 10``.
"""

from __future__ import annotations

import argparse
import selectors
import time
from array import array
from collections.abc import Sequence

from bench.load import sound
from bench.load.egress import Stream
from bench.load.room import Room, State
from bench.load.sound import FRAME_NS
from bench.load.talk import Commands, say, spread_ms

TURN_NS = 500_000
BUSY_S = 0.0002
"""Between two looks at sockets whose conversation is under way; else once in 21 ms will do."""

ON_THE_WAY = (State.CONNECTING, State.TALKING)


class Publishers:
    """All rooms, the clock, and the sockets.

    Args:
        spread_s: Over which the rooms connect; 0 is all at once.
    """

    def __init__(self, rooms: Sequence[Room], spread_s: float, commands: Commands) -> None:
        self._rooms, self._spread_s, self._commands = rooms, spread_s, commands
        self._selector = selectors.DefaultSelector()
        self._unread: list[str] = []
        self._is_busy = False
        self.lateness_ns = array("q")

    def run(self) -> None:
        """Publish until all rooms are gone, or until ``quit``."""
        self._selector.register(self._commands.fd, selectors.EVENT_READ)
        began_ns, cycle = time.monotonic_ns(), 0
        while "quit" not in self._unread and any(r.state is not State.GONE for r in self._rooms):
            self._go_round(began_ns, began_ns + cycle * FRAME_NS)
            self._look()
            cycle += 1
        for room in self._rooms:
            room.give_up("asked to quit")
            self._see_out(room)
        self._selector.close()

    def _go_round(self, began_ns: int, cycle_ns: int) -> None:
        """Give each room its turn in one frame's time."""
        count = len(self._rooms)
        for index, room in enumerate(self._rooms):
            due_ns = cycle_ns + index * FRAME_NS // count // TURN_NS * TURN_NS
            self._wait_until(due_ns)
            if room.state is State.WAITING:
                self._let_in(room, began_ns + round(self._spread_s * 1e9 * index / count))
            elif room.state is not State.GONE:
                if room.turn():
                    self.lateness_ns.append(time.monotonic_ns() - due_ns)
                self._see_out(room)

    def _let_in(self, room: Room, due_ns: int) -> None:
        if time.monotonic_ns() >= due_ns:
            room.connect()
            self._selector.register(room.socket, selectors.EVENT_WRITE, room)
            self._is_busy = True

    def _see_out(self, room: Room) -> None:
        """Close the socket of a room that is gone; the next room may get its number."""
        if room.state is State.GONE and room.is_open:
            self._selector.unregister(room.socket)
            room.socket.close()

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            if self._is_busy:
                self._look()
                time.sleep(min(BUSY_S, left_ns / 1e9))
            else:
                time.sleep(left_ns / 1e9)

    def _look(self) -> None:
        """See to the sockets that are ready, without waiting."""
        for key, events in self._selector.select(0):
            room: Room | None = key.data
            if room is None:
                self._unread += self._commands.read()
                continue
            if events & selectors.EVENT_WRITE:
                self._selector.modify(room.socket, selectors.EVENT_READ, room)
            room.ready()
            self._see_out(room)
        self._is_busy = any(room.state in ON_THE_WAY for room in self._rooms)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the sound, wait for ``go``, publish, report."""
    options = _options(arguments)
    stream, commands = Stream(sound.load()), Commands()
    say(ready=True, rooms=options.rooms)
    if "go" not in _awaited(commands):
        return
    frames = max(1, round(options.seconds * 1e9 / FRAME_NS))
    rooms = [Room(f"room-{n}", options.port, stream, frames) for n in range(options.rooms)]
    spread_s = 0.0 if options.connect_together else options.spread_s
    publishers = Publishers(rooms, spread_s, commands)
    before_s = time.process_time()
    publishers.run()
    say(
        rooms={room.slug: room.diary.report() for room in rooms},
        latenessMs=spread_ms(publishers.lateness_ns),
        blocked=sum(room.diary.blocked for room in rooms),
        cpuS=time.process_time() - before_s,
    )


def _awaited(commands: Commands) -> list[str]:
    """Return the commands up to ``go`` or ``quit``."""
    heard: list[str] = []
    while not {"go", "quit"} & set(heard):
        heard += commands.read()
    return heard


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load.publish", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where RTMP is, on 127.0.0.1")
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of audio for each room")
    parser.add_argument("--spread-s", type=float, default=2.0, help="over which rooms connect")
    parser.add_argument("--connect-together", action="store_true", help="all at once instead")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

"""The publishers against the service's listener, on sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bench.load.egress import Stream
from bench.load.publish import Publishers
from bench.load.room import Room, State
from bench.load.sound import Sound
from realtime_core.metrics import Metrics
from realtime_core.model import PublishEnd
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.server import Refusal, RtmpServer
from tests.bench.conftest import Line
from tests.rtmp.hosts import RecordingHost

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

FRAMES = 24  # half a second, with one beep that is over
QUICK = Limits(refusal_least_s=0.02, refusal_most_s=0.03, refusal_spacing_s=0.0, linger_s=0.3)


@pytest.fixture
def stream(beeps: Sound) -> Stream:
    return Stream(beeps)


@dataclass
class Broadcast:
    """A listener, and publishers on their way to it."""

    stream: Stream
    line: Line
    server: RtmpServer
    host: RecordingHost
    rooms: list[Room] = field(default_factory=list)

    async def publish(self, *slugs: str, frames: int = FRAMES) -> Publishers:
        self.rooms = [Room(slug, self.server.port, self.stream, frames) for slug in slugs]
        publishers = Publishers(self.rooms, 0.05, self.line.commands)
        await asyncio.to_thread(publishers.run)
        assert not any(room.is_open for room in self.rooms)
        return publishers


@asynccontextmanager
async def broadcasting(stream: Stream, line: Line) -> AsyncIterator[Broadcast]:
    host = RecordingHost()
    server = RtmpServer(host, Metrics(), port=0, addresses=["127.0.0.1"], limits=QUICK)
    async with server:
        yield Broadcast(stream, line, server, host)


async def test_every_frame_of_every_room_arrives_and_the_end_is_clean(
    stream: Stream, beeps: Sound, line: Line
) -> None:
    async with broadcasting(stream, line) as here:
        publishers = await here.publish("room-0", "room-1", "room-2")
        await here.host.until("done_publish", 3)
    assert {publish.slug for publish in here.host.publishes} == {"room-0", "room-1", "room-2"}
    for tags in here.host.tags.values():
        assert [tag.payload[2:] for tag in tags[1:]] == beeps.frames[:FRAMES]
    assert here.host.ends == [PublishEnd.CLEAN] * 3
    assert len(publishers.lateness_ns) == 3 * (FRAMES - 1)  # the first goes at once


async def test_frames_leave_in_real_time(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        publishers = await here.publish("room-0")
    (diary,) = (room.diary for room in here.rooms)
    assert diary.first_frame_ns is not None
    assert diary.last_frame_ns is not None
    took_ms = (diary.last_frame_ns - diary.first_frame_ns) / 1e6
    # The first goes at once, so it is up to a frame ahead of its turn.
    assert took_ms > (FRAMES - 2) * 64 / 3
    assert min(publishers.lateness_ns) >= 0


async def test_the_report_dates_what_left(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        await here.publish("room-0")
    (diary,) = (room.diary for room in here.rooms)
    assert (diary.frames, diary.failed, diary.blocked) == (FRAMES, None, 0)
    assert diary.publish_ns is not None
    assert diary.first_frame_ns is not None
    assert diary.last_frame_ns is not None
    ((frame, tone, left_ns),) = diary.beeps
    assert (frame, tone) == (min(stream.onsets), 0)
    assert diary.publish_ns <= diary.first_frame_ns < left_ns < diary.last_frame_ns
    assert diary.report()["beeps"] == [[0, 0, left_ns]]
    assert diary.report()["audioMs"] == FRAMES * 64 / 3


async def test_a_beep_that_was_not_sent_whole_is_not_reported(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        await here.publish("room-0", frames=15)
    (diary,) = (room.diary for room in here.rooms)
    assert len(diary.beeps) == 1
    assert diary.report()["beeps"] == []


async def test_refused_rooms_say_why(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        here.host.refusal = Refusal.UNKNOWN_STREAM
        await here.publish("room-0", "room-1")
    assert [room.diary.failed for room in here.rooms] == ["NetStream.Publish.Denied"] * 2
    assert [room.diary.frames for room in here.rooms] == [0, 0]


async def test_one_bad_room_does_not_touch_the_others(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        await here.publish("no slug", "room-1")
    assert [room.diary.failed for room in here.rooms] == ["NetStream.Publish.BadName", None]
    assert [room.diary.frames for room in here.rooms] == [0, FRAMES]


async def test_a_closed_port_fails_all_rooms_at_once(stream: Stream, line: Line) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        rooms = [Room(f"room-{n}", nobody.getsockname()[1], stream, FRAMES) for n in range(2)]
        await asyncio.to_thread(Publishers(rooms, 0.0, line.commands).run)
    assert all(room.diary.failed is not None for room in rooms)


async def test_quit_ends_it_in_the_middle(stream: Stream, line: Line) -> None:
    async with broadcasting(stream, line) as here:
        publishing = asyncio.create_task(here.publish("room-0", frames=100_000))
        await here.host.until("post_publish")
        line.hang_up()  # the end of the input is the same as the word
        await publishing
    assert here.rooms[0].diary.failed == "asked to quit"


def test_a_server_that_does_not_read_is_given_up(stream: Stream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        room = Room("room-0", listener.getsockname()[1], stream, 1_000_000)
        room.connect()
        while room.state is not State.GONE:
            room.turn()
            if room.state is State.CONNECTING:
                room.ready()
            elif room.state is State.TALKING:
                room._begin()  # as if it had been answered
        room.socket.close()
    assert room.diary.failed == "the server does not read"
    assert room.diary.blocked > 0

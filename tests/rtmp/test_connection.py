"""What a connection does with a transport that misbehaves, in virtual time."""

import asyncio
from socket import SO_RCVLOWAT, SOL_SOCKET
from typing import Any

from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp.cadence import MEASURED_FRAMES
from realtime_core.rtmp.connection import OUTPUT_HIGH_BYTES, SHARE_BYTES, Connection
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.reasons import CloseReason
from realtime_core.rtmp.server import Publish, RtmpServer
from tests.rtmp.hosts import RecordingHost
from tests.rtmp.vectors import (
    ASC,
    CONNECT,
    CREATE,
    HANDSHAKE,
    PUBLISH,
    START,
    chunks,
    control,
    frame,
    full,
    header,
    u32,
)
from tests.virtual_time import in_virtual_time

AUDIO = chunks(header(1, 4, 23, 372), frame(372), 4)
PING = control(4, b"\x00\x06" + u32(1))
FCUNPUBLISH = bytes.fromhex("03000000000018 14 00000000 02000b") + b"FCUnpublish" + bytes(9) + b"\5"


class FakeSocket:
    def __init__(self) -> None:
        self.options: dict[tuple[int, int], int] = {}

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options[level, option] = value

    def getsockopt(self, *option: int) -> bytes:
        assert option[-1] == 1, "one byte, the state"
        return b"\x01"


class FakeTransport(asyncio.Transport):
    """Keeps what is written; a test says how much of it the peer has read.

    Attributes:
        deeds: ``eof`` and ``abort``, with when they were done.
    """

    def __init__(self, protocol: asyncio.Protocol, *, peername: object = ("1.2.3.4", 5)) -> None:
        super().__init__({"socket": FakeSocket(), "peername": peername})
        self._protocol = protocol
        self.written = bytearray()
        self.unread_bytes = 0
        self.is_reading_stopped = False
        self.is_gone = self.is_paused = False
        self.deeds: list[tuple[str, float]] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == OUTPUT_HIGH_BYTES

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def is_closing(self) -> bool:
        return any(deed == "abort" for deed, _ in self.deeds)

    def write(self, data: Any) -> None:
        self.written += data
        if self.is_reading_stopped:
            self.unread_bytes += len(data)

    def write_eof(self) -> None:
        if self.is_gone:
            raise OSError(107, "not connected")
        self._note("eof")

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        if not self.is_closing():
            self._note("abort")
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def _note(self, deed: str) -> None:
        self.deeds.append((deed, asyncio.get_running_loop().time()))


class Line:
    """A live publish over a fake transport."""

    def __init__(self, limits: Limits | None = None, host: RecordingHost | None = None) -> None:
        self.host, self.metrics = host or RecordingHost(), Metrics()
        self.server = RtmpServer(self.host, self.metrics, port=0, limits=limits or Limits())
        self.connection = Connection(self.server)
        self.transport = FakeTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.began = asyncio.get_running_loop().time()
        self.connection.data_received(START + full(4, 0, ASC) + full(4, 0, frame(9)))

    def read_bytes(self) -> float:
        return self.metrics.registry.get_sample_value("rtmp_received_bytes_total") or 0.0

    def closed(self, reason: CloseReason) -> float | None:
        labels = {"reason": reason.value}
        return self.metrics.registry.get_sample_value("rtmp_connections_closed_total", labels)

    def deeds(self) -> list[tuple[str, float]]:
        return [(deed, round(at - self.began, 3)) for deed, at in self.transport.deeds]


def test_peer_that_reads_nothing_is_given_up_in_time() -> None:
    async def main() -> None:
        line = Line()
        line.connection.pause_writing()
        for _ in range(11):
            line.connection.data_received(full(4, 0, frame(9)))
            await asyncio.sleep(1)
        assert line.deeds() == [("abort", 10.0)]
        assert line.closed(CloseReason.WRITE_TIMEOUT) == 1
        assert line.host.ends == [PublishEnd.LOST]

    in_virtual_time(main())


def test_a_busy_server_has_a_publish_wait_for_pairs_of_frames_until_it_ends() -> None:
    async def main() -> None:
        line = Line()
        line.server.gatherer.is_on = True
        for _ in range(MEASURED_FRAMES + 1):
            line.connection.data_received(AUDIO)
        options, asked = line.transport.get_extra_info("socket").options, (SOL_SOCKET, SO_RCVLOWAT)
        assert len(AUDIO) < options[asked] < 2 * len(AUDIO)
        line.connection.hang_up(CloseReason.UNPUBLISHED)
        assert options[asked] == 1

    in_virtual_time(main())


def test_a_flood_is_read_in_shares_so_that_others_have_their_turn() -> None:
    async def main() -> None:
        line = Line()
        flood, before = full(4, 0, frame(372)) * 500, line.read_bytes()
        line.connection.data_received(flood)
        shares = [line.read_bytes() - before]
        while line.transport.is_paused:
            read = line.read_bytes()
            await asyncio.sleep(0)
            shares.append(line.read_bytes() - read)
        assert max(shares) <= SHARE_BYTES
        assert sum(shares) == len(flood)
        assert len(await line.host.until_tags(502)) == 502

    in_virtual_time(main())


def test_of_a_flood_nothing_is_read_behind_the_end_of_its_publish() -> None:
    async def main() -> None:
        line = Line()
        line.connection.data_received((full(4, 0, frame(372)) * 500) + FCUNPUBLISH + bytes(99_999))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not line.transport.is_paused
        assert line.host.ends == [PublishEnd.CLEAN]
        assert line.closed(CloseReason.UNPUBLISHED) is None  # it may still leave by itself

    in_virtual_time(main())


def test_a_publish_in_the_rest_of_a_flood_does_not_begin_once_the_peer_is_gone() -> None:
    async def main() -> None:
        host = RecordingHost()
        connection = Connection(RtmpServer(host, Metrics(), port=0))
        connection.connection_made(FakeTransport(connection))
        first_share = HANDSHAKE + CONNECT + CREATE + PING * (SHARE_BYTES // len(PING))
        connection.data_received(first_share + PUBLISH)
        assert ("post_connect", "live") in host.calls
        connection.connection_lost(ConnectionResetError())
        await asyncio.sleep(1)
        assert host.publishes == []

    in_virtual_time(main())


def test_what_is_left_of_a_flood_is_drained_once_the_server_has_hung_up() -> None:
    async def main() -> None:
        line = Line()
        line.connection.data_received(full(4, 0, frame(372)) * 500)
        assert line.transport.is_paused
        line.host.publishes[0].close(PublishEnd.STOPPED)
        read = line.read_bytes()
        await asyncio.sleep(0.1)
        assert line.read_bytes() == read
        assert not line.transport.is_paused

    in_virtual_time(main())


def test_peer_that_reads_again_is_kept() -> None:
    async def main() -> None:
        line = Line()
        line.connection.pause_writing()
        await asyncio.sleep(9)
        line.connection.resume_writing()
        line.connection.data_received(full(4, 0, frame(9)))
        await asyncio.sleep(5)
        assert line.deeds() == []

    in_virtual_time(main())


def test_replies_that_nobody_reads_are_bounded() -> None:
    async def main() -> None:
        line = Line(Limits(output_bytes=10_000))
        line.transport.is_reading_stopped = True
        for _ in range(1000):
            line.connection.data_received(PING)
        await asyncio.sleep(0)
        assert line.closed(CloseReason.OUTPUT_UNREAD) == 1
        assert line.transport.unread_bytes < 10_100
        assert line.host.ends == [PublishEnd.LOST]

    in_virtual_time(main())


def test_clean_end_leaves_the_peer_its_time_to_leave() -> None:
    async def main() -> None:
        line = Line()
        line.connection.data_received(FCUNPUBLISH)
        assert line.host.ends == [PublishEnd.CLEAN]
        line.connection.data_received(full(4, 0, frame(9)) * 1000)
        await asyncio.sleep(10)
        assert line.deeds() == [("eof", 5.0), ("abort", 6.0)]
        assert line.host.ends == [PublishEnd.CLEAN]

    in_virtual_time(main())


def test_polite_end_lingers_and_then_lets_go() -> None:
    async def main() -> None:
        line = Line()
        line.host.publishes[0].close(PublishEnd.STOPPED)
        await asyncio.sleep(2)
        assert line.deeds() == [("eof", 0.0), ("abort", 1.0)]
        assert b"NetStream.Failed" in line.transport.written

    in_virtual_time(main())


def test_peer_that_left_in_this_moment_is_let_go() -> None:
    async def main() -> None:
        line = Line()
        line.transport.is_gone = True
        line.host.publishes[0].close(PublishEnd.STOPPED)
        assert line.deeds() == [("abort", 0.0)]

    in_virtual_time(main())


def test_timers_wake_an_idle_connection() -> None:
    async def main() -> None:
        line = Line()
        await asyncio.sleep(30)
        assert line.deeds() == [("abort", 15.0)]
        assert line.closed(CloseReason.IDLE_TIMEOUT) == 1

    in_virtual_time(main())


def test_peer_without_a_name_is_served() -> None:
    async def main() -> None:
        host = RecordingHost()
        connection = Connection(RtmpServer(host, Metrics(), port=0))
        connection.connection_made(FakeTransport(connection, peername=None))
        connection.data_received(START)
        assert host.requests[0].peer == "unknown"
        connection.connection_lost(ConnectionResetError())
        assert host.ends == [PublishEnd.LOST]

    in_virtual_time(main())


def test_audio_behind_the_end_of_its_publish_is_not_handed_on() -> None:
    class Leaving(RecordingHost):
        def audio(self, publish: Publish, tag: AudioTag) -> None:
            super().audio(publish, tag)
            if len(self.tags[publish.id]) == 4:
                publish.close(PublishEnd.STOPPED)

    async def main() -> None:
        line = Line(host=Leaving())
        line.connection.data_received(AUDIO * 10)
        assert len(line.host.tags[line.host.publishes[0].id]) == 4
        assert line.host.ends == [PublishEnd.STOPPED]

    in_virtual_time(main())


def test_a_host_that_fails_at_audio_ends_one_connection() -> None:
    async def main() -> None:
        line = Line()
        with line.host.failing("audio"):
            line.connection.data_received(AUDIO * 10)
        assert line.closed(CloseReason.INTERNAL_ERROR) is None, "not before it is gone"
        await asyncio.sleep(2)
        assert line.closed(CloseReason.INTERNAL_ERROR) == 1
        assert line.host.ends == [PublishEnd.LOST]

    in_virtual_time(main())

"""A cohort on real sockets and on both event loops."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress

import pytest
import uvloop
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.hub import wire
from realtime_core.hub.cohort import Cohort
from realtime_core.web.viewer import Viewer
from tests.eventually import eventually

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]
Loop = Callable[[], asyncio.AbstractEventLoop]
LIMIT = 30_000
WELCOME = wire.frame(b"welcome")


class Seat:
    """A viewer on a narrow socket, and the client at its other end."""

    def __init__(self, viewer: Viewer, transport: asyncio.Transport, client: socket.socket) -> None:
        self.viewer, self.transport, self.client = viewer, transport, client
        self.read = b""

    def take(self, most: int = 1 << 20) -> int:
        """Read what is there, up to ``most`` bytes; return how many bytes that was."""
        received = b""
        with suppress(BlockingIOError):
            received = self.client.recv(most)
        self.read += received
        return len(received)


class House:
    """A cohort, and the seats that were taken in it."""

    def __init__(self, stack: ExitStack) -> None:
        self.cohort, self._stack = Cohort(), stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    async def seat(self) -> Seat:
        """Add a viewer whose sockets hold little."""
        client = self._stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(self._listener.getsockname())
        client.setblocking(False)
        server, _ = self._listener.accept()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=server)
        viewer = Viewer(web.WebSocketResponse(), transport, limit_bytes=LIMIT)
        viewer.open()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.cohort.welcome(viewer, WELCOME, LIMIT)
        self._stack.callback(transport.abort)
        self._stack.callback(viewer.release)
        return Seat(viewer, transport, client)


def on(loop: Loop, scene: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        with ExitStack() as stack:
            await scene(House(stack))
        await asyncio.sleep(0)  # the transports close

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def numbered(number: int, size: int) -> bytes:
    return wire.frame(f"{number} ".encode().ljust(size, b"."))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spread"), st.integers(1, 20_000)),
        st.tuples(st.just("answer"), st.integers(1, 3_000)),
        st.tuples(st.just("read"), st.integers(1, 20_000)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=30,
)


@pytest.mark.parametrize("loop", LOOPS)
@given(steps=STEPS)
def test_whatever_is_written_which_way_a_client_reads_whole_frames_in_order(
    loop: Loop, steps: list[tuple[str, int]]
) -> None:
    async def scene(house: House) -> None:
        seat = await house.seat()
        expected = WELCOME
        for number, (step, size) in enumerate(steps):
            frame = numbered(number, size)
            if step == "spread" and not house.cohort.spread(frame):
                expected += frame
            elif step == "answer" and seat.viewer.buffered_bytes() <= LIMIT:
                seat.viewer.answer(frame)
                expected += frame
            elif step == "read":
                seat.take(size)
            elif step == "turn":
                await asyncio.sleep(0)
        await eventually(lambda: (seat.take(), len(seat.read) >= len(expected))[1])
        assert seat.read == expected

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_does_not_read_falls_behind_alone_is_told_apart_and_comes_back(loop: Loop) -> None:
    async def scene(house: House) -> None:
        slow, quick = await house.seat(), await house.seat()
        frames = [numbered(number, 4_000) for number in range(200)]
        missed = []
        for frame in frames:
            crowded = house.cohort.spread(frame)
            if crowded:
                assert crowded == [slow.viewer]
                missed.append(frame)
            await eventually(lambda: quick.take() == 0 and quick.viewer.buffered_bytes() == 0)
        assert missed
        assert missed == frames[-len(missed) :]
        assert slow.viewer.buffered_bytes() <= LIMIT + len(WELCOME) + len(frames[0])
        await eventually(lambda: slow.take() == 0 and slow.viewer.buffered_bytes() == 0)
        last = numbered(200, 10)
        assert house.cohort.spread(last) == []
        await eventually(lambda: (slow.take(), quick.take(), slow.read.endswith(last))[2])
        assert slow.read == WELCOME + b"".join(frames[: -len(missed)]) + last
        assert quick.read == WELCOME + b"".join(frames) + last

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_is_gone_harms_nobody(loop: Loop) -> None:
    async def scene(house: House) -> None:
        gone, there = await house.seat(), await house.seat()
        gone.client.close()
        frames = [numbered(number, 100) for number in range(5)]
        for frame in frames:
            assert house.cohort.spread(frame) == []
            await asyncio.sleep(0)
        await eventually(gone.transport.is_closing)
        await eventually(lambda: (there.take(), there.read == WELCOME + b"".join(frames))[1])
        assert house.cohort.forget(gone.viewer)
        assert not house.cohort.forget(gone.viewer)
        assert list(house.cohort) == [there.viewer]

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_descriptor_that_its_transport_closed_never_becomes_another_connections(
    loop: Loop,
) -> None:
    async def scene(house: House) -> None:
        cut = await house.seat()
        house.cohort.spread(WELCOME)  # it is written to directly now
        number = cut.transport.get_extra_info("socket").fileno()
        cut.transport.abort()
        await asyncio.sleep(0.01)  # both loops close in a later turn
        taken, other = socket.socketpair()
        with taken, other:
            assert number in (taken.fileno(), other.fileno())
            for sock in (taken, other):
                sock.setblocking(False)
            house.cohort.spread(numbered(1, 100))
            for sock in (taken, other):
                with pytest.raises(BlockingIOError):
                    sock.recv(1)

    on(loop, scene)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_released_viewer_has_no_descriptor_and_may_be_released_again(loop: Loop) -> None:
    async def scene(house: House) -> None:
        seat = await house.seat()
        assert seat.viewer.descriptor is not None
        house.cohort.forget(seat.viewer)
        seat.viewer.release()
        seat.viewer.release()
        assert seat.viewer.descriptor is None

    on(loop, scene)


async def test_what_is_encrypted_goes_through_the_transport() -> None:
    with socket.socket() as sock:
        transport = asyncio.Transport({"socket": sock, "sslcontext": object()})
        viewer = Viewer(web.WebSocketResponse(), transport, limit_bytes=LIMIT)
        viewer.open()
        assert viewer.descriptor is None


async def test_half_of_all_descriptors_is_left_to_those_that_come() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as sock:
        viewer = Viewer(
            web.WebSocketResponse(), asyncio.Transport({"socket": sock}), limit_bytes=LIMIT
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 10, hard))
        try:
            viewer.open()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert viewer.descriptor is None

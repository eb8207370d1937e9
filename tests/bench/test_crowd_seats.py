from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from bench.crowd_seats import Seats, Viewer
from realtime_core.hub import wire

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
PAYLOADS = [b"x" * size for size in (20, 125, 126)]


@pytest.fixture
def pair() -> tuple[Viewer, socket.socket]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        viewer = Viewer(listener.getsockname()[1], "webinar")
        server, _ = listener.accept()
        return viewer, server


@pytest.mark.parametrize("piece", [7, 1000, 10**6])
def test_a_viewer_reads_frames_in_pieces_of_any_size(
    pair: tuple[Viewer, socket.socket], piece: int
) -> None:
    viewer, server = pair
    with viewer.sock, server:
        stream = HEAD + b"".join(wire.frame(payload) for payload in PAYLOADS)
        seen: list[bytes] = []
        for begin in range(0, len(stream), piece):
            server.sendall(stream[begin : begin + piece])
            seen += viewer.receive()
        assert seen == PAYLOADS


def test_a_viewer_says_when_the_service_closes(pair: tuple[Viewer, socket.socket]) -> None:
    viewer, server = pair
    with viewer.sock:
        server.close()
        with pytest.raises(ConnectionError):
            viewer.receive()


def test_nothing_seen_is_no_figure() -> None:
    report = Seats(0, "webinar", 0).obey("report")
    assert (report["messages"], report["everyViewerMs"], report["lastViewerMs"]) == (0, {}, {})


def test_a_viewer_that_is_asked_whether_it_is_there_says_so(
    pair: tuple[Viewer, socket.socket],
) -> None:
    viewer, server = pair
    with viewer.sock, server:
        server.sendall(HEAD + b"\x89\x00" + wire.frame(PAYLOADS[0]))
        assert viewer.receive() == PAYLOADS[:1]
        assert server.recv(10_000).endswith(b"\x8a\x80\x00\x00\x00\x00")

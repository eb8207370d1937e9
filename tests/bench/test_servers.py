import math
import sys
from pathlib import Path

import pytest

from bench import servers
from bench.errors import NotStarted, Unavailable
from bench.process import free_ports
from bench.servers import COMPARED, SERVERS, Place, Server, running

# The least that looks like a server from outside.
BLACK_BOX = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b'event_loop_lag_seconds_bucket{le="0.01"} 7.0\\n'
        text += b'event_loop_lag_seconds_bucket{le="+Inf"} 9.0\\n'
        self.answer(200, text)
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(503 if asked["sessionSlug"] == os.environ["REFUSES"] else 201, b"{}")
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def box(source: str = BLACK_BOX, refuses: str = "") -> Server:
    return Server(
        "box", lambda: [sys.executable, "-c", source], lambda _place: {"REFUSES": refuses}
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    port, rtmp_port = free_ports(2)
    return Place(port, rtmp_port, 9, "postgresql://somewhere/db", tmp_path)


def test_all_servers_are_told_the_same_of_the_world(place: Place) -> None:
    told = place.environment()
    assert told["GLADIA_API_URL"] == "http://127.0.0.1:9"
    assert told["PORT"] == str(place.port)
    assert told["RTMP_INTERNAL_PORT"] == str(place.rtmp_port)
    assert Path(told["FFMPEG_PATH"]).exists()


def test_ours_runs_with_journal_and_database_and_differs_in_its_decoder(place: Place) -> None:
    ffmpeg, inprocess = (
        SERVERS[f"ours-{each}"].environment(place) for each in ("ffmpeg", "inprocess")
    )
    assert ffmpeg["DATABASE_URL"] == "postgresql://somewhere/db"
    assert ffmpeg["DATA_DIR"].startswith(str(place.folder))
    assert {name for name in ffmpeg if ffmpeg[name] != inprocess[name]} == {"DECODER"}


def test_the_original_is_compared_as_it_was_meant(place: Place) -> None:
    assert [server.name for server in COMPARED] == ["ours-ffmpeg", "ours-inprocess", "original"]
    assert SERVERS["original"].environment(place)["FFMPEG_FLAGS_FIRST"] == "true"
    assert SERVERS["original-as-written"].environment(place)["FFMPEG_FLAGS_FIRST"] == "false"
    assert not SERVERS["original"].stores


async def test_without_node_the_original_is_unavailable_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match=r"node is not on the PATH.*Node\.js"):
        await SERVERS["original"].prepare()


@pytest.mark.slow
async def test_a_server_that_is_ready_starts_sessions_and_shows_its_lag(place: Place) -> None:
    async with running(box(), place) as ready:
        await ready.start_sessions(3)
        assert await ready.lag() == {0.01: 7.0, math.inf: 9.0}


@pytest.mark.slow
async def test_a_refused_session_is_told(place: Place) -> None:
    async with running(box(refuses="room-1"), place) as ready:
        with pytest.raises(NotStarted, match="start of room-1 answered 503"):
            await ready.start_sessions(3)


@pytest.mark.slow
async def test_a_server_that_ends_is_told_with_its_last_words(place: Place) -> None:
    ends = box("import sys; print('no such setting'); sys.exit(2)")
    with pytest.raises(NotStarted, match=r"(?s)box ended with status 2.*no such setting"):
        async with running(ends, place):
            raise AssertionError("it was never ready")


@pytest.mark.slow
async def test_a_server_that_is_never_ready_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "READY_WITHIN_S", 0.2)
    with pytest.raises(NotStarted, match="not ready in time"):
        async with running(box("import signal; signal.pause()"), place):
            raise AssertionError("it was never ready")

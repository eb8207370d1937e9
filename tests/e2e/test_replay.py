"""``realtime-core replay`` against the real service, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gladia_emulator.scripted import text_for
from realtime_core.errors import ConfigurationError, RealtimeCoreError
from realtime_core.replay import ReplayRequest, replay
from realtime_core.replay.outcome import ReplayFailed
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import write_tones
from tests.e2e.served import command
from tests.eventually import eventually

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow, pytest.mark.timeout(60)]

API = "/api/realtime/transcribe"
KEYS = ["sessionSlug", "drafts", "finals", "speakers", "latencyP50Ms", "latencyMaxMs"]
KEYS += ["wordErrorRate", "reason", "seconds"]
TURNS = [{"identity": "alice:1", "name": "Alice", "from": 0, "to": 600}]
TOO_LONG_S = 600.0


@dataclass
class OddService:
    """A service with a will of its own; its fields are what it does.

    Attributes:
        answers: By path, what is answered there instead of the right thing.
        messages: What viewers are sent first.
        goodbye: What is done to viewers then; None waits for ever.
        asked: The paths that were posted to.
    """

    rtmp_url: str
    is_new: bool = True
    answers: dict[str, Callable[[], web.Response]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    goodbye: int | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def post(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.answers:
            return self.answers[request.path]()
        if request.path == f"{API}/start":
            answer = {"rtmpUrl": self.rtmp_url, "state": "waiting_for_egress"}
            return web.json_response(answer, status=201 if self.is_new else 200)
        return web.Response(status=204)

    async def view(self, request: web.Request) -> web.StreamResponse:
        if request.path in self.answers:
            return self.answers[request.path]()
        socket = web.WebSocketResponse(timeout=0.2)
        await socket.prepare(request)
        for message in self.messages:
            await socket.send_str(message)
        if self.goodbye == 1006:
            assert request.transport is not None
            request.transport.abort()
        elif self.goodbye is not None:
            await socket.close(code=self.goodbye)
        else:
            await socket.receive()
        return socket

    @property
    def was_stopped(self) -> bool:
        return f"{API}/stop" in self.asked


@asynccontextmanager
async def odd_service(tmp_path: Path, **odd: Any) -> AsyncIterator[OddService]:
    """Run an odd service. It has FFmpeg write to a file, which takes as long as RTMP does."""
    service = OddService(**{"rtmp_url": str(tmp_path / "published.flv"), **odd})
    app = web.Application()
    app.add_routes([web.get(API, service.view), web.post("/{path:.*}", service.post)])
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


def refusal(status: int, message: str) -> Callable[[], web.Response]:
    body = {"error": {"code": "some_code", "message": message, "field": None}}
    return lambda: web.json_response(body, status=status)


def a_request(tmp_path: Path, url: str, *, with_turns: bool = False, **more: Any) -> ReplayRequest:
    """Ask for a short recording; turns, if any, go on for longer than it does."""
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    speakers = tmp_path / "turns.json" if with_turns else None
    if speakers is not None:
        speakers.write_text(json.dumps(TURNS))
    values = {"file": recording, "speakers": speakers, "lead_s": 0.0, **more}
    return ReplayRequest(session_slug="weekly", url=url, **values)


def ignore(_at_s: float, _of_s: float | None) -> None:
    """Show no progress."""


async def failing(request: ReplayRequest) -> RealtimeCoreError:
    """Replay what has to fail, and at once."""
    async with asyncio.timeout(15):
        with pytest.raises(RealtimeCoreError) as caught:
            await replay(request, ignore)
    return caught.value


@pytest.mark.postgres
async def test_a_replay_reports_what_came_of_it(river: MakeRiver, tmp_path: Path) -> None:
    reference = tmp_path / "said.txt"
    reference.write_text(f"{text_for(440, 1.2)} {text_for(660, 1.2)}")
    progress: list[tuple[float, float | None]] = []
    async with river() as whole:
        request = a_request(tmp_path, whole.service.url, with_turns=True, reference=reference)
        report = await replay(request, lambda at_s, of_s: progress.append((at_s, of_s)))
        assert len(whole.service.registry) == 0
    assert list(report) == KEYS
    assert report["finals"] == 2
    assert report["drafts"] > 0
    assert report["speakers"] == ["Alice"]
    assert report["wordErrorRate"] == 0.0
    assert report["reason"] == "drained"
    # Silence that ends an utterance has to be heard first; then come FFmpeg, twice, and we.
    assert 0 < report["latencyP50Ms"] <= report["latencyMaxMs"] < 3000
    at_s, of_s = zip(*progress, strict=True)
    assert at_s[0] == 0.0
    assert at_s[-1] == pytest.approx(4.8, abs=0.2)
    assert set(of_s) == {4.8}


@pytest.mark.postgres
async def test_why_speech_to_text_refused_is_told(river: MakeRiver, tmp_path: Path) -> None:
    async with river(gladia_api_key="another-key") as whole:
        error = await failing(a_request(tmp_path, whole.service.url))
    assert isinstance(error, ReplayFailed)
    assert "speech-to-text refused" in str(error)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4001, "shutting down (4001)"),
        (4008, "too slow (4008)"),
        (4401, "unauthorised (4401)"),
        (1006, "the connection was lost (1006)"),
        (1011, "the connection was lost (1011)"),
    ],
)
async def test_a_viewer_that_is_hung_up_on_fails_the_replay_at_once(
    tmp_path: Path, code: int, reason: str
) -> None:
    messages = [json.dumps({"type": "error", "code": "x", "message": "go away"})]
    async with odd_service(tmp_path, goodbye=code, messages=messages) as service:
        error = await failing(a_request(tmp_path, service.url))
        assert service.was_stopped
    assert isinstance(error, ReplayFailed)
    assert reason in str(error)
    assert "go away" in str(error)


async def test_a_session_that_ran_before_is_not_stopped(tmp_path: Path) -> None:
    async with odd_service(tmp_path, goodbye=4008, is_new=False) as service:
        await failing(a_request(tmp_path, service.url))
        assert not service.was_stopped


@pytest.mark.parametrize("message", ["rubbish", "[]", '{"type": "transcript"}', "null"])
async def test_a_message_that_is_none_of_ours_fails_the_replay(
    tmp_path: Path, message: str
) -> None:
    async with odd_service(tmp_path, messages=[message]) as service:
        error = await failing(a_request(tmp_path, service.url))
    assert "no message of ours" in str(error)


async def test_a_viewer_that_is_not_let_in_is_told_without_the_token(tmp_path: Path) -> None:
    async with odd_service(tmp_path, answers={API: refusal(503, "no")}) as service:
        error = await failing(a_request(tmp_path, service.url, token="s3cret"))
        assert service.was_stopped
    assert "HTTP 503" in str(error)
    assert "s3cret" not in str(error)


async def test_a_session_that_does_not_end_is_told(tmp_path: Path) -> None:
    async with odd_service(tmp_path) as service:
        error = await failing(a_request(tmp_path, service.url, end_within_s=0.1))
        assert service.was_stopped
    assert str(error) == "the session did not end within 0.1 s after the recording"


@pytest.mark.parametrize(
    ("answer", "kind", "complaint"),
    [
        (refusal(401, "a token is needed"), ConfigurationError, "a token is needed"),
        (refusal(503, "all sessions are in use"), ReplayFailed, "all sessions are in use"),
        (refusal(409, "still ending"), ReplayFailed, "still ending"),
        (lambda: web.Response(text="<html>"), ConfigurationError, "is no realtime-core"),
        (lambda: web.json_response(["hi"]), ConfigurationError, "is no realtime-core"),
        (lambda: web.Response(status=404, text="nope"), ConfigurationError, "HTTP 404"),
        (lambda: web.Response(status=502), ReplayFailed, "HTTP 502"),
        (lambda: web.json_response("?", status=400), ConfigurationError, "HTTP 400"),
    ],
)
async def test_a_start_that_is_refused_or_answered_by_another_is_told(
    tmp_path: Path, answer: Callable[[], web.Response], kind: type[Exception], complaint: str
) -> None:
    async with odd_service(tmp_path, answers={f"{API}/start": answer}) as service:
        error = await failing(a_request(tmp_path, service.url))
        assert service.asked == [f"{API}/start"]
    assert type(error) is kind
    assert complaint in str(error)


async def test_a_speaker_report_that_is_refused_fails_the_replay(tmp_path: Path) -> None:
    answers = {"/api/active-speaker": refusal(403, "a speaker reports only itself")}
    async with odd_service(tmp_path, answers=answers) as service:
        error = await failing(a_request(tmp_path, service.url, with_turns=True))
    assert type(error) is ConfigurationError
    assert "that Alice speaks: a speaker reports only itself" in str(error)


async def test_reports_end_quietly_when_the_session_is_over(tmp_path: Path) -> None:
    answers = {"/api/active-speaker": refusal(404, "no such session is running")}
    async with odd_service(tmp_path, answers=answers, goodbye=1000) as service:
        report = await replay(a_request(tmp_path, service.url, with_turns=True), ignore)
        assert service.asked == [f"{API}/start", "/api/active-speaker"]
    assert report["finals"] == 0


async def test_a_service_that_takes_no_audio_is_told_without_the_stream_key(
    tmp_path: Path,
) -> None:
    url = "rtmp://127.0.0.1:1/live/weekly?key=s3cret"
    async with odd_service(tmp_path, rtmp_url=url) as service:
        error = await failing(a_request(tmp_path, service.url))
        assert service.was_stopped
    assert "FFmpeg could not publish talk.wav: " in str(error)
    assert "s3cret" not in str(error)


async def test_a_recording_without_sound_is_told_before_anything_starts(tmp_path: Path) -> None:
    silent = tmp_path / "notes:today.txt"
    silent.write_text("no sound")
    async with odd_service(tmp_path) as service:
        error = await failing(a_request(tmp_path, service.url, file=silent))
        assert service.asked == []
    assert isinstance(error, ConfigurationError)
    assert "FFmpeg reads no sound from it" in str(error)


async def test_a_replay_that_is_cancelled_stops_its_session(tmp_path: Path) -> None:
    async with odd_service(tmp_path) as service:
        request = a_request(tmp_path, service.url, with_turns=True, lead_s=TOO_LONG_S)
        replaying = asyncio.ensure_future(replay(request, ignore))
        await eventually(lambda: "/api/active-speaker" in service.asked)
        replaying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replaying
        assert service.was_stopped


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://", "http://[::1", "http://h:99999"])
async def test_what_is_no_url_is_told(tmp_path: Path, url: str) -> None:
    error = await failing(a_request(tmp_path, url))
    assert isinstance(error, ConfigurationError)
    assert "is no URL" in str(error)


# As a process.


@pytest.mark.postgres
async def test_the_command_prints_one_line_of_json(river: MakeRiver, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    async with river() as whole:
        arguments = ["replay", str(recording), "--session", "weekly", "--url", whole.service.url]
        async with command(*arguments) as child:
            output = await child.stdout.read()
    assert child.returncode == 0, child.complaints.lines()
    assert list(json.loads(output)) == KEYS
    assert "Publishing talk.wav" in " ".join(child.complaints.lines())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.wav"], "nowhere.wav: No such file or directory"),
        (["."], "not a file"),
        (["talk.wav", "--speakers", "bad.json"], "bad.json: not JSON; it has to be a JSON list"),
        (["talk.wav", "--reference", "nowhere.txt"], "nowhere.txt: No such file or directory"),
        (["talk.wav", "--url", "http://127.0.0.1:1"], "no service answers at http://127.0.0.1:1"),
        (["talk.wav", "--token", "a\nb"], "the token has characters in it"),
    ],
)
async def test_the_command_says_what_to_mend_in_one_line_with_exit_2(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    write_tones(tmp_path / "talk.wav", 440)
    (tmp_path / "bad.json").write_text("{")
    async with command("replay", *arguments, "--session", "weekly") as child:
        assert await child.stdout.read() == b""
    assert child.returncode == 2
    (line,) = child.complaints.lines()
    assert line.startswith("realtime-core: ")
    assert complaint in line


async def test_the_command_says_what_broke_with_exit_1(tmp_path: Path) -> None:
    write_tones(tmp_path / "talk.wav", 440)
    async with (
        odd_service(tmp_path, goodbye=4008) as service,
        command("replay", "talk.wav", "--session", "weekly", "--url", service.url) as child,
    ):
        assert await child.stdout.read() == b""
    assert child.returncode == 1
    assert "too slow (4008)" in child.complaints.lines()[-1]
    assert "Traceback" not in " ".join(child.complaints.lines())


async def test_the_command_fails_with_its_report_when_nothing_was_transcribed(
    tmp_path: Path,
) -> None:
    write_tones(tmp_path / "talk.wav", 440)
    messages = [json.dumps({"type": "status", "state": "ended", "reason": "no credit"})]
    async with (
        odd_service(tmp_path, goodbye=1000, messages=messages) as service,
        command("replay", "talk.wav", "--session", "weekly", "--url", service.url) as child,
    ):
        report = json.loads(await child.stdout.read())
    assert child.returncode == 1
    assert report["finals"] == 0
    assert "no final transcript came (no credit)" in child.complaints.lines()[-1]

"""A session without sockets, in virtual time: everything that waits."""

import asyncio
import json
from typing import Any

import pytest

from gladia_emulator.config import StreamingRequest, parse_request
from gladia_emulator.faults import FaultBook
from gladia_emulator.outbox import Outlet
from gladia_emulator.rules import Rules
from gladia_emulator.scripted import ScriptedRecognizer, silence, tone
from gladia_emulator.session import LiveSession, State
from gladia_emulator.tasks import Tasks, Timer
from tests.gladia_emulator.client import BODY, HELLO
from tests.virtual_time import in_virtual_time


class FakeOutlet:
    """A connection that notes what it is told, and when."""

    def __init__(self) -> None:
        self.got: list[tuple[float, dict[str, Any]]] = []
        self.closed: tuple[Any, int, str] | None = None

    def send(self, text: str) -> None:
        self.got.append((now(), json.loads(text)))

    def close(self, code: int, reason: str = "") -> None:
        self.closed = self.closed or (now(), code, reason)

    def abort(self) -> None:
        self.close(1006)

    def freeze(self, seconds: float | None) -> None:
        raise AssertionError("nobody asked for that")

    def times_of(self, kind: str, final: bool | None = None) -> list[float]:
        """Return when messages of a type came."""
        return [
            at
            for at, each in self.got
            if each["type"] == kind and final in (None, each["data"].get("is_final"))
        ]


_is_an_outlet: type[Outlet] = FakeOutlet  # mypy checks the fake


def now() -> float:
    return asyncio.get_running_loop().time()


def opened(**rules: Any) -> LiveSession:
    """Return a session that waits for its first connection."""
    request: StreamingRequest = parse_request(json.dumps(BODY).encode())
    session = LiveSession(request, Rules(**rules), ScriptedRecognizer(), FaultBook())
    session.open()
    return session


async def speak(session: LiveSession, pcm: bytes) -> None:
    """Send audio as fast as it is spoken."""
    for start in range(0, len(pcm), 3_200):
        await asyncio.sleep(0.1)
        await session.receive_audio(pcm[start : start + 3_200])


def test_by_default_a_silent_socket_is_closed_after_30_s_with_the_exact_words() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        await speak(session, silence(1))
        await session.done.wait()
        assert outlet.closed == (pytest.approx(31), 4408, "No audio chunk received for 30s")
        assert not session.admits
        await session.close()

    in_virtual_time(main())


def test_by_default_a_dropped_session_waits_30_s() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        await speak(session, silence(1))
        session.detach(outlet, client_code=None)
        admitted = []
        for pause_s in (29.9, 0.2):
            await asyncio.sleep(pause_s)
            admitted.append(session.admits)
        assert admitted == [True, False]
        await session.close()

    in_virtual_time(main())


def test_by_default_a_session_ends_after_three_hours() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        while session.state is State.RECORDING:
            await asyncio.sleep(20)
            await session.receive_audio(b"")
        await session.done.wait()
        assert outlet.closed == (pytest.approx(10_800), 1000, "")
        assert not session.admits
        await session.close()

    in_virtual_time(main())


def test_by_default_messages_come_as_late_as_from_the_service() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        for _ in range(3):
            await speak(session, HELLO)
        drafts, finals = (outlet.times_of("transcript", final) for final in (False, True))
        assert [round(at, 1) for at in drafts[:3]] == [0.3, 0.6, 0.9]
        ends = outlet.times_of("speech_end")
        delays = [at - end for at, end in zip(finals, ends, strict=False)]
        assert len(delays) >= 2
        assert all(0.099 <= delay <= 0.601 for delay in delays)
        await session.close()

    in_virtual_time(main())


def test_by_default_the_close_comes_a_second_after_the_stop() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        await speak(session, tone(440, 1))
        await session.receive_text('{"type":"stop_recording"}')
        await session.done.wait()
        assert outlet.closed == (pytest.approx(2), 1000, "")
        (ack,) = [each for _, each in outlet.got if each["type"] == "stop_recording"]
        assert ack["data"]["recording_duration"] == 1.0
        assert 0 < ack["data"]["recording_left_to_process"] < 0.5
        await session.close()

    in_virtual_time(main())


def test_closed_session_leaves_no_task_and_no_timer() -> None:
    async def main() -> None:
        session, outlet = opened(), FakeOutlet()
        session.attach(outlet)
        await speak(session, HELLO)
        await session.close()
        await session.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(10_000)
        assert outlet.closed is None

    in_virtual_time(main())


def test_detach_of_a_kicked_connection_changes_nothing() -> None:
    async def main() -> None:
        session, old, new = opened(), FakeOutlet(), FakeOutlet()
        session.attach(old)
        session.attach(new)
        session.detach(old, client_code=1000)
        assert session.connected
        assert session.state is State.RECORDING
        await session.close()

    in_virtual_time(main())


def test_timer_calls_once_after_the_last_restart() -> None:
    async def main() -> None:
        calls: list[float] = []
        timer = Timer(lambda: calls.append(now()))
        timer.restart(1)
        await asyncio.sleep(0.5)
        timer.restart(1)
        await asyncio.sleep(5)
        assert calls == [1.5]
        timer.stop()
        timer.restart(1)
        timer.stop()
        await asyncio.sleep(5)
        assert len(calls) == 1

    in_virtual_time(main())


def test_failing_task_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OSError("broken")

    async def main() -> None:
        tasks = Tasks()
        tasks.start(fail())
        await tasks.wait()

    in_virtual_time(main())
    assert "Task failed" in caplog.text


def test_final_delays_spread_over_their_range() -> None:
    delays = [Rules(final_delay_s=(0.1, 0.6)).final_delay(number) for number in range(50)]
    assert 0.1 <= min(delays) < 0.13
    assert 0.57 < max(delays) <= 0.6

"""Sessions survive a restart of the service: publishers and viewers just come back."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gladia_emulator.server import Emulator
from realtime_core.processes import child_process
from realtime_core.store.postgres import PostgresStore
from tests.chaos.service import free_ports
from tests.e2e.river import KEY, Viewer, write_tones
from tests.e2e.served import Served, published, serving

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]


def is_final(message: dict[str, Any]) -> bool:
    return message["type"] == "transcript" and bool(message["isFinal"])


def is_draft(message: dict[str, Any]) -> bool:
    return message["type"] == "transcript" and not message["isFinal"]


class House:
    """A service that is restarted in the same place, and what its clients come back with."""

    def __init__(self, stack: AsyncExitStack, dsn: str, ffmpeg: str, folder: Path) -> None:
        self._stack, self._dsn, self.ffmpeg, self._folder = stack, dsn, ffmpeg, folder
        port, rtmp_port = free_ports(2)
        self._ports = {"PORT": str(port), "RTMP_INTERNAL_PORT": str(rtmp_port)}

    async def open(self) -> None:
        self._emulator = await self._stack.enter_async_context(Emulator(api_key=KEY))
        self.http = await self._stack.enter_async_context(aiohttp.ClientSession())

    @asynccontextmanager
    async def service(self, **environment: str) -> AsyncIterator[Served]:
        settings = {"BATCH_MAX_WAIT_S": "0.2", **self._ports, **environment}
        data_dir = self._folder / "data"
        async with serving(self._emulator, self._dsn, data_dir, **settings) as served:
            yield served

    @asynccontextmanager
    async def republished(self, recording: Path) -> AsyncIterator[None]:
        """Publish to the session as before; nobody calls start."""
        url = f"rtmp://127.0.0.1:{self._ports['RTMP_INTERNAL_PORT']}/live/weekly"
        argv = [self.ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-i", str(recording)]
        argv += ["-c:a", "aac", "-f", "flv", url]
        async with child_process(argv, env={}, grace_s=0.5):
            yield

    @asynccontextmanager
    async def viewer(self, served: Served, since: dict[str, Any]) -> AsyncIterator[Viewer]:
        query = {"sessionSlug": "weekly", "since": str(since["seq"]), "epoch": since["epoch"]}
        url = f"{served.url}/api/realtime/transcribe"
        async with self.http.ws_connect(url, params=query) as found:
            yield Viewer(found)

    async def rows(self) -> dict[str, tuple[int, str]]:
        async with PostgresStore(self._dsn) as store:
            finals = await store.finals("weekly", limit=1000)
        return {row.utterance_id: (row.rev, row.text) for row in finals}


@pytest.fixture
async def house(postgres_dsn: str, ffmpeg: str, tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        made = House(stack, postgres_dsn, ffmpeg, tmp_path)
        await made.open()
        yield made


async def test_killed_and_restarted_it_goes_on_with_the_same_session(
    house: House, tmp_path: Path
) -> None:
    before = write_tones(tmp_path / "before.wav", 440, 550)
    after = write_tones(tmp_path / "after.wav", 660)
    async with house.service() as first, published(first, house.ffmpeg, before, house.http) as old:
        await old.until(is_final)
        draft = await old.until(is_draft)
        os.kill(first.child.pid, signal.SIGKILL)
        await old.to_the_end()  # what was on its way has been seen too
        await first.child.gone()
    ready, last = old.messages[0], [m for m in old.messages if m["type"] == "transcript"][-1]
    since = {"seq": last["seq"], "epoch": ready["epoch"]}
    async with (
        house.service() as second,
        house.viewer(second, since) as new,
        house.republished(after),
    ):
        final = await new.until(lambda m: is_final(m) and "f0660" in m["text"])
        second.child.signal_group(signal.SIGTERM)
        await new.to_the_end()
        await second.child.gone()
    ready = new.messages[0]
    assert (ready["epoch"], ready["recovered"], ready["drafts"]) == (since["epoch"], True, [])
    # The draft of the dead process has become final, and the numbering went on after it.
    (ended,) = [each for each in ready["history"] if each["utteranceId"] == draft["utteranceId"]]
    assert (ended["isFinal"], ended["finalizedBy"]) == (True, "timeout")
    assert ended["seq"] == last["seq"] + 1
    numbers = [m["seq"] for m in new.messages if m["type"] == "transcript"]
    assert numbers == list(range(ready["seq"] + 1, ready["seq"] + 1 + len(numbers)))
    # Times go on by the wall clock, and the hole is told.
    (gap,) = [m for m in new.messages if m["type"] == "gap"]
    assert gap["reason"] == "the service was restarted"
    assert last["endedAt"] <= gap["from"] < gap["to"]
    assert final["startedAt"] == pytest.approx(gap["to"] + 0.8, abs=0.25)
    seen = {m["utteranceId"]: (m["rev"], m["text"]) for m in [*old.finals, ended, *new.finals]}
    assert await house.rows() == seen


async def test_asked_to_stop_and_restarted_it_goes_on_with_the_same_session(
    house: House, tmp_path: Path
) -> None:
    before = write_tones(tmp_path / "before.wav", 440, 550)
    after = write_tones(tmp_path / "after.wav", 660)
    async with house.service() as first, published(first, house.ffmpeg, before, house.http) as old:
        await old.until(is_final)
        first.child.signal_group(signal.SIGTERM)
        await old.to_the_end()
        await first.child.gone()
        assert first.child.returncode == 0
    assert old.socket.close_code == 4001
    transcripts = [m for m in old.messages if m["type"] == "transcript"]
    assert transcripts[-1]["isFinal"]
    since = {"seq": transcripts[-1]["seq"], "epoch": old.messages[0]["epoch"]}
    async with (
        house.service() as second,
        house.viewer(second, since) as new,
        house.republished(after),
    ):
        await new.until(lambda m: is_final(m) and "f0660" in m["text"])
    ready = new.messages[0]
    assert {"seq": ready["seq"], "epoch": ready["epoch"]} == since
    assert (ready["state"], ready["recovered"], ready["history"]) == ("reconnecting", True, [])


async def test_a_session_that_was_stopped_does_not_come_back(house: House, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    async with (
        house.service() as first,
        published(first, house.ffmpeg, recording, house.http) as viewer,
    ):
        await viewer.until(is_final)
        stop = f"{first.url}/api/realtime/transcribe/stop"
        async with house.http.post(stop, json={"sessionSlug": "weekly"}) as response:
            assert response.status == 200
        await viewer.to_the_end()
        assert viewer.socket.close_code == 1000
    async with (
        house.service() as second,
        house.http.get(f"{second.url}/api/realtime/sessions") as response,
    ):
        assert (await response.json())["sessions"] == []

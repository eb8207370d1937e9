"""How the service starts and stops when its journal or its database does not do its part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from realtime_core import app
from realtime_core.app import Service, running
from realtime_core.errors import StoreUnavailable
from realtime_core.model import SessionRecord
from realtime_core.settings import load
from realtime_core.store.journal import Journal
from realtime_core.store.postgres import PostgresStore
from tests.hub.examples import ZERO, draft
from tests.store.finals import final
from tests.virtual_time import in_virtual_time

NOWHERE = "postgresql://u@127.0.0.1:1/db"


class FakeTable:
    """A database that can be away."""

    def __init__(self) -> None:
        self.is_away, self.answers, self.asked = False, True, 0

    async def ping(self) -> None:
        self.asked += 1
        self.is_away = not self.answers
        if self.is_away:
            raise StoreUnavailable("away")


@asynccontextmanager
async def served(ffmpeg: str, data_dir: Path, **settings: Any) -> AsyncIterator[Service]:
    """Run the service without a database that answers."""
    defaults = {"port": 0, "rtmp_internal_port": 0, "gladia_api_key": "k", "ffmpeg_path": ffmpeg}
    values = {**defaults, "database_url": NOWHERE, "data_dir": data_dir, **settings}
    async with running(await asyncio.to_thread(load, **values)) as service:
        yield service


@pytest.mark.parametrize("is_there_at_the_start", [True, False])
def test_a_database_that_is_away_is_asked_until_it_is_back(is_there_at_the_start: bool) -> None:
    async def scene() -> None:
        table = FakeTable()
        table.answers = is_there_at_the_start
        asking = asyncio.ensure_future(app._reach_database(cast(PostgresStore, table)))
        await asyncio.sleep(600)
        assert is_there_at_the_start == (table.asked == 1), "one that answers is left alone"
        table.answers, table.is_away = False, True  # somebody's statement failed
        await asyncio.sleep(600)
        table.answers = True
        await asyncio.sleep(app.ASK_EVERY_S + 1)
        assert not table.is_away
        asking.cancel()

    in_virtual_time(scene())


@pytest.mark.ffmpeg
async def test_stopping_does_not_wait_for_a_database_that_is_away(
    ffmpeg: str, tmp_path: Path
) -> None:
    async with served(ffmpeg, tmp_path / "data") as service:
        assert service.storage is not None
        with pytest.raises(StoreUnavailable):
            await service.storage.table.ping()
        service.storage.writer.accept(final(1))
        async with asyncio.timeout(app.FLUSH_TIMEOUT_S / 2):
            await service.drain()


@pytest.mark.ffmpeg
async def test_a_viewer_that_comes_to_a_service_that_stops_is_to_come_back(
    ffmpeg: str, tmp_path: Path
) -> None:
    async with served(ffmpeg, tmp_path / "data") as service, aiohttp.ClientSession() as http:
        url = f"{service.url}/api/realtime"
        service.live, live = None, service.live  # as while sessions drain: it still listens
        await service.drain()
        service.live = live
        async with http.ws_connect(f"{url}/transcribe?sessionSlug=weekly") as socket:
            messages = [message.json()["code"] async for message in socket]
        assert (messages, socket.close_code) == (["shutting_down"], 4001)
        async with http.get(f"{url}/sessions/weekly") as response:
            assert response.status == 404


@pytest.mark.ffmpeg
async def test_a_journal_whose_sessions_cannot_be_read_does_not_keep_the_service_from_starting(
    ffmpeg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_journal: Journal) -> list[SessionRecord]:
        raise StoreUnavailable("journal: disk I/O error")

    monkeypatch.setattr(Journal, "records", broken)
    with capture_logs() as logs:
        async with served(ffmpeg, tmp_path / "data") as service:
            _, is_new = await service.registry.start("weekly")
    assert is_new
    assert ("error", "Sessions cannot be restored") in [
        (line["log_level"], line["event"]) for line in logs
    ]


@pytest.mark.ffmpeg
@pytest.mark.parametrize(("url", "reads"), [(None, True), ("http://elsewhere/", False)])
async def test_what_it_posts_to_itself_is_read_from_its_own_table(
    ffmpeg: str, tmp_path: Path, url: str | None, reads: bool
) -> None:
    posting = {"realtime_broadcast_mode": "http", "internal_secret": "s" * 32}
    async with served(ffmpeg, tmp_path / "data", **posting, realtime_broadcast_url=url) as service:
        assert service.hub._posts_are_ours is reads


@pytest.mark.ffmpeg
async def test_a_session_of_which_the_last_numbers_are_not_known_goes_on_in_a_new_numbering(
    ffmpeg: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shown = draft(41, "and then", utterance="u9", rev=3)
    left = SessionRecord("weekly", "e1", was_published=True, zero_at=ZERO, seq=41, drafts=(shown,))
    async with Journal(data / "journal.sqlite", max_bytes=1_000_000) as journal:
        journal.save(left)
    (data / "journal.sqlite.lock").write_text("a boot that is over")
    async with served(ffmpeg, data) as service, aiohttp.ClientSession() as http:
        query = "sessionSlug=weekly&since=43&epoch=e1"
        async with http.ws_connect(f"{service.url}/api/realtime/transcribe?{query}") as socket:
            ready = await socket.receive_json()
        broken = service.metrics.promises_broken.collect()
    assert ready["epoch"] != "e1"
    assert (ready["recovered"], ready["drafts"], ready["seq"]) == (False, [], 1)
    (last,) = ready["history"]
    assert (last["utteranceId"], last["rev"], last["isFinal"]) == ("u9", 4, True)
    assert not [each for family in broken for each in family.samples if each.value]

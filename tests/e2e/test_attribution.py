"""The right name on every word, on the real parts: voices, RTMP, a recogniser, the table."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from realtime_core import sample
from realtime_core.model import FinalRow
from realtime_core.replay import ReplayRequest, replay
from realtime_core.store.postgres import PostgresStore
from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, write_tones

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow]

EGRESS_DELAY_S = 2.5
LEAST_ACCURACY = 0.95


@pytest.fixture
def turns() -> Sequence[sample.Turn]:
    """Who says what in the sample; read here, because reading blocks."""
    return sample.turns()


def accuracy(rows: Sequence[FinalRow], turns: Sequence[sample.Turn]) -> float:
    """Return the share of words with the right name, of those within somebody's turn."""
    right = wrong = 0
    for row in rows:
        for word in row.words:
            middle_s = (word.start_s + word.end_s) / 2
            for turn in turns:
                if turn.from_s <= middle_s <= turn.to_s:
                    right += row.speaker == turn.name
                    wrong += row.speaker != turn.name
    assert right + wrong > 80, "too few words were recognised to tell"
    return right / (right + wrong)


@pytest.mark.timeout(120)
async def test_two_voices_get_their_names_though_nobody_says_how_late_egress_is(
    river: MakeRiver, postgres_dsn: str, turns: Sequence[sample.Turn]
) -> None:
    with sample.files() as files:
        async with river(recognizer="pocketsphinx", speaker_lag_ms=2000) as whole:
            request = ReplayRequest(
                files.conversation,
                "weekly",
                whole.service.url,
                speakers=files.turns,
                lead_s=EGRESS_DELAY_S,
            )
            outcome = await replay(request, lambda at_s, of_s: None)
    assert outcome["speakers"] == ["Alice", "Bob"]
    async with PostgresStore(postgres_dsn) as store:
        rows = await store.finals("weekly", limit=1000)
    assert accuracy(rows, turns) >= LEAST_ACCURACY


async def report(river: River, identity: str | None, said_at: float) -> None:
    """Report who spoke at this time by the client's clock."""
    body = {"sessionSlug": "weekly", "identity": identity, "timestamp": said_at * 1000}
    if identity:
        body["name"] = "Alice"
    assert (await river.post("/api/active-speaker", body))[0] == 204


def says(transcript: dict[str, Any], speaker: str) -> bool:
    said = transcript["type"] == "transcript" and transcript["isFinal"]
    return bool(said and transcript["speaker"] == speaker)


@pytest.mark.timeout(60)
async def test_late_reports_rename_what_viewers_see_and_the_row(
    river: MakeRiver, tmp_path: Path, postgres_dsn: str
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    async with river(speaker_lag_ms=0, speaker_lag_estimate=False) as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer, asyncio.TaskGroup() as tasks:
            argv = ("-stream_loop", "1")  # it goes on after the first final
            publishing = tasks.create_task(whole.publish(recording, url, *argv))
            first = await viewer.until(lambda m: says(m, "room"))
            heard_at, off_s = time.time(), 75.0  # the client's clock is that wrong
            await report(whole, None, heard_at + off_s)
            for late_s in (3.0, 2.5, 2.0, 1.5, 1.0):
                await report(whole, "alice:1", heard_at + off_s - late_s)
            again = await viewer.until(lambda m: says(m, "Alice"))
            await publishing
            await viewer.to_the_end()
    assert (again["utteranceId"], again["text"]) == (first["utteranceId"], first["text"])
    assert again["rev"] > first["rev"]
    async with PostgresStore(postgres_dsn) as store:
        rows = await store.finals("weekly", limit=10)
    assert [row.speaker for row in rows if row.utterance_id == first["utteranceId"]] == ["Alice"]

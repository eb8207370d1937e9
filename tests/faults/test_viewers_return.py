"""Viewers of a restarted service, on the whole system: what memory lost is in the table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, Viewer, write_tones

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]

Message = dict[str, Any]


def without_ts(messages: list[Message]) -> list[Message]:
    """Leave out when each was sent: of a stored final it is when it was received."""
    return [{k: v for k, v in each.items() if k != "ts"} for each in messages]


async def two_finals(whole: River, recording: Path) -> list[Message]:
    """Transcribe a recording up to its second final, and stop the service; return all seen."""
    url = await whole.start("weekly")
    async with whole.viewer("weekly") as viewer:
        publishing = asyncio.ensure_future(whole.publish(recording, url))
        await viewer.until(lambda _: len(viewer.finals) == 2)
        await asyncio.gather(whole.service.drain(), viewer.to_the_end())
        await asyncio.gather(publishing, return_exceptions=True)  # FFmpeg was hung up on
    assert viewer.socket.close_code == 4001
    return viewer.messages


async def ready_of(whole: River, **query: str) -> Message:
    async with whole.viewer("weekly", **query) as viewer:
        return await _first(viewer)


async def _first(viewer: Viewer) -> Message:
    return await viewer.until(lambda message: message["type"] == "ready")


async def test_after_a_restart_viewers_are_given_what_they_missed_just_as_it_was(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660, 880, 440, each_s=0.6)
    async with river() as first:
        before = await two_finals(first, recording)
    epoch = before[0]["epoch"]
    seen = [m for m in before if m["type"] == "transcript" and m["isFinal"]]
    async with river() as second:
        returning = await ready_of(second, since=str(seen[0]["seq"]), epoch=epoch)
        newcomer = await ready_of(second)
        stranger = await ready_of(second, since="7", epoch="another")
    assert (returning["epoch"], returning["recovered"]) == (epoch, True)
    assert without_ts(returning["history"]) == without_ts(seen[1:])
    assert "recovered" not in newcomer
    assert without_ts(newcomer["history"]) == without_ts(seen)
    assert stranger["recovered"] is False
    assert without_ts(stranger["history"]) == without_ts(seen)

"""Meetings in which somebody always talks, and all that their viewers saw."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from realtime_core.processes import child_process
from tests.e2e.river import write_tones
from tests.eventually import eventually
from tests.postgres import sql

Finals = dict[tuple[str, str], tuple[int, str]]
"""Revision and text by session and utterance."""

SPEED = 2
"""Somebody says something every 0.6 s."""


class Audience:
    """What the viewers of all sessions saw.

    Attributes:
        finals: The last revision of each final.
        seen: How many finals the viewers of each session saw.
        delays_s: How long after its sending each transcript was read.
        pauses_s: How long each final came after the one before it in its session.
    """

    def __init__(self) -> None:
        self.finals: Finals = {}
        self.seen: Counter[str] = Counter()
        self.delays_s: list[float] = []
        self.pauses_s: list[float] = []
        self._last: dict[str, float] = {}

    async def watch(self, url: str, slug: str, http: aiohttp.ClientSession) -> None:
        """View a session until the service ends the connection, or dies."""
        viewing = f"{url}/api/realtime/transcribe"
        async with http.ws_connect(viewing, params={"sessionSlug": slug}) as socket:
            async for raw in socket:
                message = raw.json()
                if message["type"] == "transcript":
                    self._note(message)

    async def hear(self, more: int, *slugs: str) -> None:
        """Return when so many more finals of each session were seen."""
        enough = {slug: self.seen[slug] + more for slug in slugs}
        await eventually(lambda: all(self.seen[slug] >= n for slug, n in enough.items()))

    def forget_times(self) -> None:
        """Begin a new phase of measuring."""
        self.delays_s, self.pauses_s = [], []

    def _note(self, message: dict[str, Any]) -> None:
        self.delays_s.append(time.time() - message["ts"] / 1000)
        if not message["isFinal"]:
            return
        slug, now = message["sessionSlug"], time.monotonic()
        key = slug, message["utteranceId"]
        if key not in self.finals or message["rev"] > self.finals[key][0]:
            self.finals[key] = message["rev"], message["text"]
        if slug in self._last:
            self.pauses_s.append(now - self._last[slug])
        self._last[slug] = now
        self.seen[slug] += 1


@asynccontextmanager
async def meeting(
    url: str,
    http: aiohttp.ClientSession,
    ffmpeg: str,
    folder: Path,
    audience: Audience,
    slugs: Sequence[str],
) -> AsyncIterator[None]:
    """Start sessions, publish to each without end and watch it, until the block is left.

    The publishers leave as egress does, and viewers watch on until the service lets them go.
    """
    recording = write_tones(folder / "talk.wav", 440, 550, 660, 770, each_s=0.4)
    async with asyncio.TaskGroup() as viewers, AsyncExitStack() as publishers:
        for slug in slugs:
            rtmp_url = await started(url, http, slug)
            _ = viewers.create_task(audience.watch(url, slug, http))
            await publishers.enter_async_context(_publishing(ffmpeg, recording, rtmp_url))
        yield


async def started(url: str, http: aiohttp.ClientSession, slug: str) -> str:
    """Start a session; return its RTMP URL."""
    start = f"{url}/api/realtime/transcribe/start"
    async with http.post(start, json={"sessionSlug": slug}) as response:
        return str((await response.json())["rtmpUrl"])


@asynccontextmanager
async def _publishing(ffmpeg: str, recording: Path, rtmp_url: str) -> AsyncIterator[None]:
    argv = [ffmpeg, "-nostdin", "-loglevel", "error", "-readrate", str(SPEED)]
    argv += ["-stream_loop", "-1", "-i", str(recording), "-c:a", "aac", "-f", "flv", rtmp_url]
    async with child_process(argv, env={}, grace_s=0.2):
        yield


async def until_readyz(url: str, http: aiohttp.ClientSession, status: str, word: str = "") -> None:
    """Return when ``/readyz`` says so, and gives a reason with this word."""

    async def says_so() -> bool:
        async with http.get(f"{url}/readyz") as response:
            said = await response.json()
        return said["status"] == status and word in " ".join(said.get("reasons", ()))

    await eventually(says_so, within_s=15)


async def stored(dsn: str) -> Finals:
    """Return what the table holds; nothing, while it has not been made."""
    if await sql(dsn, "SELECT to_regclass('transcripts')::text") == [(None,)]:
        return {}
    rows = await sql(dsn, "SELECT session_slug, utterance_id, rev, text FROM transcripts")
    return {(slug, utterance): (rev, text) for slug, utterance, rev, text in rows}


async def until_stored(dsn: str, finals: Finals) -> None:
    """Return when the table holds all of these, in this revision or a later one."""

    async def are_stored() -> bool:
        return not missing(finals, await stored(dsn))

    await eventually(are_stored)


def missing(seen: Finals, held: Finals) -> Finals:
    """Return what was seen and is not held, in this revision or a later one."""
    return {
        key: (rev, text)
        for key, (rev, text) in seen.items()
        if key not in held or held[key][0] < rev or (held[key][0] == rev and held[key][1] != text)
    }

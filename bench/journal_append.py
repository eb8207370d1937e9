"""What a write to the journal costs the event loop, alone and beside everything else.

Run: ``python bench/journal_append.py [FOLDER]``. A final has fourteen words with their times,
and a session's record one draft of as many. "Beside" means that the thread does nothing else
all the time; the service checkpoints once a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from realtime_core.model import FinalizedBy, FinalRow, SessionRecord, Transcript, Word
from realtime_core.store.journal import Journal

SENTENCE = "and then we measured how long a final waits before anybody else sees it"
WORDS = tuple(Word(word, i * 0.3, i * 0.3 + 0.25, 0.9) for i, word in enumerate(SENTENCE.split()))
APPENDS = 4_000
BATCH = 50


def final(number: int) -> FinalRow:
    """Return a final of fourteen words."""
    return FinalRow(
        session_slug="bench",
        epoch="bench",
        utterance_id=f"a1-{number:08}",
        rev=1,
        seq=number,
        text=SENTENCE,
        speaker="Alice",
        speaker_id="alice:1",
        speaker_confidence=0.9,
        language="en",
        confidence=0.9,
        words=WORDS,
        finalized_by=FinalizedBy.STT,
        started_at=1.79e9,
        ended_at=1.79e9 + 4,
        received_at=1.79e9 + 5,
    )


def record(number: int) -> SessionRecord:
    """Return the record of a session with one draft of fourteen words."""
    draft = Transcript(
        session_slug="bench",
        utterance_id=f"a1-{number:08}",
        text=SENTENCE,
        is_final=False,
        speaker="Alice",
        speaker_id="alice:1",
        speaker_confidence=0.9,
        seq=number,
        rev=1,
        start_s=1.0,
        end_s=5.0,
        received_at=5.0,
    )
    return SessionRecord(f"bench{number % 20}", "bench", seq=number, drafts=(draft,))


async def timed(name: str, work: Callable[[], object], times: int) -> dict[str, object]:
    """Call ``work`` so often, letting the loop turn in between, and sum up."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e6)
        await asyncio.sleep(0)
    taken.sort()
    at = {q: round(taken[int(len(taken) * q)], 1) for q in (0.5, 0.99, 0.999)}
    return {
        "what": name,
        "n": times,
        "median_us": at[0.5],
        "p99_us": at[0.99],
        "p999_us": at[0.999],
        "max_us": round(taken[-1], 1),
    }


async def measure(journal: Journal) -> list[dict[str, object]]:
    """Return one line for each situation."""
    rows = map(final, range(10**9))
    records = map(record, range(10**9))
    results = [
        await timed("append", lambda: journal.append(next(rows)), APPENDS),
        await timed(
            "append with record", lambda: journal.append(next(rows), next(records)), APPENDS
        ),
        await timed("save record", lambda: journal.save(next(records)), APPENDS),
    ]

    async def syncing() -> None:
        while True:
            await journal.sync()
            await asyncio.sleep(0)

    async def draining() -> None:
        while True:
            batch = await journal.pending(BATCH)
            journal.remove([entry.id for entry in batch])

    for name, beside in (("append beside checkpoints", syncing), ("append beside both", draining)):
        tasks = [asyncio.create_task(syncing()), asyncio.create_task(beside())]
        results.append(await timed(name, lambda: journal.append(next(rows)), APPENDS))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    while journal.rows < BATCH * 50:
        journal.append(next(rows))
    ids = [entry.id for entry in await journal.pending(BATCH * 40)]
    batches = iter([ids[start : start + BATCH] for start in range(0, len(ids), BATCH)])
    results.append(await timed("remove of 50", lambda: journal.remove(next(batches)), 40))
    return results


async def main() -> None:
    """Measure in a folder given, or in a temporary one."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        async with Journal(Path(folder) / "journal.db", max_bytes=2**30) as journal:
            for line in await measure(journal):
                print(json.dumps(line))


if __name__ == "__main__":
    asyncio.run(main())

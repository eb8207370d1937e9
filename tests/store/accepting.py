"""Accepts finals until it is killed, and says of each that it was: for the tests."""

import asyncio
import sys
from pathlib import Path

from realtime_core.metrics import Metrics
from realtime_core.store.journal import Journal
from realtime_core.store.postgres import PostgresStore
from realtime_core.store.writer import Writer
from tests.store.finals import final


async def accept_for_ever(journal: Path, dsn: str) -> None:
    async with PostgresStore(dsn) as store:
        writer = Writer(store, Journal(journal, max_bytes=10_000_000), Metrics(), max_wait_s=0.05)
        async with writer:
            number = 0
            while True:
                number += 1
                if writer.accept(final(number)):
                    sys.stdout.write(f"accepted u{number}\n")
                    sys.stdout.flush()
                await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(accept_for_ever(Path(sys.argv[1]), sys.argv[2]))

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from realtime_core.garbage import ALL_EVERY, COLLECT_EVERY_S, collect_garbage
from tests.virtual_time import in_virtual_time


class Knot:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


def knot() -> "weakref.ref[Knot]":
    return weakref.ref(Knot())


@pytest.fixture(autouse=True)
def nothing_is_frozen_afterwards() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


async def for_a_while(seconds: float) -> "asyncio.Task[None]":
    collecting = asyncio.create_task(collect_garbage())
    await asyncio.sleep(seconds)
    return collecting


async def stop(collecting: "asyncio.Task[None]") -> None:
    collecting.cancel()
    await asyncio.wait({collecting})


def test_young_garbage_goes_with_the_next_collection() -> None:
    async def main() -> None:
        collecting = await for_a_while(0.1)
        garbage = knot()
        await asyncio.sleep(COLLECT_EVERY_S)
        assert garbage() is None
        await stop(collecting)

    in_virtual_time(main())


def test_what_became_garbage_late_goes_when_all_is_looked_at() -> None:
    async def main() -> None:
        collecting = await for_a_while(0.1)
        kept = Knot()
        garbage = weakref.ref(kept)
        await asyncio.sleep(COLLECT_EVERY_S)
        del kept
        await asyncio.sleep(COLLECT_EVERY_S)
        assert garbage() is not None  # nobody looks at it any more
        await asyncio.sleep(COLLECT_EVERY_S * ALL_EVERY)
        assert garbage() is None
        await stop(collecting)

    in_virtual_time(main())


def test_the_collector_looks_at_what_is_new_and_no_more() -> None:
    async def main() -> None:
        collecting = await for_a_while(COLLECT_EVERY_S + 0.1)
        old = gc.get_freeze_count()
        assert old > 1000
        assert len(gc.get_objects()) < old / 10
        await stop(collecting)

    in_virtual_time(main())

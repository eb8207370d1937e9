"""Who may start when, in virtual time."""

import asyncio

import pytest

from realtime_core.decode.starts import Place, StartGate
from tests.virtual_time import in_virtual_time


def test_starts_are_let_in_one_after_another_in_the_order_they_came() -> None:
    async def main() -> None:
        gate = StartGate(2, patience_s=60, starting_s=60)
        began: list[tuple[int, float]] = []

        async def start(number: int) -> None:
            place = await gate.enter()
            began.append((number, asyncio.get_running_loop().time()))
            await asyncio.sleep(1)
            place.leave()

        await asyncio.gather(*map(start, range(6)))
        assert began == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)]
        assert gate.starting == 0

    in_virtual_time(main())


def test_a_start_that_says_nothing_frees_its_place_after_a_while() -> None:
    async def main() -> None:
        gate = StartGate(1, patience_s=60, starting_s=1)
        silent = await gate.enter()
        after = await gate.enter()
        assert asyncio.get_running_loop().time() == pytest.approx(1)
        silent.leave()  # long gone: it frees no second place
        assert gate.starting == 1
        after.leave()
        after.leave()
        assert gate.starting == 0

    in_virtual_time(main())


def test_one_who_has_waited_long_enough_starts_all_the_same() -> None:
    async def main() -> None:
        gate = StartGate(1, patience_s=5, starting_s=60)
        first = await gate.enter()
        late = await gate.enter()
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert gate.starting == 2
        first.leave()
        waiting = asyncio.create_task(gate.enter())
        await asyncio.sleep(1)
        assert not waiting.done()  # the place that is left belongs to the one who was late
        late.leave()
        (await waiting).leave()

    in_virtual_time(main())


def test_one_who_gives_up_waiting_holds_up_nobody() -> None:
    async def main() -> None:
        gate = StartGate(1, patience_s=60, starting_s=60)
        first = await gate.enter()
        leaves, stays = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        leaves.cancel()
        first.leave()
        (await stays).leave()
        assert leaves.cancelled()
        assert gate.starting == 0

    in_virtual_time(main())


@pytest.mark.parametrize("order", ["place first", "cancellation first"])
def test_one_who_gives_up_as_the_place_comes_passes_it_on(order: str) -> None:
    async def main() -> None:
        gate = StartGate(1, patience_s=60, starting_s=60)
        first = await gate.enter()
        leaves, stays = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        if order == "place first":
            first.leave()
        leaves.cancel()
        first.leave()
        (await stays).leave()
        assert leaves.cancelled()
        assert gate.starting == 0

    in_virtual_time(main())


def test_a_hundred_that_come_together_and_never_say_anything_all_start_in_time() -> None:
    async def main() -> None:
        gate = StartGate(2)
        loop = asyncio.get_running_loop()

        async def start() -> tuple[Place, float]:
            return await gate.enter(), loop.time()

        started = await asyncio.gather(*(start() for _ in range(100)))
        assert max(at for _, at in started) == pytest.approx(5)
        assert sum(at < 5 for _, at in started) == pytest.approx(10, abs=2)

    in_virtual_time(main())

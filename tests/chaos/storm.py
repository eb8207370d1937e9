"""Draws faults and lets them strike, one to three at a time, with pauses to recover in."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from random import Random

from tests.chaos.fault import Fault
from tests.chaos.world import World

AT_A_TIME = 3
PAUSE_S = (1.0, 5.0)
CALM_EVERY_S, CALM_S = 40.0, 5.0
LAST_STRIKE_BEFORE_END_S = 5.0


class Bag:
    """Faults in random order, each as often as it weighs before any comes again."""

    def __init__(self, faults: Sequence[Fault], random: Random) -> None:
        self._faults, self._random = faults, random
        self._left: list[Fault] = []

    def draw(self, busy: Collection[str]) -> Fault | None:
        """Return the next that touches nothing busy, if there is one.

        Nor anything that one before it waits for: who needs much would never get it.
        """
        if not self._left:
            self._left = [each for each in self._faults for _ in range(each.weight)]
            self._random.shuffle(self._left)
        taken = set(busy)
        for fault in self._left:
            if not fault.touches & taken:
                self._left.remove(fault)
                return fault
            taken |= fault.touches
        return None


class Storm:
    """Breaks a world for a while.

    Args:
        tell: Takes a line for each fault when it strikes and when it is over.

    Attributes:
        struck: How often each kind did.
    """

    def __init__(
        self, world: World, faults: Sequence[Fault], random: Random, tell: Callable[[str], None]
    ) -> None:
        self.struck: Counter[str] = Counter()
        self._world, self._random, self._tell = world, random, tell
        self._bag = Bag(faults, random)
        self._busy: set[str] = set()
        self._began_s = time.monotonic()

    async def rage(self, seconds: float) -> None:
        """Strike for so long; return when the last fault is over."""
        self._began_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_A_TIME):
                _ = tasks.create_task(self._strike_on(seconds - LAST_STRIKE_BEFORE_END_S))

    async def _strike_on(self, until_s: float) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(*PAUSE_S) + self._calm_left_s())
            if self._passed_s() > until_s:
                return
            if fault := self._bag.draw(self._busy):
                await self._strike(fault)

    async def _strike(self, fault: Fault) -> None:
        self._busy |= fault.touches
        self.struck[fault.name] += 1
        self._say(fault.name)
        try:
            told = await fault.deed(self._world, Random(self._random.random()))
            self._say(f"{fault.name} over: {told}" if told else f"{fault.name} over")
            await asyncio.sleep(fault.settles_s)
        finally:
            self._busy -= fault.touches

    def _passed_s(self) -> float:
        return time.monotonic() - self._began_s

    def _calm_left_s(self) -> float:
        into_s = self._passed_s() % CALM_EVERY_S
        return max(0.0, CALM_S - into_s) if self._passed_s() > CALM_EVERY_S else 0.0

    def _say(self, text: str) -> None:
        self._tell(f"{self._passed_s():8.1f} s  {text}")

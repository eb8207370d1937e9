"""When garbage is collected: often a little, and seldom all of it.

Python's collector stops the process while it looks at every object there is. With 100 rooms
of 5 viewers that took 50 to 100 ms (measured), every few seconds, and all rooms waited. Here it
looks at what has come since the last time, and then leaves that alone; only now and then at
everything. Nearly all garbage never gets that far: what no cycle holds goes at once.
"""

from __future__ import annotations

import asyncio
import gc
import itertools

COLLECT_EVERY_S = 5.0
ALL_EVERY = 120
"""Each so many times, ten minutes, everything is looked at; a pause as above is the price."""
THRESHOLDS = (10_000, 20, 1_000_000_000)
"""The last one is never reached: the old generation is collected here and nowhere else."""


async def collect_garbage() -> None:
    """See to the garbage for as long as it runs; what was before is put back at the end."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    try:
        for times in itertools.count():
            if times % ALL_EVERY == 0:
                gc.unfreeze()
            gc.collect()
            gc.freeze()
            await asyncio.sleep(COLLECT_EVERY_S)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

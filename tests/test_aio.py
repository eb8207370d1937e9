import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from realtime_core.aio import STOP_SIGNALS, TaskSet, asked_to_stop, backoff, persevere
from realtime_core.errors import SttRejected, may_retry
from tests.virtual_time import in_virtual_time


def growing() -> Iterator[float]:
    return backoff(1, 2, 60, spread=float)


def test_pauses_grow_and_start_over_after_an_attempt_that_worked_for_a_while() -> None:
    outcomes: list[Exception | bool] = [OSError(), OSError(), False, OSError(), True]

    async def attempt() -> bool:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def main() -> float:
        await persevere(attempt, may_retry=may_retry, delays=growing)
        return asyncio.get_running_loop().time()

    assert in_virtual_time(main()) == pytest.approx(1 + 2 + 1 + 2)


def test_what_may_not_be_retried_comes_out_at_once() -> None:
    async def attempt() -> bool:
        raise SttRejected("no")

    with pytest.raises(SttRejected):
        in_virtual_time(persevere(attempt, may_retry=may_retry))


def test_pauses_are_spread_and_bounded() -> None:
    pauses = backoff(1, 2, 8)
    for most in (1, 2, 4, 8, 8):
        assert most / 2 <= next(pauses) <= most


async def test_a_failing_task_is_logged_and_forgotten() -> None:
    tasks = TaskSet("test")

    async def fail() -> None:
        raise RuntimeError("broken")

    with capture_logs() as logs:
        task = tasks.start(fail(), "failing")
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [line["task"] for line in logs] == ["test/failing"]
    assert len(tasks) == 0


async def test_closing_a_set_cancels_its_tasks_and_waits_for_them() -> None:
    tasks = TaskSet("test")
    task = tasks.start(asyncio.Event().wait(), "waiting")
    await tasks.close()
    await tasks.close()
    assert task.cancelled()
    assert len(tasks) == 0


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_the_first_signal_asks_and_the_second_cancels(number: signal.Signals) -> None:
    begun = asyncio.Event()

    async def main() -> None:
        asked = asked_to_stop()
        begun.set()
        await asked.wait()
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(main())
    await begun.wait()
    try:
        os.kill(os.getpid(), number)
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        for each in STOP_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(each)

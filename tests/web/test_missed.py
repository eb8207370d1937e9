from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from realtime_core.hub.replay import Lack, Older
from realtime_core.metrics import Metrics
from realtime_core.web.missed import (
    AT_A_TIME,
    FAILURE_KEEP_S,
    KEEP_S,
    MOST_KEPT,
    STEP,
    TIMEOUT_S,
    Missed,
)
from tests.hub.examples import final
from tests.virtual_time import in_virtual_time
from tests.web.fake_table import FakeTable


def table_of(*seqs: int) -> FakeTable:
    table = FakeTable()
    for seq in seqs:
        table.accept(final(seq, utterance=f"u{seq}"), "e")
    return table


def missed(
    table: FakeTable, metrics: Metrics | None = None, *, most_rows: int = 100, **options: Any
) -> Missed:
    zero_at = options.pop("zero_at", table.zero_at)
    return Missed(table, table.flush, zero_at, metrics or Metrics(), most_rows=most_rows, **options)


def lacking(after: int, to: int) -> Lack:
    return Lack("e", after=after, to=to, given=to + 1)


def found(older: Older | None) -> tuple[list[int], int]:
    assert older is not None
    return [entry.seq for entry in older.entries], older.to


def outcomes(metrics: Metrics) -> dict[str, float]:
    kinds = ("whole", "part", "failed")
    name = "history_reads_total"
    values = {k: metrics.registry.get_sample_value(name, {"outcome": k}) for k in kinds}
    return {kind: value for kind, value in values.items() if value}


async def test_all_that_was_missed_is_read_after_what_is_accepted_was_written() -> None:
    table, metrics = table_of(1, 3, 7), Metrics()
    older = await missed(table, metrics).read("weekly", lacking(0, 6))
    assert found(older) == ([1, 3, 7], 7)
    assert outcomes(metrics) == {"whole": 1}


async def test_finals_that_wait_to_be_stored_make_it_a_part() -> None:
    table, metrics = table_of(1, 3), Metrics()
    await table.flush()
    table.writes = False
    table.accept(final(7, utterance="u7"), "e")
    older = await missed(table, metrics).read("weekly", lacking(2, 8))
    assert found(older) == ([1, 3], 0)
    assert outcomes(metrics) == {"part": 1}


async def test_of_too_many_finals_the_last_are_given_and_they_are_a_part() -> None:
    table = table_of(*range(1, 31))
    older = await missed(table, most_rows=10).read("weekly", lacking(0, 30))
    assert found(older) == (list(range(21, 31)), 0)


async def test_just_as_many_as_are_allowed_are_all_of_it() -> None:
    older = await missed(table_of(*range(1, 11)), most_rows=10).read("weekly", lacking(0, 10))
    assert found(older) == (list(range(1, 11)), 11)


async def test_a_session_without_a_clock_has_no_finals_yet() -> None:
    table = table_of()
    assert await missed(table, zero_at=lambda _: None).read("weekly", lacking(0, 9)) is None
    assert table.asked == []


async def test_a_table_that_is_away_is_told_once_and_means_nothing() -> None:
    table, metrics = table_of(1), Metrics()
    table.is_away = True
    with capture_logs() as logs:
        reader = missed(table, metrics)
        for _ in range(3):
            assert await reader.read("weekly", lacking(0, 9)) is None
    assert [line["event"] for line in logs] == ["Missed finals cannot be read"]
    assert outcomes(metrics) == {"failed": 1}


def test_five_hundred_viewers_share_a_failure_and_who_comes_later_asks_again() -> None:
    async def scene() -> None:
        table, metrics = table_of(1), Metrics()
        table.is_away = True
        reader = missed(table, metrics)
        reads = [reader.read("weekly", lacking(n % 50, 60)) for n in range(500)]
        assert set(await asyncio.gather(*reads)) == {None}
        assert (table.asked, outcomes(metrics)) == ([0], {"failed": 1})
        await asyncio.sleep(FAILURE_KEEP_S)
        table.is_away = False
        assert found(await reader.read("weekly", lacking(0, 9))) == ([1], 10)

    in_virtual_time(scene())


def test_a_part_is_shared_by_those_who_wait_for_it() -> None:
    async def scene() -> None:
        table = table_of(1)
        table.writes = False
        table.answers.clear()
        asyncio.get_running_loop().call_later(1, table.answers.set)
        reader = missed(table)
        await asyncio.gather(*(reader.read("weekly", lacking(0, 9)) for _ in range(50)))
        assert table.asked == [0]

    in_virtual_time(scene())


def test_answers_that_are_not_kept_any_more_are_let_go_of() -> None:
    async def scene() -> None:
        reader = missed(table_of(1))
        for number in range(5 * MOST_KEPT):
            await reader.read("weekly", lacking(number * STEP, 10**6))
        assert held() - before <= MOST_KEPT

    def held() -> int:
        gc.collect()
        return sum(isinstance(each, Older) for each in gc.get_objects())

    before = held()
    in_virtual_time(scene())


async def test_what_counts_as_written_is_the_epoch_that_is_asked_for() -> None:
    table, asked = table_of(1), list[str]()

    async def flush(epoch: str) -> bool:
        asked.append(epoch)
        return await table.flush()

    await Missed(table, flush, table.zero_at, Metrics()).read("weekly", lacking(0, 9))
    assert asked == ["e"]


def test_a_table_that_does_not_answer_is_waited_for_two_seconds() -> None:
    async def scene() -> None:
        table = table_of(1)
        table.answers.clear()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await missed(table).read("weekly", lacking(0, 9)) is None
        assert loop.time() - began == pytest.approx(TIMEOUT_S)

    in_virtual_time(scene())


def test_five_hundred_viewers_that_come_back_ask_once() -> None:
    async def scene() -> None:
        table, metrics = table_of(*range(1, 301)), Metrics()
        reader = missed(table, metrics, most_rows=1000)
        lacks = [lacking(STEP + n % 50, 310) for n in range(500)]
        answers = await asyncio.gather(*(reader.read("weekly", lack) for lack in lacks))
        assert {id(each) for each in answers} == {id(answers[0])}
        assert found(answers[0]) == (list(range(STEP + 1, 301)), 311)
        assert table.asked == [STEP]

    in_virtual_time(scene())


def test_an_answer_is_kept_for_some_seconds() -> None:
    async def scene() -> None:
        table = table_of(1)
        reader = missed(table)
        for _ in range(2):
            await reader.read("weekly", lacking(0, 9))
        assert table.asked == [0]
        await asyncio.sleep(KEEP_S)
        await reader.read("weekly", lacking(0, 9))
        assert table.asked == [0, 0]

    in_virtual_time(scene())


async def test_an_answer_is_not_used_when_the_hub_has_forgotten_more_since() -> None:
    table = table_of(1)
    reader = missed(table)
    await reader.read("weekly", lacking(0, 9))
    table.accept(final(20, utterance="u20"), "e")
    assert found(await reader.read("weekly", lacking(0, 20))) == ([1, 20], 21)


async def test_an_answer_is_for_one_run_of_one_session() -> None:
    table = table_of(1)
    reader = missed(table)
    await reader.read("weekly", lacking(0, 9))
    other = await reader.read("weekly", replace(lacking(0, 9), epoch="f"))
    assert found(other) == ([], 10)
    await reader.read("daily", lacking(0, 9))
    assert len(table.asked) == 3


def test_few_ask_at_a_time_and_few_answers_are_kept() -> None:
    async def scene() -> None:
        table = table_of(1)
        reader = missed(table)
        lacks = [lacking(n * STEP, 10**6) for n in range(MOST_KEPT + 2)]
        asyncio.get_running_loop().call_later(1, table.answers.set)
        table.answers.clear()
        await asyncio.gather(*(reader.read("weekly", lack) for lack in lacks))
        assert table.most_at_once == AT_A_TIME
        await reader.read("weekly", lacks[-1])
        assert len(table.asked) == MOST_KEPT + 2
        await reader.read("weekly", lacks[0])
        assert len(table.asked) == MOST_KEPT + 3

    in_virtual_time(scene())


def test_who_leaves_while_asking_does_not_take_the_answer_from_the_others() -> None:
    async def scene() -> None:
        table = table_of(1)
        table.answers.clear()
        reader = missed(table)
        first, second = (
            asyncio.ensure_future(reader.read("weekly", lacking(0, 9))) for _ in range(2)
        )
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(0.5)
        table.answers.set()
        assert found(await second) == ([1], 10)

    in_virtual_time(scene())


def test_many_that_get_their_answer_at_once_take_turns_with_other_work() -> None:
    async def scene() -> None:
        table = table_of(1)
        table.answers.clear()
        reader = missed(table)
        asking = [asyncio.ensure_future(reader.read("weekly", lacking(0, 9))) for _ in range(50)]
        await asyncio.sleep(1)
        table.answers.set()
        turns = 0
        while not asking[-1].done():
            await asyncio.sleep(0)
            turns += 1
        assert turns >= len(asking)

    in_virtual_time(scene())


async def test_who_comes_after_a_part_was_read_may_get_the_whole() -> None:
    table = table_of(1)
    reader = missed(table)
    table.writes = False
    assert found(await reader.read("weekly", lacking(0, 9))) == ([], 0)
    table.writes = True
    assert found(await reader.read("weekly", lacking(0, 9))) == ([1], 10)

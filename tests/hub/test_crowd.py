"""Messages on their way to a crowd that is larger than a slice."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core.hub import crowd as crowds
from realtime_core.hub import wire
from realtime_core.hub.cohort import Listener
from realtime_core.hub.crowd import MOST_UNDER_WAY, SLICE, Broadcast, Crowd
from tests.hub.examples import FakeListener

LIMIT = 1_000


def frame(number: int) -> bytes:
    return wire.frame(b'{"type":"n","n":%d}' % number)


class Audience:
    """A crowd, and what became of its messages.

    Attributes:
        over: The messages that are over, in that order.
        left_out: Who was left out of which message.
    """

    def __init__(self, size: int = 0) -> None:
        self.crowd = Crowd()
        self.over: list[int] = []
        self.left_out: list[tuple[int, Listener]] = []
        self.listeners = [self.comes() for _ in range(size)]

    def comes(self, *, told: int = 0) -> FakeListener:
        listener = FakeListener()
        self.crowd.welcome(listener, frame(told), LIMIT)
        return listener

    def spread(self, number: int, *, hang_up: bool = False) -> int:
        def leave_out(listeners: list[Listener]) -> None:
            self.left_out += [(number, listener) for listener in listeners]
            for listener in listeners if hang_up else ():
                self.crowd.forget(listener)

        return self.crowd.spread(
            Broadcast(frame(number), leave_out, lambda: self.over.append(number))
        )

    def have(self, *numbers: int) -> int:
        """Return how many have read these, and nothing else but what they were welcomed with."""
        return sum(seen(listener) == [0, *numbers] for listener in self.listeners)


def seen(listener: FakeListener) -> list[int]:
    return [message["n"] for message in listener.messages]


async def turns(number: int = 1) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_crowd_of_a_slice_is_written_to_at_once() -> None:
    audience = Audience(SLICE)
    assert audience.spread(1) == audience.have(1) == SLICE
    assert audience.over == [1]


async def test_of_a_larger_one_a_slice_is_written_to_in_each_turn() -> None:
    audience = Audience(3 * SLICE + 7)
    reached = [audience.spread(1) and audience.have(1)]
    while not audience.over:
        await turns()
        reached.append(audience.have(1))
    assert reached == [SLICE, 2 * SLICE, 3 * SLICE, 3 * SLICE + 7]


async def test_what_else_there_is_to_do_comes_in_between() -> None:
    audience = Audience(3 * SLICE)
    seen_by_then = []
    asyncio.get_running_loop().call_soon(lambda: seen_by_then.append(audience.have(1)))
    audience.spread(1)
    await turns(4)
    assert seen_by_then == [SLICE]
    assert audience.over == [1]


async def test_nothing_overtakes_and_nobody_starves_however_fast_messages_follow() -> None:
    audience = Audience(4 * SLICE)
    for number in range(1, 21):
        assert audience.spread(number) == 4 * SLICE
        await turns()
    await turns(4)
    assert audience.have(*range(1, 21)) == 4 * SLICE
    assert audience.over == list(range(1, 21))


async def test_messages_that_follow_each_other_fast_take_no_more_turns_than_one() -> None:
    audience = Audience(3 * SLICE)
    for number in range(1, 21):
        audience.spread(number)
    assert audience.have(1) == SLICE  # the first was written before there were others
    await turns(2)
    assert audience.over == [1]
    await turns(3)
    assert audience.have(*range(1, 21)) == 3 * SLICE
    assert audience.over == list(range(1, 21))


async def test_one_turn_writes_no_more_bytes_to_each_than_so_many_or_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crowds, "MOST_TOGETHER_BYTES", 2 * len(frame(1)))
    audience = Audience(2 * SLICE)
    for number in range(1, 6):
        audience.spread(number)
    reached = []
    for _ in range(5):
        await turns()
        reached.append([len(seen(each)) - 1 for each in audience.listeners[::SLICE]])
    assert reached == [[1, 2], [3, 2], [3, 4], [5, 4], [5, 5]]


async def test_no_more_than_so_many_are_under_way() -> None:
    audience = Audience(2 * SLICE)
    for number in range(1, MOST_UNDER_WAY + 1):
        audience.spread(number)
    assert audience.over == []
    audience.spread(MOST_UNDER_WAY + 1)
    everything = range(1, MOST_UNDER_WAY + 2)
    assert audience.have(*everything) == 2 * SLICE
    assert audience.over == list(everything)


async def test_who_comes_in_between_gets_what_follows_and_nothing_from_before() -> None:
    audience = Audience(2 * SLICE + 1)
    audience.spread(1)
    newcomer = audience.comes(told=1)
    assert audience.spread(2) == 2 * SLICE + 2
    await turns(4)
    assert seen(newcomer) == [1, 2]
    assert audience.have(1, 2) == 2 * SLICE + 1


async def test_who_is_welcomed_again_first_gets_what_is_under_way() -> None:
    audience = Audience(2 * SLICE)
    audience.spread(1)
    last = audience.listeners[-1]
    audience.crowd.welcome(last, frame(9), LIMIT)
    await turns(2)
    assert seen(last) == [0, 1, 9]
    assert len(audience.crowd) == 2 * SLICE


async def test_who_leaves_in_between_gets_nothing_more() -> None:
    audience = Audience(2 * SLICE)
    leaver = audience.listeners[-1]
    audience.spread(1)
    assert audience.crowd.forget(leaver)
    assert not audience.crowd.forget(leaver)
    await turns(2)
    assert seen(leaver) == [0]
    assert audience.have(1) == 2 * SLICE - 1
    assert audience.over == [1]


async def test_a_message_is_over_even_if_those_who_wait_for_it_all_leave() -> None:
    audience = Audience(2 * SLICE)
    audience.spread(1)
    for listener in audience.listeners[SLICE:]:
        audience.crowd.forget(listener)
    assert len(audience.crowd) == len(list(audience.crowd)) == SLICE
    assert audience.spread(2) == SLICE
    await turns(2)
    assert audience.over == [1, 2]
    assert audience.have(1, 2) == SLICE


async def test_a_crowd_that_has_shrunk_is_written_to_at_once_again() -> None:
    audience = Audience(4 * SLICE)
    for listener in [each for at, each in enumerate(audience.listeners) if at % 5]:
        audience.crowd.forget(listener)
    assert audience.spread(1) == audience.have(1) == 4 * SLICE // 5
    assert audience.over == [1]


async def test_who_has_too_much_waiting_is_left_out_of_all_that_follows() -> None:
    audience = Audience(3 * SLICE)
    frozen = audience.listeners[-1]
    frozen.frozen = True
    frozen.write(frame(0) * LIMIT)
    audience.spread(1)
    audience.spread(2, hang_up=True)
    audience.spread(3)
    await turns(3)
    assert audience.left_out == [(1, frozen), (2, frozen)]
    assert audience.have(1, 2, 3) == 3 * SLICE - 1


async def test_what_is_under_way_can_be_finished_in_this_turn() -> None:
    audience = Audience(5 * SLICE)
    audience.spread(1)
    audience.crowd.finish()
    audience.crowd.finish()
    assert audience.have(1) == 5 * SLICE
    assert audience.over == [1]
    await turns(3)
    assert audience.have(1) == 5 * SLICE


@pytest.mark.parametrize("most", [1, 3, 100])
async def test_comings_and_goings_at_every_turn_lose_and_double_nothing(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowds, "SLICE", most)
    audience = Audience(20)
    expected: dict[FakeListener, list[int]] = {each: [0] for each in audience.listeners}
    for number in range(1, 60):
        _someone(expected, number, audience)
        audience.spread(number)
        for listener in audience.crowd:
            assert isinstance(listener, FakeListener)
            expected[listener].append(number)
        if number % 3:
            await turns()
    audience.crowd.finish()
    for listener in audience.crowd:
        assert isinstance(listener, FakeListener)
        assert seen(listener) == expected[listener]


def _someone(expected: dict[FakeListener, list[int]], number: int, audience: Audience) -> None:
    """Let somebody come, or go, or ask again."""
    chosen = list(expected)[number * 7 % len(expected)]
    if number % 4 == 0:
        audience.crowd.forget(chosen)
    elif number % 4 == 1:
        expected[audience.comes(told=number - 1)] = [number - 1]
    elif chosen in audience.crowd:
        expected[chosen].append(100 + number)
        audience.crowd.welcome(chosen, frame(100 + number), LIMIT)

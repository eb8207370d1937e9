from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.store.batcher import Batcher

NOW = float("-inf")


def batcher(arrivals: Sequence[float] = ()) -> Batcher:
    made = Batcher(max_rows=3, max_wait_s=2.0)
    for at in arrivals:
        made.arrived(at)
    return made


def test_nothing_is_never_due() -> None:
    assert batcher().due_at(0) is None
    assert batcher([1.0]).due_at(0) is None


def test_a_few_rows_are_due_when_the_oldest_has_waited_long_enough() -> None:
    assert batcher([10.0, 11.5]).due_at(2) == 12.0


def test_a_full_batch_is_due_at_once() -> None:
    assert batcher([10.0, 10.1, 10.2]).due_at(3) == NOW


def test_what_a_batch_left_behind_is_dated_by_its_own_arrival() -> None:
    assert batcher([10.0, 10.1, 10.2, 10.9]).due_at(1) == 12.9


def test_rows_of_an_earlier_run_are_due_at_once() -> None:
    assert batcher().due_at(1) == NOW
    assert batcher([10.0]).due_at(2) == NOW


@given(
    steps=st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60),
    max_rows=st.integers(1, 7),
    max_wait_s=st.floats(0, 4),
)
def test_no_row_waits_too_long_and_no_batch_is_late(
    steps: list[tuple[float, bool]], max_rows: int, max_wait_s: float
) -> None:
    decider = Batcher(max_rows=max_rows, max_wait_s=max_wait_s)
    pending: list[float] = []
    now = 0.0
    for wait_s, writes in steps:
        now += wait_s
        if writes:
            del pending[:max_rows]
        else:
            decider.arrived(now)
            pending.append(now)
        expected = pending[0] + max_wait_s if pending else None
        assert decider.due_at(len(pending)) == (NOW if len(pending) >= max_rows else expected)

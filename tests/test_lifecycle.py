import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.lifecycle import TRANSITIONS, Signal, allows, next_state
from realtime_core.model import SessionState


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(SessionState)


def test_a_meeting_that_loses_its_publisher_twice_and_ends() -> None:
    state = SessionState.WAITING_FOR_EGRESS
    signals = [
        Signal.PUBLISHED,
        Signal.PUBLISHER_LOST,
        Signal.PUBLISHED,
        Signal.PUBLISHED,  # a take-over
        Signal.PUBLISHER_LOST,
        Signal.GRACE_OVER,
        Signal.DRAINED,
    ]
    for signal in signals:
        state = next_state(state, signal)
    assert state is SessionState.ENDED


def test_what_is_not_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="DRAINED means nothing in state LIVE"):
        next_state(SessionState.LIVE, Signal.DRAINED)


@given(st.lists(st.sampled_from(Signal)))
def test_nothing_leaves_the_end_and_draining_only_leads_there(signals: list[Signal]) -> None:
    state = SessionState.WAITING_FOR_EGRESS
    seen = [state]
    for signal in signals:
        if allows(state, signal):
            state = next_state(state, signal)
            seen.append(state)
    if SessionState.DRAINING in seen:
        after = seen[seen.index(SessionState.DRAINING) :]
        assert set(after) <= {SessionState.DRAINING, SessionState.ENDED}

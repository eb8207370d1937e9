"""Who was reported when, by the votes of several clients."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.transcript.turns import LEFT_S, MOST_CLIENTS, MOST_SAMPLES, Reports, Turn


def reports(*samples: tuple[str, float, str | None], hold_s: float = 1.5) -> Reports:
    found = Reports(hold_s=hold_s)
    for client, at_s, identity in samples:
        found.add(client, at_s, identity)
    return found


def saw(
    client: str, identity: str | None, from_s: float, to_s: float, every_s: float = 0.5
) -> list[tuple[str, float, str | None]]:
    count = round((to_s - from_s) / every_s)
    return [(client, from_s + step * every_s, identity) for step in range(count)]


def spoken(found: Reports, from_s: float, to_s: float) -> dict[str, float]:
    said = found.votes(from_s, to_s).spoken_s([(from_s, to_s)])
    return {who: seconds for who, seconds in said.items() if seconds > 1e-9}


def test_a_change_lies_in_the_middle_between_two_samples() -> None:
    found = reports(*saw("x", "alice", 10, 12), *saw("x", "bob", 12, 14))
    assert found.turns(0, 30) == [Turn(10, 11.75, "alice"), Turn(11.75, 14, "bob")]


def test_several_clients_date_a_change_better_than_one() -> None:
    phases_s = {"x": 0.0, "y": 0.15, "z": 0.3}
    found = Reports(hold_s=1.5)
    for client, phase_s in phases_s.items():
        for step in range(12):
            at_s = 10 + phase_s + step / 2
            found.add(client, at_s, "alice" if at_s < 12.4 else "bob")
    change_s = found.turns(11, 14)[1].from_s
    assert change_s == pytest.approx(12.4, abs=0.1)


def test_nobody_ends_a_turn() -> None:
    found = reports(*saw("x", "alice", 10, 12), ("x", 12, None), ("x", 12.5, None))
    assert found.turns(0, 30) == [Turn(10, 11.75, "alice"), Turn(11.75, 13, None)]


def test_an_open_turn_ends_when_the_samples_stop() -> None:
    found = reports(*saw("x", "alice", 10, 12))
    assert found.turns(0, 60) == [Turn(10, 12, "alice")]


def test_flicker_is_no_turn() -> None:
    samples = [*saw("x", "alice", 10, 12), ("x", 12, "bob"), *saw("x", "alice", 12.05, 14)]
    assert [turn.identity for turn in reports(*samples).turns(0, 30)] == ["alice"]


def test_who_is_reported_by_most_has_the_floor_and_all_have_their_share() -> None:
    found = reports(
        *saw("x", "alice", 10, 12), *saw("y", "alice", 10, 12), *saw("z", "bob", 10, 12)
    )
    assert found.turns(0, 30) == [Turn(10, 12, "alice")]
    assert spoken(found, 10, 12) == pytest.approx({"alice": 4 / 3, "bob": 2 / 3})


def test_a_client_that_is_stuck_counts_for_ever_less() -> None:
    found = Reports(hold_s=1.5)
    for step in range(240):  # two honest ones take turns of five seconds
        for client in ("x", "y"):
            found.add(client, step / 2, "alice" if step % 20 < 10 else "bob")
        found.add("stuck", step / 2, "carol")
    assert spoken(found, 100, 105)["carol"] == pytest.approx(5 / 3)
    assert found.weigh(115)
    assert spoken(found, 100, 105)["carol"] < 0.25


def test_of_two_that_contradict_each_other_the_one_that_never_changes_is_stuck() -> None:
    found = Reports(hold_s=1.5)
    for step in range(240):
        found.add("x", step / 2, "alice" if step % 20 < 10 else "bob")
        found.add("stuck", step / 2, "alice")
    found.weigh(115)
    bobs = [turn for turn in found.turns(80, 112) if turn.identity == "bob" and turn.from_s > 80]
    assert [turn.to_s - turn.from_s for turn in bobs] == pytest.approx([5.0] * 3, abs=0.01)


def test_where_only_a_client_without_trust_reports_there_is_less_than_a_vote() -> None:
    found = Reports(hold_s=1.5)
    for step in range(240):
        if not 100 <= step / 2 < 110:  # the honest one is away
            found.add("x", step / 2, "alice" if step % 20 < 10 else "bob")
        found.add("stuck", step / 2, "alice")
    found.weigh(118)
    assert spoken(found, 103, 108)["alice"] < 2.5


def test_only_what_is_new_is_said_to_be() -> None:
    found = reports(*saw("x", "alice", 10, 12))
    assert found.add("x", 12, "alice") is None  # the next one
    assert found.add("x", 11.7, "alice") is None  # late, and as all others
    assert found.add("x", 11, "alice") is None  # repeated
    assert found.add("x", 12.5, "bob") == 12
    assert found.add("y", 12.5, "bob") == 12.5
    assert found.add("x", 11.2, "bob") == 11


def test_memory_is_bounded() -> None:
    found = Reports(hold_s=1.5)
    for step in range(MOST_SAMPLES * 2):
        found.add("x", step / 2, "alice")
    assert len(found) == MOST_SAMPLES
    found.forget(1000)
    for number in range(MOST_CLIENTS * 2):
        found.add(f"client {number}", 1000, "alice")
    assert len(found) == MOST_CLIENTS
    found.forget(1001)
    assert len(found) == 0


def test_of_too_many_clients_those_who_report_are_kept() -> None:
    found = Reports(hold_s=1.5)
    for step in range(20):
        for number in range(MOST_CLIENTS + 10):
            found.add(f"client {number}", 10 + step / 2, "alice" if step < 14 else "bob")
    assert [turn.identity for turn in found.turns(0, 60)] == ["alice", "bob"]
    assert len(found) == 20 * MOST_CLIENTS
    assert found.add("another", 19.5, "carol") is None
    assert found.add("another", 19.5 + LEFT_S, "carol") == 19.5 + LEFT_S  # they have left


def own(*samples: tuple[str, float, str | None]) -> Reports:
    """Return the reports of clients that may report only themselves."""
    found = Reports(hold_s=1.5)
    for client, at_s, identity in sorted(samples, key=lambda each: each[1]):
        found.add(client, at_s, identity, is_own=True)
    return found


def test_who_reports_only_itself_says_nothing_against_others() -> None:
    others = [sample for name in "bcdefg" for sample in saw(name, None, 10, 20)]
    found = own(*saw("a", "alice", 10, 12), *saw("a", None, 12, 20), *others)
    assert spoken(found, 10, 12)["alice"] == pytest.approx(1.75, abs=0.1)
    assert found.turns(0, 60)[0] == Turn(10, 11.75, "alice")
    assert len(found) == 5  # that they go on to be silent is nothing new
    silent = [(name, 11.0, None) for name in "bcd"]
    speaking = own(*saw("a", "alice", 10, 12), *((name, 10.5, name) for name in "bcd"), *silent)
    newest = speaking.newest(12)
    assert max(newest, key=lambda who: newest[who][0]) == "alice"


def test_clients_that_report_only_themselves_do_not_distrust_each_other() -> None:
    turns = [("abc"[turn % 3], 3.7 * turn) for turn in range(30)]
    samples = [each for who, at_s in turns for each in saw(who, who * 2, at_s, at_s + 3.7)]
    found = own(*samples)
    found.weigh(110)
    assert all(spoken(found, at_s + 1, at_s + 3)[who * 2] > 1.5 for who, at_s in turns[5:])


def test_one_that_is_stuck_with_itself_does_not_own_the_meeting() -> None:
    turns = [("abc"[turn % 3], 4.0 * turn) for turn in range(30)]
    samples = [each for who, at_s in turns for each in saw(who, who * 2, at_s, at_s + 4)]
    found = own(*samples, *saw("z", "zoe", 0, 120))
    found.weigh(120)
    said = spoken(found, 61, 63)
    assert said["zoe"] < 0.2 < 1.5 < max(said.values())


def test_a_long_talk_with_questions_is_not_stuck() -> None:
    questions = [each for at_s in range(12, 120, 20) for each in saw("b", "bob", at_s, at_s + 2)]
    found = own(*saw("a", "alice", 0, 120), *questions)
    found.weigh(120)
    assert spoken(found, 100, 110)["alice"] > 4


SAMPLES = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.floats(0, 30).map(lambda at_s: round(at_s, 1)),
        st.sampled_from(["alice", "bob", None]),
    ),
    max_size=60,
)


@given(SAMPLES, st.integers())
def test_neither_order_nor_repetition_matters(
    samples: list[tuple[str, float, str | None]], seed: int
) -> None:
    shuffled = [*samples, *samples[::2]]
    random.Random(seed).shuffle(shuffled)
    one, other = reports(*samples), reports(*shuffled)
    one.weigh(30)
    other.weigh(30)
    assert one.turns(0, 40) == other.turns(0, 40)


@given(SAMPLES)
def test_shares_of_a_moment_are_at_most_one_and_turns_lie_in_order(
    samples: list[tuple[str, float, str | None]],
) -> None:
    found = reports(*samples)
    for from_s, to_s, shares, heard in found.votes(0, 40).pieces():
        assert from_s < to_s
        assert sum(shares.values()) <= 1 + 1e-9
        assert heard or not shares
    turns = found.turns(0, 40)
    assert all(one.to_s <= other.from_s for one, other in pairwise(turns))

"""What somebody is called: the newest name, whoever goes on with an older one."""

import pytest

from realtime_core.transcript.names import LEFT_S, MOST_CLAIMS, Names

ALICE = "alice:1"


@pytest.fixture
def names() -> Names:
    return Names()


def test_who_has_no_name_is_called_by_the_identity(names: Names) -> None:
    assert not names.learn(ALICE, " ", 10, "one")
    assert names.name_of(ALICE) == ALICE
    assert names.learn(ALICE, "Alice", 11, "one")
    assert names.name_of(ALICE) == "Alice"


def test_another_name_counts_at_once_and_so_does_the_way_back(names: Names) -> None:
    for at_s, name in enumerate(["Guest", "Alice", "Guest"]):
        names.learn(ALICE, name, at_s, "one")
        assert names.name_of(ALICE) == name


def test_a_client_that_goes_on_with_an_old_name_does_not_bring_it_back(names: Names) -> None:
    names.learn(ALICE, "Guest", 10, "one")
    assert names.learn(ALICE, "Alice", 11, "two")
    assert not names.learn(ALICE, "Guest", 12, "one")
    assert names.name_of(ALICE) == "Alice"
    assert not names.learn(ALICE, "Alice", 13, "one")  # it has seen the change now
    assert names.learn(ALICE, "Alice Smith", 14, "one")


def test_a_report_that_comes_late_does_not_bring_an_old_name_back(names: Names) -> None:
    names.learn(ALICE, "Alice", 11, "one")
    assert not names.learn(ALICE, "Guest", 10, "one")
    assert not names.learn(ALICE, "Alice", 12, "one")
    assert names.name_of(ALICE) == "Alice"


def test_a_page_that_came_back_with_the_old_name_does_not_bring_it_back(names: Names) -> None:
    names.learn(ALICE, "Guest", 10, "viewer 1")
    names.learn(ALICE, "Alice", 11, "viewer 2")
    assert not names.learn(ALICE, "Guest", 12, "viewer 3")  # which was viewer 1
    assert names.learn(ALICE, "Alice Smith", 13, "viewer 4")


def test_of_too_many_clients_those_who_report_are_kept(names: Names) -> None:
    for second in range(5):
        for number in range(MOST_CLAIMS + 5):
            names.learn(ALICE, "Alice" if number % 2 else "Guest", 10 + second, f"client {number}")
    assert names.name_of(ALICE) == "Alice"
    assert not names.learn(ALICE, "Al", 14, "another")
    assert names.learn(ALICE, "Al", 14 + LEFT_S, "another")  # they have left

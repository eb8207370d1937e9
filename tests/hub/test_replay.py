from hypothesis import given
from hypothesis import strategies as st

from realtime_core.hub.replay import MOST_DRAFTS, CatchUp, Entry, Lack, Older, Replay


def entry(seq: int, utterance: str, *, rev: int = 1, is_final: bool = True) -> Entry:
    return Entry(utterance, seq, rev, is_final, f"{utterance}.{rev}".encode())


def replay(*entries: Entry, history_size: int = 3, seq: int = 0) -> Replay:
    held = Replay("e", history_size=history_size, seq=seq)
    for each in entries:
        held.add(each)
    return held


def test_a_newcomer_gets_the_last_finals_and_the_open_drafts() -> None:
    held = replay(
        entry(1, "a"),
        entry(2, "b", is_final=False),
        entry(3, "b", rev=2, is_final=False),
        entry(4, "c"),
    )
    assert held.catch_up() == CatchUp(4, [b"a.1", b"c.1"], [b"b.2"], None)


def test_a_final_ends_its_draft_and_no_draft_reopens_it() -> None:
    held = replay(entry(1, "a", is_final=False), entry(2, "a", rev=2))
    assert not held.add(entry(3, "a", rev=3, is_final=False))
    assert held.catch_up() == CatchUp(2, [b"a.2"], [], None)


def test_a_later_revision_takes_the_place_of_the_earlier() -> None:
    held = replay(entry(1, "a"), entry(2, "b"), entry(3, "a", rev=2))
    assert held.catch_up().history == [b"b.1", b"a.2"]
    assert held.catch_up(2, "e") == CatchUp(3, [b"a.2"], [], True)


def test_what_is_held_already_is_no_news() -> None:
    held = replay(entry(1, "a", rev=2), entry(2, "b", is_final=False))
    assert not held.add(entry(3, "a", rev=2))
    assert not held.add(entry(3, "a", rev=1))
    assert not held.add(entry(3, "b", is_final=False))
    assert held.seq == 2


def test_a_gap_is_bridged_while_all_of_it_is_held() -> None:
    held = replay(entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(4, "d"), entry(5, "e"))
    assert held.catch_up(5, "e") == CatchUp(5, [], [], True)
    assert held.catch_up(4, "e").history == [b"e.1"]
    assert held.catch_up(2, "e") == CatchUp(5, [b"c.1", b"d.1", b"e.1"], [], True)
    assert held.catch_up(1, "e") == CatchUp(5, [b"c.1", b"d.1", b"e.1"], [], False)


def test_another_numbering_or_a_number_not_given_yet_is_no_position() -> None:
    held = replay(entry(1, "a"), entry(2, "b"))
    for since, epoch in ((1, "other"), (1, None), (3, "e")):
        assert held.catch_up(since, epoch) == CatchUp(2, [b"a.1", b"b.1"], [], False)


def test_a_number_that_never_came_is_a_gap() -> None:
    held = replay(entry(1, "a"), entry(4, "b"))
    assert not held.catch_up(1, "e").recovered
    assert held.catch_up(3, "e").recovered


def test_without_history_only_those_who_missed_nothing_recover() -> None:
    held = replay(entry(1, "a"), entry(2, "b", is_final=False), history_size=0)
    assert held.catch_up() == CatchUp(2, [], [b"b.1"], None)
    assert held.catch_up(1, "e").recovered
    assert not held.catch_up(0, "e").recovered


def test_drafts_that_nobody_ends_are_bounded() -> None:
    drafts = [entry(n + 1, str(n), is_final=False) for n in range(MOST_DRAFTS + 2)]
    assert len(replay(*drafts).catch_up().drafts) == MOST_DRAFTS


def test_numbers_go_on_after_what_an_earlier_process_sent_and_it_is_no_longer_held() -> None:
    held = replay(entry(8, "b"), seq=7)
    assert held.seq == 8
    assert held.catch_up(7, "e") == CatchUp(8, [b"b.1"], [], True)
    assert held.catch_up(6, "e") == CatchUp(8, [b"b.1"], [], False)


def test_nobody_lacks_what_is_held() -> None:
    held = replay(entry(1, "a"), entry(2, "b"), entry(3, "c"), entry(4, "d"))
    assert held.lack() is held.lack(1, "e") is held.lack(4, "e") is None
    assert replay(entry(1, "a")).lack(0, "other") is None
    assert replay(entry(1, "a")).lack() is None


def test_a_viewer_that_was_away_for_long_lacks_what_followed_its_position() -> None:
    held = replay(*(entry(n, str(n)) for n in range(1, 8)))
    assert held.lack(2, "e") == Lack("e", after=2, to=4, given=7)


def test_a_viewer_without_a_position_in_this_run_lacks_the_whole_of_it() -> None:
    held = replay(*(entry(n, str(n)) for n in range(1, 8)))
    whole = Lack("e", after=0, to=4, given=7)
    assert held.lack(2, "other") == held.lack(2, None) == held.lack(8, "e") == whole


def test_a_newcomer_after_a_restart_lacks_the_last_finals() -> None:
    held = replay(entry(101, "a"), seq=100, history_size=3)
    assert held.lack() == Lack("e", after=70, to=100, given=101)
    assert replay(entry(8, "a"), seq=7, history_size=0).lack() is None
    assert replay(seq=7).lack() == Lack("e", after=0, to=7, given=7)


def older(*entries: Entry, after: int = 0, to: int, epoch: str = "e") -> Older:
    return Older(epoch, after, to, entries)


def test_what_the_table_has_and_what_is_held_make_one_history() -> None:
    held = replay(entry(6, "c"), seq=5)
    found = older(entry(1, "a"), entry(4, "b"), to=5)
    assert held.catch_up(0, "e", found) == CatchUp(6, [b"a.1", b"b.1", b"c.1"], [], True)
    assert held.catch_up(1, "e", found).history == [b"b.1", b"c.1"]
    assert held.catch_up(None, None, found) == CatchUp(6, [b"a.1", b"b.1", b"c.1"], [], None)
    assert held.catch_up(9, "z", found) == CatchUp(6, [b"a.1", b"b.1", b"c.1"], [], False)


def test_an_utterance_that_both_have_is_given_once_in_its_latest_revision() -> None:
    held = replay(entry(6, "a", rev=2), entry(7, "b"), seq=5)
    found = older(entry(1, "a"), entry(9, "b", rev=2), to=5)
    assert held.catch_up(0, "e", found).history == [b"a.2", b"b.2"]


def test_the_table_bridges_only_from_where_it_was_read_to_where_memory_begins() -> None:
    held = replay(entry(6, "c"), seq=5)
    for found in (
        older(entry(4, "b"), after=3, to=5),  # read from too late on
        older(entry(1, "a"), to=4),  # more was forgotten since
        older(entry(1, "a"), to=0),  # nothing is certain
    ):
        caught_up = held.catch_up(1, "e", found)
        assert caught_up.recovered is False
        assert len(caught_up.history) == 2  # what there is


def test_what_was_read_of_another_run_is_not_used() -> None:
    held = replay(entry(6, "c"), seq=5)
    found = older(entry(1, "a"), to=5, epoch="before")
    assert held.catch_up(1, "e", found) == CatchUp(6, [b"c.1"], [], False)


def test_a_newcomer_is_given_no_more_finals_out_of_the_table_than_the_history_holds() -> None:
    held = replay(entry(6, "f"), seq=5, history_size=2)
    found = older(*(entry(n, "abcde"[n - 1]) for n in range(1, 6)), to=5)
    assert held.catch_up(older=found).history == [b"e.1", b"f.1"]
    assert replay(seq=5, history_size=0).catch_up(older=found).history == []


def test_a_draft_whose_final_is_in_the_table_is_not_open() -> None:
    held = replay(entry(6, "a", is_final=False), entry(7, "b", is_final=False), seq=5)
    assert held.catch_up(5, "e", older(entry(5, "a", rev=3), to=5)).drafts == [b"b.1"]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40),
    st.integers(0, 5),
    st.integers(0, 45),
)
def test_recovered_means_that_every_final_of_the_gap_is_there(
    sent: list[tuple[str, bool]], history_size: int, since: int
) -> None:
    held = Replay("e", history_size=history_size)
    latest: dict[str, Entry] = {}
    for utterance, is_final in sent:
        rev = latest[utterance].rev + 1 if utterance in latest else 1
        each = entry(held.seq + 1, utterance, rev=rev, is_final=is_final)
        known = latest.get(utterance)
        if held.add(each) and (is_final or known is None or not known.is_final):
            latest[utterance] = each
    caught_up = held.catch_up(since, "e")
    missed = [each for each in latest.values() if each.is_final and each.seq > since]
    if caught_up.recovered:
        assert caught_up.history == [e.payload for e in sorted(missed, key=lambda e: e.seq)]
    else:
        assert since > held.seq or len(missed) > 0 or held.catch_up().history == []

import math

from bench.evidence import Heard, HeardRoom, Published, PublishedRoom, Seen, SeenRoom, Spread
from bench.join import (
    beep_pairs,
    lag_from_histogram,
    latencies_ms,
    lost_ms,
    messages_lost,
    pair_beeps,
    percentile,
    spread,
    start_up_ms,
)

S, MS = 1_000_000_000, 1_000_000


def beeps(count: int) -> list[tuple[int, int, int]]:
    """One each second, from the first second on."""
    return [(number, number % 8, number * S) for number in range(count)]


def arriving(count: int, after_ms: int, *, without: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    return [(n % 8, n * S + after_ms * MS) for n in range(count) if n not in without]


def heard(**rooms: HeardRoom) -> Heard:
    return Heard({name.replace("_", "-"): room for name, room in rooms.items()})


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.5) == 7.0


def test_spread_of_nothing_is_unknown() -> None:
    assert spread([]) == Spread(None, None, None)
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 3.0, 3.0)


def test_each_beep_meets_its_own_tone() -> None:
    pairs = pair_beeps(beeps(20), reversed(arriving(20, 3)))
    assert latencies_ms(pairs) == [3.0] * 20


def test_a_lost_beep_harms_no_other() -> None:
    pairs = pair_beeps(beeps(20), arriving(20, 40, without=(0, 9)))
    assert [left_ns // S for left_ns, came_ns in pairs if came_ns is None] == [0, 9]
    assert set(latencies_ms(pairs)) == {40.0}


def test_a_beep_may_be_seconds_late() -> None:
    assert latencies_ms(pair_beeps(beeps(16), arriving(16, 5_000))) == [5_000.0] * 16


def test_what_comes_before_a_beep_left_is_not_its_arrival() -> None:
    assert pair_beeps([(0, 0, S)], [(0, S - 100 * MS)]) == [(S, None)]
    assert latencies_ms(pair_beeps([(0, 0, S)], [(0, S - 5 * MS)])) == [-5.0]


def test_only_beeps_that_left_in_the_window_count() -> None:
    published = Published(
        {"a": PublishedRoom(beeps=beeps(10)), "b": PublishedRoom(beeps=beeps(10))}
    )
    came = heard(a=HeardRoom(beeps=arriving(10, 2)))
    pairs = beep_pairs(published, came, (3 * S, 6 * S))
    assert [left_ns // S for left_ns, _ in pairs] == [3, 4, 5] * 2
    assert sum(came_ns is None for _, came_ns in pairs) == 3


def test_start_up_is_told_of_rooms_that_were_heard() -> None:
    published = Published({"a": PublishedRoom(publish_ns=S), "b": PublishedRoom(publish_ns=S)})
    assert start_up_ms(published, heard(a=HeardRoom(first_pcm_ns=S + 40 * MS))) == [40.0]


def test_losses_are_told_apart_by_when_they_happened() -> None:
    room = PublishedRoom(first_frame_ns=S, last_frame_ns=11 * S, audio_ms=10_000.0)
    published = Published({"a": room})
    # At 6 s five seconds were sent; 4.7 had come, and 0.1 were on the way.
    early, late = heard(a=HeardRoom(pcm_bytes=4_700 * 32)), heard(a=HeardRoom(pcm_bytes=9_500 * 32))
    ((at_start, later),) = lost_ms(published, early, late, 6 * S, 100.0).values()
    assert (at_start, later) == (200.0, 300.0)


def test_nothing_is_lost_when_all_came_whatever_was_on_the_way() -> None:
    room = PublishedRoom(first_frame_ns=S, last_frame_ns=11 * S, audio_ms=10_000.0)
    late = heard(a=HeardRoom(pcm_bytes=320_000))
    assert lost_ms(Published({"a": room}), heard(), late, 6 * S, 0.0) == {"a": (0.0, 0.0)}


def test_a_room_that_never_was_heard_lost_all() -> None:
    room = PublishedRoom(first_frame_ns=S, last_frame_ns=11 * S, audio_ms=10_000.0)
    ((at_start, later),) = lost_ms(Published({"a": room}), heard(), heard(), 6 * S, 0.0).values()
    assert (at_start, later) == (5_000.0, 5_000.0)


def test_messages_that_a_viewer_did_not_see_are_lost() -> None:
    before, after = heard(a=HeardRoom(stamps_sent=10)), heard(a=HeardRoom(stamps_sent=30))
    seen = Seen(by_room={"a": SeenRoom(viewers=4, stamps=[20, 19, 15])})
    # One less may have been on the way at the mark; the fourth viewer saw nothing.
    assert messages_lost(before, after, seen) == (80, 5 + 20)


def test_lag_is_what_the_histogram_saw_in_between() -> None:
    before = {0.001: 100.0, 0.01: 100.0, math.inf: 100.0}
    after = {0.001: 190.0, 0.01: 199.0, math.inf: 200.0}
    assert lag_from_histogram(before, after) == Spread(1.0, 10.0, None)


def test_a_server_without_histogram_has_no_lag() -> None:
    assert lag_from_histogram({}, {}) == Spread()

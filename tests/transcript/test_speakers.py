import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import ROOM_SPEAKER, SpeakerSample, Word
from realtime_core.transcript.lag import LagEstimate
from realtime_core.transcript.speakers import (
    LEAST_CONFIDENCE,
    MOST_IDENTITIES,
    News,
    SpeakerSource,
    SpeakerTimeline,
)


def reports(identity: str, *times_s: float, name: str | None = None) -> list[SpeakerSample]:
    """What everybody's own client says: that its user speaks."""
    client = f"client of {identity}"
    return [SpeakerSample(identity, name or identity.title(), at_s, client) for at_s in times_s]


def timeline(*samples: SpeakerSample, lag_s: float = 0.0, hold_s: float = 1.5) -> SpeakerTimeline:
    speakers = SpeakerTimeline(lag_s=lag_s, estimates_lag=False, hold_s=hold_s)
    for sample in samples:
        speakers.report(sample)
    return speakers


def test_the_most_overlap_wins_and_its_share_is_the_confidence() -> None:
    speakers = timeline(*reports("alice", 0, 0.5, 1), *reports("bob", 2, 2.5, 3))
    found, source = speakers.attribute(1, 3, now_s=3)
    assert (found.speaker, found.speaker_id, source) == ("Bob", "bob", SpeakerSource.OVERLAP)
    assert found.confidence == pytest.approx(0.5)


def test_a_turn_reaches_one_report_beyond_its_last_sample() -> None:
    speakers = timeline(*reports("alice", 10))
    assert speakers.attribute(10.25, 10.75, now_s=60)[0].confidence == pytest.approx(0.5)
    assert speakers.attribute(10.5, 11, now_s=60)[1] is SpeakerSource.ROOM


def test_pauses_up_to_hold_do_not_end_a_turn() -> None:
    one_turn = timeline(*reports("alice", 10, 11.5))
    assert one_turn.attribute(10, 12, now_s=60)[0].confidence == pytest.approx(1)
    two_turns = timeline(*reports("alice", 10, 11.6))
    assert two_turns.attribute(10, 12.1, now_s=60)[0].confidence == pytest.approx(1 / 2.1)


def test_samples_are_shifted_by_the_lag() -> None:
    speakers = timeline(*reports("alice", 0, 1, 2), *reports("bob", 3, 4, 5), lag_s=2)
    assert speakers.attribute(2, 4, now_s=5)[0].speaker == "Alice"
    assert speakers.attribute(5, 7, now_s=7)[0].speaker == "Bob"


def test_of_equals_the_turn_that_began_first_wins() -> None:
    speakers = timeline(*reports("bob", 9.9, 10.4), *reports("alice", 10, 11, 12))
    assert speakers.attribute(10, 10.9, now_s=12)[0].speaker == "Bob"
    # As much each, but in binary fractions Alice's two halves sum to a little less.
    speakers = timeline(*reports("bob", 14, 14.5), *reports("alice", 13.9, 15.9))
    assert speakers.attribute(13.9, 16.4, now_s=17)[0].speaker == "Alice"


def test_fallbacks_come_in_order() -> None:
    speakers = timeline(*reports("alice", 100))
    assert speakers.attribute(10, 12, now_s=101.5, stt_speaker="1")[1] is SpeakerSource.CURRENT
    found, source = speakers.attribute(10, 12, now_s=101.6, stt_speaker="1")
    assert (found.speaker, found.speaker_id, source) == ("1", "1", SpeakerSource.STT)
    found, source = speakers.attribute(10, 12, now_s=101.6)
    assert (found.speaker, found.speaker_id) == (ROOM_SPEAKER, ROOM_SPEAKER)
    assert (found.confidence, source) == (None, SpeakerSource.ROOM)


def test_current_is_who_was_reported_last_and_not_long_ago() -> None:
    speakers = timeline(*reports("alice", 9, 10), *reports("bob", 10.5))
    assert speakers.current(11) == ("bob", "Bob")
    assert speakers.current(12.1) is None
    assert timeline().current(0) is None


def test_the_latest_name_wins_and_an_empty_one_never() -> None:
    speakers = timeline(*reports("a:1", 10, name="Al"), *reports("a:1", 10.5, name="Alice"))
    speakers.report(SpeakerSample("a:1", " ", 11))
    assert speakers.current(11) == ("a:1", "Alice")
    speakers.report(SpeakerSample("b:1", "", 12))
    assert speakers.current(12) == ("b:1", "b:1")


@pytest.mark.parametrize("at_s", [math.nan, math.inf, -math.inf])
def test_a_sample_without_a_time_is_ignored(at_s: float) -> None:
    speakers = timeline(SpeakerSample("alice", "Alice", at_s), SpeakerSample("", "x", 1))
    assert speakers.identities == 0


@pytest.mark.parametrize("span", [(math.nan, 12.0), (10.0, math.inf), (12.0, 10.0), (11.0, 11.0)])
def test_odd_times_are_attributed_all_the_same(span: tuple[float, float]) -> None:
    speakers = timeline(*reports("alice", 10, 11, 12))
    found, _ = speakers.attribute(*span, now_s=12)
    assert found.speaker == "Alice"
    assert found.confidence is None or 0 <= found.confidence <= 1


def test_a_wrong_clock_harms_nobody_else() -> None:
    speakers = timeline(*reports("alice", 10, 11), *reports("bob", 1e9))
    assert speakers.attribute(10, 11, now_s=12)[0].speaker == "Alice"


def test_old_turns_are_forgotten() -> None:
    speakers = timeline(*reports("alice", 10))
    assert speakers.attribute(10, 10.5, now_s=130)[1] is SpeakerSource.OVERLAP
    assert speakers.attribute(10, 10.5, now_s=131)[1] is SpeakerSource.ROOM
    assert speakers.identities == 0


def test_of_too_many_identities_the_one_reported_longest_ago_goes() -> None:
    names = [f"user{number}" for number in range(MOST_IDENTITIES)]
    speakers = timeline(*(sample for name in names for sample in reports(name, 10)))
    for sample in [*reports("user0", 10.5), *reports("late", 10.6)]:
        speakers.report(sample)
    assert speakers.identities == MOST_IDENTITIES
    assert speakers.attribute(10, 11, now_s=11)[0].speaker_id == "user0"


def test_what_is_covered_too_little_is_no_evidence() -> None:
    speakers = timeline(*reports("alice", 10))
    assert speakers.attribute(10, 12, now_s=60)[1] is SpeakerSource.ROOM


def test_somebody_who_speaks_now_is_no_answer_where_others_spoke_since() -> None:
    speakers = timeline(*reports("alice", 100), *reports("bob", 106, 106.5))
    assert speakers.current(107) == ("bob", "Bob")
    assert speakers.attribute(103, 104, now_s=107)[1] is SpeakerSource.ROOM
    assert speakers.attribute(117, 118, now_s=107)[1] is SpeakerSource.CURRENT


def test_nobody_is_current_where_the_clients_say_so() -> None:
    speakers = timeline(*reports("alice", 10), SpeakerSample(None, "", 10.5, "client of alice"))
    assert speakers.current(11) is None


def test_the_newest_name_is_known_even_when_the_reports_are_forgotten() -> None:
    speakers = timeline(*reports("alice", 10, name="Alice Smith"))
    speakers.attribute(500, 501, now_s=500)
    assert (speakers.identities, speakers.name_of("alice")) == (0, "Alice Smith")
    assert speakers.name_of("bob") is None


def test_news_are_only_what_may_change_finals() -> None:
    speakers = timeline(*reports("alice", 10, 10.5, 11))
    speakers.heard((), 10, 12)
    speakers.told()
    for sample in [*reports("alice", 11.5, 10.5), *reports("bob", 20)]:
        speakers.report(sample)
    assert speakers.told() == News()  # the next, a repeat, and later than all that was heard
    speakers.report(reports("bob", 10.7)[0])
    assert speakers.news.speech_from_s <= 10.5
    assert speakers.told().speech_from_s >= 9.5  # nothing before is another's now
    speakers.report(reports("bob", 20.5, name="Robert")[0])
    assert speakers.told() == News(names=True)
    assert speakers.told() == News()


def test_a_fixed_lag_is_certain_and_stays() -> None:
    speakers = timeline(lag_s=2.5)
    speakers.heard((Word("so", 10, 10.3),), 10, 10.3)
    speakers.republished(20)
    assert speakers.lag == LagEstimate(2.5, 1.0)


@pytest.mark.parametrize("estimates_lag", [False, True])
def test_clients_are_compared_whether_or_not_the_lag_is_known(estimates_lag: bool) -> None:
    speakers = SpeakerTimeline(lag_s=0, estimates_lag=estimates_lag)
    for turn in range(30):
        who, from_s = "ab"[turn % 2], 3.7 * turn
        for step in range(7):
            at_s = from_s + step / 2
            speakers.report(SpeakerSample(who, who, at_s, "honest"))
            speakers.report(SpeakerSample("zoe", "Zoe", at_s + 0.1, "stuck"))
        words = [Word("so", from_s + at / 2, from_s + at / 2 + 0.4) for at in range(7)]
        speakers.heard(words, from_s, from_s + 3.5)
    found, _ = speakers.attribute(90, 91, now_s=111)
    assert found.speaker_id in ("a", "b")
    assert found.confidence == pytest.approx(1.0, abs=0.05)


def test_who_is_not_believed_does_not_speak_now() -> None:
    speakers = SpeakerTimeline(lag_s=0, estimates_lag=False)
    for turn in range(30):
        for step in range(7):
            at_s = 3.7 * turn + step / 2
            for client in ("one", "two", "three"):
                speakers.report(SpeakerSample("ab"[turn % 2], "", at_s, client))
            speakers.report(SpeakerSample("zoe", "Zoe", at_s + 0.1, "stuck"))
    speakers.heard((), 0, 111)
    for step in range(60):  # the others are cut off
        speakers.report(SpeakerSample("zoe", "Zoe", 111 + step / 2, "stuck"))
    assert speakers.current(140) is None
    assert speakers.attribute(138, 140, now_s=141)[1] is SpeakerSource.ROOM


def test_words_without_times_are_not_looked_at_one_by_one() -> None:
    speakers = timeline(*reports("alice", 0, 0.5, 1), *reports("bob", *range(90, 100)))
    words = [Word(text, 0, 0) for text in "abc"]
    (segment,) = speakers.attribute_words(words, 94, 98, now_s=100)
    assert segment.attribution.speaker_id == "bob"


def test_until_the_lag_is_known_only_what_any_lag_allows_is_certain() -> None:
    speakers = SpeakerTimeline(lag_s=2)
    for sample in reports("alice", *(at / 2 for at in range(80))):
        speakers.report(sample)
    for sample in reports("bob", *(40 + at / 2 for at in range(10))):
        speakers.report(sample)
    certain, vague = (
        speakers.attribute(20, 22, now_s=50)[0],
        speakers.attribute(42, 43, now_s=50)[0],
    )
    assert certain.confidence == pytest.approx(1.0)
    assert vague.confidence is not None
    assert vague.confidence < 0.9


TIMES = st.floats(0, 60).map(lambda at_s: round(at_s, 2))
SAMPLES = st.lists(
    st.builds(
        SpeakerSample,
        st.sampled_from(["a", "b", "c", None]),
        st.just("Name"),
        TIMES,
        st.sampled_from("xyz"),
    ),
    max_size=40,
)


@given(SAMPLES, st.randoms(use_true_random=False), TIMES, st.floats(0, 10))
def test_order_and_repetition_of_samples_do_not_matter(
    samples: list[SpeakerSample], dice: object, start_s: float, length_s: float
) -> None:
    shuffled = [*samples, *samples[::2]]
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    span = (start_s, start_s + length_s)
    expected, source = timeline(*samples).attribute(*span, now_s=60)
    found, found_source = timeline(*shuffled).attribute(*span, now_s=60)
    assert (found, found_source) == (expected, source)
    assert source is not SpeakerSource.OVERLAP or 0 < (expected.confidence or 0) <= 1


@given(SAMPLES, st.floats(0, 60), st.floats(0.1, 10))
def test_the_confidence_is_what_counting_votes_finds(
    samples: list[SpeakerSample], start_s: float, length_s: float
) -> None:
    """Compared with the definition, sampled every 10 ms or closer."""
    ticks = [start_s + length_s * (tick + 0.5) / 1000 for tick in range(1000)]
    votes = [_votes(samples, tick) for tick in ticks]
    shares = {name: sum(vote.get(name, 0.0) for vote in votes) / 1000 for name in "abc"}
    found, source = timeline(*samples).attribute(start_s, start_s + length_s, now_s=60)
    if source is SpeakerSource.OVERLAP:
        assert found.confidence == pytest.approx(shares[found.speaker_id], abs=0.05)
        assert shares[found.speaker_id] >= max(shares.values()) - 0.05
    else:
        assert max(shares.values()) <= LEAST_CONFIDENCE + 0.05


def _votes(samples: list[SpeakerSample], at_s: float) -> dict[str | None, float]:
    answers = [
        _answer([each for each in samples if each.client == client], at_s) for client in "xyz"
    ]
    given = [answer for answer in answers if answer != ""]
    return {who: given.count(who) / len(given) for who in given}


def _answer(samples: list[SpeakerSample], at_s: float) -> str | None:
    """Return what a client says at a time; an empty text if nothing."""
    ordered = sorted(samples, key=lambda each: (each.at_s, each.identity or ""))
    before = [each for each in ordered if each.at_s <= at_s]
    after = [each for each in ordered if each.at_s > at_s]
    if before and after and after[0].at_s - before[-1].at_s <= 1.5:
        is_nearer = at_s - before[-1].at_s < after[0].at_s - at_s
        return before[-1].identity if is_nearer else after[0].identity
    return before[-1].identity if before and at_s - before[-1].at_s < 0.5 else ""


ODD = st.floats() | st.floats(0, 60)
WORDS = st.lists(st.builds(Word, st.just("so"), ODD, ODD), max_size=12)


@given(SAMPLES, WORDS, ODD, ODD, st.booleans())
def test_whatever_the_times_segments_hold_all_words_in_order(
    samples: list[SpeakerSample], words: list[Word], start_s: float, end_s: float, estimates: bool
) -> None:
    speakers = SpeakerTimeline(estimates_lag=estimates)
    for sample in samples:
        speakers.report(sample)
    for _ in range(2):
        speakers.heard(words, start_s, end_s)
        speakers.republished(start_s)
    found = speakers.attribute_words(words, start_s, end_s, now_s=60)
    assert [found[0].first, *(each.behind for each in found)] == [
        *(each.first for each in found),
        len(words),
    ]
    for each in found:
        assert each.first < each.behind or not words
        assert len(each.voices) == each.behind - each.first
        assert 0 <= (each.attribution.confidence or 0) <= 1
    assert 0 <= speakers.lag.lag_s <= 8
    assert 0 <= speakers.lag.confidence <= 1

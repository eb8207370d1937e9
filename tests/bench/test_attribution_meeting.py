import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

import pytest

from bench.attribution.egress import Egress, Pipe, Publish, publish
from bench.attribution.indicator import Indicator, watch
from bench.attribution.meeting import Manners, Meeting, SpokenWord, hold_meeting
from bench.attribution.reports import Network, Report, report_all
from bench.attribution.scenarios import CROWD, MANNERLY, SCENARIOS, simulate
from bench.attribution.stt import ENDPOINTING_S, LONGEST_S, HeardUtterance, recognise


def meeting(manners: Manners = MANNERLY, seed: int = 1) -> Meeting:
    return hold_meeting(manners, random.Random(seed))


def turns(words: Sequence[SpokenWord]) -> list[list[SpokenWord]]:
    found: list[list[SpokenWord]] = []
    for word in words:
        if found and found[-1][-1].speaker == word.speaker:
            found[-1].append(word)
        else:
            found.append([word])
    return found


def talk(*spans: tuple[int, float, float]) -> Meeting:
    """A meeting in which each mouth says one long word from then to then."""
    words = [SpokenWord("so", start_s, end_s, who) for who, start_s, end_s in spans]
    count = max(who for who, _, _ in spans) + 1
    return Meeting(words, [1.0] * count, max(word.end_s for word in words))


def indicator(*spans: tuple[int, float, float]) -> Indicator:
    return watch(talk(*spans), random.Random(3))


def reports(
    network: Network, seen: Indicator | None = None, length_s: float = 100.0
) -> list[Report]:
    seen = seen or Indicator([0.0], [(2, 1)])
    return report_all(seen, network, length_s, random.Random(5))


def heard(spoken: Meeting, lag_s: float = 2.0) -> list[HeardUtterance]:
    egress = Egress((Publish(0.0, 1e6, lag_s, 0.0),))
    return recognise(spoken, egress, random.Random(7))


@pytest.mark.parametrize("manners", [MANNERLY, CROWD])
def test_no_mouth_says_two_words_at_a_time(manners: Manners) -> None:
    for who in range(manners.speakers):
        own = [word for word in meeting(manners).words if word.speaker == who]
        assert own
        assert all(one.end_s <= other.start_s for one, other in pairwise(own))


def test_mannerly_people_let_each_other_finish_and_speak_two_seconds_or_more() -> None:
    words = meeting().words
    assert all(one.end_s <= other.start_s for one, other in pairwise(words))
    lengths_s = [turn[-1].end_s - turn[0].start_s for turn in turns(words)[:-1]]
    assert min(lengths_s) > 1.9


def test_floors_change_after_a_fifth_of_a_second_and_now_and_then_before_the_end() -> None:
    friendly = turns(meeting(replace(MANNERLY, overlaps=True, length_s=3600.0)).words)
    gaps_s = [other[0].start_s - one[-1].end_s for one, other in pairwise(friendly)]
    assert median(gaps_s) == pytest.approx(0.2, abs=0.1)
    assert 0.05 < sum(gap_s < 0 for gap_s in gaps_s) / len(gaps_s) < 0.3


def test_people_speak_two_to_three_and_a_half_words_a_second() -> None:
    long = [turn for turn in turns(meeting().words) if len(turn) > 20]
    rates = [len(turn) / (turn[-1].end_s - turn[0].start_s) for turn in long]
    assert 2.0 < median(rates) < 3.5


def test_a_crowd_has_all_its_voices_and_speaks_at_the_same_time() -> None:
    words = meeting(CROWD).words
    assert {word.speaker for word in words} == set(range(8))
    overlapping = sum(one.end_s > other.start_s + 0.1 for one, other in pairwise(words))
    assert overlapping / len(words) > 0.02


def test_the_indicator_shows_a_speaker_soon_after_the_onset_and_holds_on_after_the_end() -> None:
    seen = indicator((0, 10.0, 15.0))
    shown = [at_s for at_s, who in zip(seen.times_s, seen.shown, strict=True) if who]
    assert 10.15 < shown[0] < 10.8
    assert 15.0 < shown[-1] < 16.2


def test_the_indicator_does_not_see_a_very_short_word() -> None:
    assert not any(indicator((0, 10.0, 10.12)).shown)


def test_the_indicator_lists_all_who_speak_the_loudest_first() -> None:
    spoken = talk((0, 10.0, 20.0), (1, 10.0, 20.0))
    seen = watch(replace(spoken, loudness=[0.5, 2.0]), random.Random(1))
    assert seen.at(18.0) == (1, 0)
    assert seen.at(5.0) == seen.at(-1.0) == ()


def test_each_client_reports_the_first_of_the_list_twice_a_second() -> None:
    sent = reports(Network(clients=2))
    assert {report.who for report in sent[2:]} == {2}
    assert len(sent) == pytest.approx(2 * 2 * 120, rel=0.05)
    assert {report.client for report in sent} == {0, 1}


def test_reports_are_lost_repeated_and_overtaken_as_much_as_is_asked_for() -> None:
    all_of_them = len(reports(Network(clients=4)))
    sent = reports(Network(clients=4, lost=0.3, repeated=0.1, late=0.5))
    assert len(sent) == pytest.approx(all_of_them * 0.7 * 1.1, rel=0.1)
    one = [report.made_at for report in sent if report.client == 0]
    assert one != sorted(one)
    assert all(0.02 <= report.arrived_at - report.made_at <= 1.0 for report in sent)


def test_each_clients_clock_is_wrong_in_its_own_way_and_drifts() -> None:
    sent = reports(Network(clients=3, clock_s=120.0, drift=1e-3))
    errors = [[r.said_at - r.made_at for r in sent if r.client == who] for who in range(3)]
    assert len({round(each[0]) for each in errors}) == 3
    assert all(0 < abs(each[-1] - each[0]) < 0.13 for each in errors)


def test_a_stuck_client_says_the_same_for_ever_while_others_see_the_truth() -> None:
    seen = Indicator([0.0, 90.0], [(0,), (1,)])
    sent = reports(Network(clients=2, stuck=True), seen)
    late = [report for report in sent if report.made_at > 91.0]
    assert {(report.who, report.is_stuck) for report in late if report.client == 0} == {(0, True)}
    assert {report.who for report in late if report.client == 1} == {1}


def test_audio_comes_later_and_later_when_the_lag_drifts() -> None:
    one = Publish(from_s=0.0, to_s=1000.0, lag_s=2.0, drift=0.001)
    assert one.heard_at(0.0) == pytest.approx(2.0, abs=0.01)
    at_s = one.heard_at(500.0)
    assert at_s - 500.0 == pytest.approx(one.lag_at(at_s)) == pytest.approx(2.5, abs=0.01)


def test_what_is_said_while_no_publisher_is_there_is_lost_and_the_next_has_another_lag() -> None:
    egress = publish(Pipe(republishes=1), 400.0, random.Random(2))
    first, second = egress.publishes
    assert egress.heard_at(second.from_s - second.lag_s - 0.5) is None
    assert egress.heard_at(first.to_s - first.lag_s - 0.5) is not None
    assert egress.lag_at(second.from_s) == second.lag_s != first.lag_s
    assert egress.lag_at(-1.0) == pytest.approx(first.lag_s, abs=0.01)


def test_an_utterance_ends_at_a_pause_or_when_it_is_long() -> None:
    found = heard(meeting(CROWD))
    for one, other in pairwise(found):
        lasts_s = other.final.end_s - one.final.start_s
        rest_s = other.final.start_s - one.final.end_s
        assert rest_s >= ENDPOINTING_S or lasts_s > LONGEST_S / 2
    assert max(each.final.end_s - each.final.start_s for each in found) <= LONGEST_S + 1.0


def test_quick_floor_changes_lie_inside_of_one_utterance() -> None:
    [utterance] = heard(talk((0, 10.0, 10.4), (1, 10.5, 10.9)))
    assert [each.speaker for each in utterance.words] == [0, 1]


def test_words_are_heard_later_by_the_lag_in_order_and_not_quite_in_their_place() -> None:
    spoken = meeting()
    words = [each.word for utterance in heard(spoken, 3.0) for each in utterance.words]
    assert [word.text for word in words] == [word.text for word in spoken.words]
    errors = [
        one.start_s - 3.0 - other.start_s for one, other in zip(words, spoken.words, strict=True)
    ]
    assert abs(median(errors)) < 0.02
    assert 0.02 < median(abs(each) for each in errors) < 0.06
    assert all(one.start_s < other.start_s for one, other in pairwise(words))


def test_drafts_grow_before_their_final_which_comes_after_the_one_before() -> None:
    found = heard(meeting())
    for utterance in found:
        *drafts, final = utterance.messages
        assert not any(draft.is_final or draft.words for draft in drafts)
        assert all(final.text.startswith(draft.text) for draft in drafts)
        assert final.received_at >= final.end_s + 0.6
    finals = [utterance.final.received_at for utterance in found]
    assert finals == sorted(finals)


def test_of_two_words_at_a_time_the_quieter_one_is_often_lost() -> None:
    spans = [(who, 10.0 * n, 10.0 * n + 0.5) for n in range(1, 40) for who in (0, 1)]
    both = replace(talk(*spans), loudness=[1.0, 0.5])
    speakers = [each.speaker for utterance in heard(both) for each in utterance.words]
    assert speakers.count(0) == 39
    assert 8 < speakers.count(1) < 31


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_meeting_and_another_seed_another(name: str) -> None:
    one = simulate(SCENARIOS[name], 1)
    assert one == simulate(SCENARIOS[name], 1)
    assert one.utterances != simulate(SCENARIOS[name], 2).utterances
    assert len({report.client for report in one.reports}) <= one.speakers

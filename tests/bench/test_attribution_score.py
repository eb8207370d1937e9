import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from bench.attribution.__main__ import app
from bench.attribution.baselines import AtArrival, FixedLag, OracleLag
from bench.attribution.egress import Egress, Publish
from bench.attribution.goals import goals
from bench.attribution.ours import Ours, Viewer
from bench.attribution.report import write_report
from bench.attribution.reports import Report
from bench.attribution.run import draws, run, run_all
from bench.attribution.scenarios import SCENARIOS, Simulated, simulate
from bench.attribution.score import Score, boundaries, score, settled_s
from bench.attribution.stt import HeardUtterance, HeardWord
from bench.attribution.summary import one_line, summaries
from bench.attribution.systems import NOBODY, LagSeen, Seen, System, play
from bench.attribution.table import PLACE, results_text
from bench.attribution.truth import Truth, indicator_delay_s, truth_of
from bench.errors import BenchError
from realtime_core.model import FinalizedBy, SpeechHeard, Transcript, Word

LAG_S = 2.0
PAGE = f"# Attribution\n\n<!-- {PLACE} -->\nold\n<!-- /{PLACE} -->\n\nAfter.\n"


def utterance(number: int, *words: tuple[int, float]) -> HeardUtterance:
    """Each word: who says it, and when it is heard. It lasts 0.3 s."""
    heard = tuple(HeardWord(Word("so", at_s, at_s + 0.3), who, at_s + 0.15) for who, at_s in words)
    end_s = heard[-1].word.end_s
    final = SpeechHeard(
        "stt", f"u{number}", "so " * len(words), True, heard[0].word.start_s, end_s,
        end_s + 1.0, words=tuple(each.word for each in heard),
    )  # fmt: skip
    return HeardUtterance(heard, (final,))


def reported(*spans: tuple[int | None, float, float]) -> list[Report]:
    """One client that reports at once, twice a second, by a clock that is an hour slow."""
    times = [(who, from_s + step / 2) for who, from_s, to_s in spans
             for step in range(int(2 * (to_s - from_s)))]  # fmt: skip
    return [Report(who, 0, at_s + 0.05, at_s - 3600, at_s) for who, at_s in times]


def dialogue() -> Simulated:
    """Anna from 0 to 10 and Bob from 10 to 20 in the room; both are heard 2 s later."""
    words = [(at_s // 10, at_s + LAG_S) for at_s in range(20)]
    said = [utterance(n, *words[5 * n : 5 * n + 5]) for n in range(4)]
    egress = Egress((Publish(0.0, 1e6, LAG_S, 0.0),))
    sent = reported((0, 0.0, 10.0), (1, 10.0, 20.0))
    return Simulated("dialogue", 0, 2, said, sent, egress, 20.0)


def right(system: System) -> float:
    meeting = dialogue()
    truth = truth_of(meeting)
    found = score("dialogue", 0, "it", play(meeting, system), truth)
    return found.right / found.words


def truth_with(*speakers: str) -> Truth:
    words = {("u1", 70.0 + place): who for place, who in enumerate(speakers)}
    return Truth({("u0", 1.0): "ann", **words}, lambda _at_s: 1.0, 1e6)


def final(part: str, speaker: str, starts: Sequence[float], text: str = "so") -> Transcript:
    return Transcript(
        "weekly", part, text if starts else "", True, speaker, speaker, None, 1, 1, 0.0, 9.0, 9.0,
        finalized_by=FinalizedBy.STT, words=tuple(Word("so", at_s, at_s + 0.2) for at_s in starts),
    )  # fmt: skip


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [each for name in ("clean", "crowded") for each in run((name, 100))]


def test_what_knows_the_lag_is_right_and_what_goes_by_arrival_is_late() -> None:
    assert right(OracleLag(lambda _at_s: LAG_S)) == 1.0
    assert right(FixedLag(LAG_S)) == 1.0
    assert right(AtArrival()) < 0.8


def test_a_fixed_lag_that_is_far_from_the_true_one_gives_utterances_to_the_neighbour() -> None:
    assert right(FixedLag(LAG_S + 6.0)) == right(FixedLag(LAG_S - 4.0)) == 0.75


def test_ours_is_told_the_same_as_the_others() -> None:
    assert right(Ours()) == 1.0


def test_who_is_never_told_anything_leaves_all_words_to_the_room() -> None:
    heard_only = AtArrival()
    heard_only.hear(dialogue().utterances[0].final)
    assert set(heard_only.seen().speaker.values()) == {NOBODY}


def test_the_effective_lag_leaves_out_what_the_indicator_is_late() -> None:
    meeting = dialogue()
    assert indicator_delay_s(meeting) == pytest.approx(0.0, abs=0.3)
    assert truth_of(meeting).lag_at(5.0) == pytest.approx(LAG_S - indicator_delay_s(meeting))


def test_a_stuck_client_does_not_move_the_truth() -> None:
    meeting = dialogue()
    stuck = [replace(each, who=0, client=1, is_stuck=True) for each in meeting.reports]
    worse = replace(meeting, reports=[*meeting.reports, *stuck])
    assert indicator_delay_s(worse) == indicator_delay_s(meeting)


def test_all_words_count_and_those_after_the_first_minute_count_again() -> None:
    seen = Seen({("u0", 1.0): "bob", ("u1", 70.0): "ann", ("u1", 71.0): "bob"})
    found = score("x", 0, "it", seen, truth_with("ann", "bob", "bob"))
    assert (found.words, found.right, found.nobodys) == (4, 2, 1)
    assert (found.later_words, found.later_right) == (3, 2)


def test_a_boundary_is_as_many_words_off_as_the_nearest_shown_change_is() -> None:
    assert boundaries("aaabbb", "aaabbb") == (1, 0)
    assert boundaries("aaabbb", "abbbbb") == (1, 2)
    assert boundaries("aaabbbaaa", "aaaabbbba") == (2, 3)


def test_a_boundary_that_is_shown_nowhere_is_a_fixed_number_of_words_off() -> None:
    assert boundaries("a" * 50 + "b" * 50, "a" * 100) == (1, 20)
    assert boundaries("aaa", "bab") == (0, 0)


def test_an_estimate_has_settled_when_it_stays_near() -> None:
    assert settled_s([(1, 500), (2, 150), (3, -250), (4, 100), (5, -20)]) == 4
    assert settled_s([(1, 0), (2, 300)]) is None
    assert settled_s([]) is None


def test_the_lags_error_is_dated_by_the_conversation() -> None:
    seen = Seen(lags=[LagSeen(0.5, 9.0, 0.0), LagSeen(3.0, 1.25, 1.0)])
    assert score("x", 0, "it", seen, truth_with("ann")).lag_errors_ms == [(2.0, 250.0)]


def test_a_viewer_shows_the_newest_of_each_part_and_counts_what_changed_after_the_final() -> None:
    seen = Seen()
    viewer = Viewer(seen)
    viewer.see([final("stt-u1", "ann", [1.0, 2.0, 3.0])])
    assert seen.relabels == 0
    viewer.see([final("stt-u1", "ann", [1.0, 2.0]), final("stt-u1.2", "bob", [3.0])])
    assert list(seen.speaker.values()) == ["ann", "ann", "bob"]
    viewer.see([final("stt-u1", "bob", [1.0, 2.0, 3.0]), final("stt-u1.2", "bob", [])])
    assert list(seen.speaker.values()) == ["bob", "bob", "bob"]
    viewer.see([final("stt-u1", "bob", [1.0, 2.0, 3.0])])
    assert seen.relabels == 2


def test_a_part_that_is_taken_back_takes_its_words_with_it() -> None:
    seen = Seen()
    Viewer(seen).see([final("stt-u1", "ann", [1.0]), final("stt-u1", "ann", [])])
    assert seen.speaker == {}


def test_the_whole_benchmark_holds_several_meetings_of_each_kind() -> None:
    assert len(draws(quick=False)) > 2 * len(SCENARIOS)
    assert draws(quick=True) == [(name, seed) for name in SCENARIOS for seed in (0, 1)]


@pytest.mark.slow
def test_processes_find_the_same_as_one_does(scores: list[Score]) -> None:
    [elsewhere] = run_all([("clean", 100)])
    here = [each for each in scores if each.scenario == "clean"]
    assert [each.right for each in elsewhere] == [each.right for each in here]
    assert [each.lag_errors_ms for each in elsewhere] == [each.lag_errors_ms for each in here]


def test_a_summary_is_by_scenario_and_system_and_weighs_words_alike(scores: list[Score]) -> None:
    found = summaries([*scores, *scores])
    assert list(found) == ["clean", "crowded"]
    assert found["clean"]["ours"].meetings == 2
    ours = next(each for each in scores if each.system == "ours")
    assert found["clean"]["ours"].accuracy == pytest.approx(ours.right / ours.words, abs=1e-4)
    assert found["clean"]["at arrival"].lag_error_ms is None


def test_a_run_ends_with_accuracy_by_scenario_and_system(scores: list[Score]) -> None:
    said = json.loads(one_line(scores))
    assert set(said["accuracy"]["crowded"]) == {"ours", "at arrival", "fixed lag", "oracle lag"}
    assert said["whole"]["cpuMsPerFinal"] > said["whole"]["againMsPerFinal"] >= 0
    assert 0 < said["whole"]["heldKb"] < 100


def test_goals_are_judged_where_their_scenario_was_run(scores: list[Score]) -> None:
    assert len(goals(scores)) == 6
    clean = goals([each for each in scores if each.scenario == "clean"])
    assert [goal.text.split(",")[0] for goal in clean] == [
        "words right",
        "median lag error at the end of the first minute",
        "median lag error from then on",
        "processor time per final",
    ]


def test_a_goal_is_missed_by_a_little_as_by_much(scores: list[Score]) -> None:
    clean = [each for each in scores if each.scenario == "clean"]
    least = [structs.replace(each, later_words=100, later_right=97) for each in clean]
    less = [structs.replace(each, later_words=1000, later_right=969) for each in clean]
    assert goals(least)[0].reached
    assert not goals(less)[0].reached


def test_the_report_is_the_table_the_numbers_and_two_pictures(
    scores: list[Score], tmp_path: Path
) -> None:
    page = tmp_path / "docs" / "attribution.md"
    page.parent.mkdir()
    page.write_text(PAGE)
    written = write_report(scores, tmp_path)
    assert page.read_text() == PAGE.replace("old", results_text(scores))
    assert [path.name for path in written[1:]] == [
        "attribution.json", "attribution.svg", "attribution-lag.svg"
    ]  # fmt: skip
    assert json.loads(written[1].read_text())["summaries"]["clean"]["ours"]["meetings"] == 1
    assert all("<svg" in path.read_text() for path in written[2:])


def test_a_page_without_a_place_for_the_table_is_refused(
    scores: list[Score], tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=r"attribution\.md"):
        write_report(scores, tmp_path)


@pytest.mark.slow
def test_the_command_line_runs_one_meeting_and_says_what_it_saw() -> None:
    ran = CliRunner().invoke(app, ["--scenario", "silences", "--seed", "100"])
    assert ran.exit_code == 0, ran.output
    assert list(json.loads(ran.stdout.splitlines()[-1])["accuracy"]) == ["silences"]
    assert "silences 100" in ran.stderr


def test_an_unknown_scenario_is_refused() -> None:
    assert CliRunner().invoke(app, ["--scenario", "chaos"]).exit_code == 2


def test_every_scenarios_meeting_has_words_and_reports() -> None:
    meeting = simulate(SCENARIOS["one client"], 0)
    assert len(truth_of(meeting).speaker) > 500
    assert len(meeting.reports) > 900

"""The chaos run: its judge can find fault, and a short run of it finds none in the service."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.fault import Fault
from tests.chaos.faults import EVERY
from tests.chaos.judge import Evidence, Final, Span, Verdict, judge
from tests.chaos.report import line
from tests.chaos.run import Outcome, Plan
from tests.chaos.storm import Bag
from tests.chaos.tape import FREQUENCIES_HZ, Spoken, Tape, Tone, composed
from tests.chaos.view import View

ROOT = Path(__file__).parents[2]
ZERO_AT = 1_790_000_000.0
SAID = tuple(Spoken("s", 300 + 20 * n, ZERO_AT + 3 * n, ZERO_AT + 3 * n + 1.4) for n in range(1, 6))


def stored(spoken: Spoken, number: int, **changes: Any) -> Final:
    """The row of an utterance; its drafts were one before, so numbers are even."""
    seq = 2 * number
    row = Final("s", f"u{number}", 2, seq, spoken.text, spoken.start_at, spoken.end_at)
    return replace(row, **changes)


def message(row: Final, *, is_final: bool = True, **changes: Any) -> dict[str, Any]:
    """A transcript as the viewer gets it."""
    said = {
        "type": "transcript",
        "utteranceId": row.utterance_id,
        "isFinal": is_final,
        "rev": row.rev if is_final else row.rev - 1,
        "seq": row.seq if is_final else row.seq - 1,
        "text": row.text,
        "startedAt": row.start_at - ZERO_AT,
        "endedAt": row.end_at - ZERO_AT,
        "finalizedBy": row.finalized_by,
    }
    return said | changes


def ready(**changes: Any) -> dict[str, Any]:
    return {"type": "ready", "epoch": "e", "seq": 0, "drafts": [], "history": []} | changes


ROWS = tuple(stored(spoken, number) for number, spoken in enumerate(SAID, 1))


def watching(rows: Sequence[Final] = ROWS) -> View:
    """A viewer that saw a draft and a final of each."""
    view = View("s")
    view.take(ready(), 0.0)
    for row in rows:
        view.take(message(row, is_final=False), row.end_at)
        view.take(message(row), row.end_at + 0.5)
    return view


def verdict(
    rows: Sequence[Final] = ROWS, view: View | None = None, **evidence: Sequence[Span]
) -> Verdict:
    return judge(Evidence(SAID, rows, [view or watching(rows)], **evidence))


def test_a_run_without_loss_is_in_order() -> None:
    found = verdict()
    assert found.ok, found.wrongs
    assert (found.expected, found.seen, found.stored, found.excused) == (5, 5, 5, 0)
    assert found.latencies_s == pytest.approx([0.5] * 5, abs=1e-3)


def test_an_utterance_that_is_not_in_the_table_is_lost() -> None:
    found = verdict(ROWS[1:])
    (lost,) = found.lost
    assert "f0320" in lost
    assert not found.ok


def test_an_utterance_whose_publisher_was_cut_off_is_excused_and_no_other() -> None:
    broken = Span("s", SAID[0].start_at + 1.0, SAID[0].start_at + 1.5)
    found = verdict(ROWS[2:], excuses=[broken, replace(broken, slug="another")])
    assert found.excused == 1
    (lost,) = found.lost
    assert "f0340" in lost


def test_an_utterance_twice_in_the_table_is_doubled() -> None:
    again = replace(ROWS[2], utterance_id="u9", seq=9, start_at=ROWS[2].start_at + 0.1)
    assert len(verdict([*ROWS, again], watching()).doubled) == 1


def test_two_halves_of_a_broken_utterance_are_not_doubled() -> None:
    middle_at = SAID[2].start_at + 0.7
    halves = replace(ROWS[2], end_at=middle_at), replace(ROWS[2], seq=9, start_at=middle_at)
    cut = Span("s", middle_at, middle_at)
    found = verdict([*ROWS[:2], *halves, *ROWS[3:]], watching(), excuses=[cut])
    assert found.doubled == []


def test_an_utterance_twice_on_a_screen_is_doubled() -> None:
    view = watching()
    view.take(message(ROWS[2], utteranceId="u9", seq=11), 0.0)
    assert len(verdict(view=view).doubled) == 1


def test_a_shift_is_measured_from_the_first_utterance() -> None:
    rows = [replace(row, start_at=row.start_at + 0.2, end_at=row.end_at + 0.2) for row in ROWS]
    assert verdict(rows).shifts_s == pytest.approx([0.0] * 5, abs=1e-3)
    rows[-1] = replace(rows[-1], start_at=rows[-1].start_at + 0.6)
    found = verdict(rows)
    assert found.shifts_s[-1] == pytest.approx(0.6, abs=1e-3)
    assert len(found.shifted) == 1


def test_a_draft_that_no_final_ends_is_told() -> None:
    view = watching()
    view.take(message(ROWS[0], is_final=False, utteranceId="u9", seq=11, rev=1), 0.0)
    assert verdict(view=view).unended == ["s u9"]


def test_a_draft_that_is_still_shown_when_the_session_is_over_is_told() -> None:
    view = watching(ROWS[:4])
    view.take(message(ROWS[4], is_final=False), 0.0)
    assert verdict(view=view).unended == []  # this viewer was away at the end
    view.take({"type": "status", "state": "ended"}, 0.0)
    assert verdict(view=view).unended == ["s u5"]


def test_a_final_that_was_seen_has_to_be_stored_as_it_was_seen() -> None:
    newer = replace(ROWS[1], rev=3, text="utterance f0340 one two three four five")
    assert len(verdict(ROWS, watching([ROWS[0], newer])).not_stored) == 1
    assert len(verdict(ROWS[1:], watching()).not_stored) == 1


def test_a_viewer_has_to_see_every_final_between_what_it_knew_and_knows() -> None:
    view = watching([ROWS[0], *ROWS[2:]])
    (missed,) = verdict(view=view).missed
    assert "u2" in missed
    view.take(ready(seq=10, recovered=False), 0.0)  # it is told so, and can ask the table
    assert verdict(view=view).missed == []


def test_a_text_may_be_shorter_only_if_its_final_was_withheld() -> None:
    rows = [replace(ROWS[0], text="utterance f0320 one two"), *ROWS[1:]]
    assert len(verdict(rows).mangled) == 1
    held = Span("s", SAID[0].end_at - 1, SAID[0].end_at + 5)
    assert verdict(rows, withheld=[held]).mangled == []


def test_a_service_that_stops_may_tell_viewers_to_come_back() -> None:
    view = watching()
    view.take({"type": "error", "code": "shutting_down", "message": "try again"}, 0.0)
    assert verdict(view=view).ok


def test_what_nobody_said_is_strange_except_as_a_piece_of_something_broken() -> None:
    noise = replace(ROWS[0], utterance_id="u9", seq=99, text="Good morning")
    assert len(verdict([*ROWS, noise], watching()).strange) == 1
    broken = Span("s", SAID[0].start_at, SAID[0].start_at + 0.5)
    assert verdict([*ROWS, noise], watching(), excuses=[broken]).strange == []


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([message(ROWS[1]), message(ROWS[0])], "seq went back"),
        ([message(ROWS[0]), message(ROWS[0], is_final=False, seq=9)], "draft after final"),
        ([message(ROWS[0]), message(ROWS[0], text="x", seq=9)], "one rev, two texts"),
        ([ready(epoch="other", recovered=True)], "recovered another epoch"),
        (
            [ready(recovered=True), ready(history=[message(ROWS[0], seq=0)], recovered=True)],
            "history repeated",
        ),
        ([ready(history=[message(ROWS[1]), message(ROWS[0])])], "history out of order"),
        ([{"type": "error", "code": "internal"}], "said error"),
    ],
)
def test_a_view_notes_what_no_server_may_do(messages: list[dict[str, Any]], fault: str) -> None:
    view = View("s")
    view.take(ready(), 0.0)
    for each in messages:
        view.take(each, 0.0)
    assert view.faults == {fault: 1}


def test_a_view_that_comes_back_drops_the_drafts_that_are_not_listed() -> None:
    view = View("s")
    view.take(ready(), 0.0)
    for row in ROWS[:2]:
        view.take(message(row, is_final=False, seq=row.seq - 1), 0.0)
    listed = message(ROWS[1], is_final=False)
    view.take(ready(seq=3, drafts=[listed], history=[message(ROWS[0])], recovered=True), 0.0)
    assert list(view.finals) == ["u1"]
    assert list(view.drafts) == ["u2"]


def test_a_tape_says_each_frequency_once_a_round_and_goes_on() -> None:
    pcm, tones = composed(Random(1))
    assert Counter(tone.frequency_hz for tone in tones) == Counter(FREQUENCIES_HZ)
    assert tones[-1].start_s + tones[-1].length_s < len(pcm) / 32_000
    tape = Tape(b"", (b"",) * 431, (Tone(440, 1.0, 2.0),))  # ten seconds
    said = list(tape.spoken("s", 100.0, 121.5))
    assert [round(each.start_at, 1) for each in said] == [101.0, 111.0, 121.0]


async def nothing(_world: object, _random: Random) -> str:
    return ""


def test_a_bag_gives_each_fault_as_often_as_it_weighs_before_any_comes_again() -> None:
    faults = [Fault("a", nothing, frozenset(), 2), Fault("b", nothing, frozenset())]
    bag = Bag(faults, Random(1))
    drawn = Counter(fault.name for _ in range(3) if (fault := bag.draw(())))
    assert drawn == {"a": 2, "b": 1}


def test_nobody_overtakes_a_fault_that_waits_for_something_busy() -> None:
    wide, narrow = frozenset({"stt", "service"}), frozenset({"service"})
    faults = [Fault("wide", nothing, wide), Fault("narrow", nothing, narrow)]
    first_wide = next(seed for seed in range(99) if first(faults, seed) == "wide")
    bag = Bag(faults, Random(first_wide))
    assert bag.draw({"stt"}) is None
    drawn = [fault.name for _ in range(2) if (fault := bag.draw(()))]
    assert drawn == ["wide", "narrow"]


def first(faults: Sequence[Fault], seed: int) -> str:
    fault = Bag(faults, Random(seed)).draw(())
    return fault.name if fault else ""


def outcome(seconds: float, struck: dict[str, int], faults: Sequence[Fault] = EVERY) -> Outcome:
    plan = Plan(1, seconds, faults, Path(), "ffmpeg")
    return Outcome(plan, Verdict(), struck, {}, starts=1, given_up=0, errors={})


EIGHT_KINDS = {fault.name: 2 for fault in EVERY[:8]}


@pytest.mark.parametrize(
    ("struck", "is_ok"),
    [
        ({**EIGHT_KINDS, "another": 4}, True),
        (EIGHT_KINDS, False),  # sixteen
        (dict.fromkeys([*EIGHT_KINDS][:7], 9), False),
        ({}, False),
    ],
)
def test_a_long_run_in_which_too_little_happened_is_not_in_order(
    struck: dict[str, int], is_ok: bool
) -> None:
    assert outcome(120.0, struck).ok is is_ok
    assert json.loads(line(outcome(120.0, struck)))["tooFewFaults"] is not is_ok
    assert outcome(119.0, struck).ok  # a short one promises nothing


def test_who_asks_for_one_kind_only_gets_one() -> None:
    assert outcome(120.0, {EVERY[0].name: 20}, EVERY[:1]).ok


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in EVERY}) == len(EVERY) >= 30


@pytest.mark.ffmpeg
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_short_storm_breaks_no_promise() -> None:
    kinds = "stt-reset,decoder-killed,database-cut,publisher-reset,viewers-reset,service-killed"
    arguments = ("--seconds", "10", "--seed", "5", "--sessions", "1", "--only", kinds)
    python_path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path},
    )
    output, progress = await process.communicate()
    said = json.loads(output.splitlines()[-1])
    assert process.returncode == 0, progress.decode()
    assert said["lost"] == said["doubled"] == said["draftsUnended"] == said["seenNotStored"] == 0
    assert said["faultCount"] >= 3
    assert said["utterances"]["stored"] == said["utterances"]["expected"] > 0

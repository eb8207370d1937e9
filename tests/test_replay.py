import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ConfigurationError
from realtime_core.replay.outcome import Watched, report, word_error_rate
from realtime_core.replay.recording import open_recording
from realtime_core.replay.turns import Turn, parse_turns, read_text, read_turns, speaking

ALICE = {"identity": "alice:1", "name": "Alice", "from": 1.0, "to": 3}
FIELDS = st.sampled_from(list(ALICE))


def final(utterance_id: str, text: str, from_s: float, to_s: float, **more: Any) -> dict[str, Any]:
    return {
        "type": "transcript",
        "utteranceId": utterance_id,
        "isFinal": True,
        "text": text,
        "speaker": "Alice",
        "startedAt": from_s,
        "endedAt": to_s,
        **more,
    }


def test_turns_are_read_and_what_else_is_said_of_them_is_ignored() -> None:
    turns = parse_turns(json.dumps([ALICE | {"text": "hello"}]))
    assert turns == [Turn("alice:1", "Alice", 1.0, 3.0)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (json.dumps(ALICE), "not a list"),
        ('[{"name": "Alice"}]', "turn 1 has no 'identity'"),
        (json.dumps([ALICE, {**ALICE, "to": "soon"}]), "turn 2 is malformed"),
        (json.dumps(["Alice"]), "turn 1 is malformed"),
        (json.dumps([{**ALICE, "to": None}]), "turn 1 is malformed"),
        (json.dumps([{**ALICE, "name": ""}]), "identity and name"),
        (json.dumps([{**ALICE, "identity": 7}]), "identity and name"),
        (json.dumps([{**ALICE, "to": 0.5}]), "then to end"),
        (json.dumps([{**ALICE, "from": -1}]), "at 0 or later"),
        (json.dumps([{**ALICE, "to": float("inf")}]), "then to end"),
        (json.dumps([{**ALICE, "from": float("nan")}]), "at 0 or later"),
    ],
)
def test_what_is_no_list_of_turns_is_told_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_turns(text)


@given(st.lists(st.none() | st.dictionaries(FIELDS, st.floats() | st.text() | st.none())))
def test_any_json_is_turns_or_told(value: object) -> None:
    try:
        turns = parse_turns(json.dumps(value))
    except ValueError:
        return
    assert all(0 <= turn.from_s <= turn.to_s for turn in turns)


def test_a_turn_is_under_way_from_its_beginning_to_before_its_end() -> None:
    one, other = Turn("a:1", "Alice", 1, 2), Turn("b:1", "Bob", 2, 3)
    under_way = [speaking([one, other], at_s) for at_s in (0.5, 1.0, 1.5, 2.0, 3.0)]
    assert under_way == [[], [one], [one], [other], []]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: No such file"):
        read_turns(tmp_path / "nowhere.json")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read_text(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigurationError, match=r"latin\.txt: not text in UTF-8"):
        read_text(tmp_path / "latin.txt")
    (tmp_path / "turns.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"turns\.json: not a list; it has to be a JSON"):
        read_turns(tmp_path / "turns.json")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [("nowhere.wav", "No such file"), (".", "not a file"), ("/dev/null", "not a file")],
)
async def test_a_recording_that_cannot_be_read_is_named(
    tmp_path: Path, path: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        await open_recording(tmp_path / path)


def test_drafts_are_counted_and_finals_kept_by_utterance() -> None:
    watched = Watched()
    watched.take({"type": "ready", "history": [final("old", "before", 0, 1)]}, 1.0)
    watched.take(final("b", "two", 5, 6) | {"isFinal": False}, 2.0)
    watched.take(final("b", "two", 5, 6), 3.0)
    watched.take(final("a", "one", 1, 2), 4.0)
    watched.take(final("b", "two again", 5, 6.5, speaker="Bob"), 9.0)
    assert watched.drafts == 1
    assert watched.text == "one two again"
    assert watched.speakers == ["Alice", "Bob"]


def test_what_was_taken_back_does_not_count() -> None:
    watched = Watched()
    watched.take(final("a", "one", 1, 2), 4.0)
    watched.take(final("a.2", "two", 2, 3, speaker="Bob"), 4.0)
    watched.take(final("a.2", "", 2, 3, speaker="Bob"), 5.0)
    assert (watched.text, watched.speakers, len(watched.said)) == ("one", ["Alice"], 1)


def test_latency_is_from_the_end_of_speech_to_the_first_final() -> None:
    watched = Watched()
    watched.take(final("a", "one", 1, 2), 103.0)
    watched.take(final("a", "one!", 1, 2), 109.0)
    assert watched.latencies_s(audio_began_at=100.0) == [1.0]


def test_what_the_service_said_last_is_kept() -> None:
    watched = Watched()
    watched.take({"type": "status", "state": "live", "reason": "publisher connected"}, 0.0)
    watched.take({"type": "error", "code": "forbidden", "message": "not for you"}, 0.0)
    watched.take({"type": "pong"}, 0.0)
    assert watched.last_word == "not for you"


@pytest.mark.parametrize("message", [{}, {"type": "transcript"}, {"type": "status"}])
def test_a_message_that_lacks_something_is_not_taken(message: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        Watched().take(message, 0.0)


def test_the_report_has_none_for_what_is_not_known() -> None:
    watched = Watched()
    assert report(watched, "", 0.0)["latencyP50Ms"] is None
    watched.take(final("a", "Hello there", 1, 2), 102.5)
    assert report(watched, "", None)["latencyMaxMs"] is None
    assert report(watched, "hello there", 100.0) == {
        "drafts": 0,
        "finals": 1,
        "speakers": ["Alice"],
        "latencyP50Ms": 500,
        "latencyMaxMs": 500,
        "wordErrorRate": 0.0,
        "reason": "",
    }


@pytest.mark.parametrize(
    ("reference", "heard", "rate"),
    [
        ("Hello, everyone!", "hello everyone", 0.0),
        ("don't stop", "dont stop", 0.5),
        ("one two three four", "one three four", 0.25),
        ("one two", "one zero two", 0.5),
        ("one two", "", 1.0),
        ("one", "two three", 2.0),
        ("", "", 0.0),
    ],
)
def test_word_error_rate_is_edits_per_word_of_the_reference(
    reference: str, heard: str, rate: float
) -> None:
    assert word_error_rate(reference, heard) == rate

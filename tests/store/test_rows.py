import json
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import FinalizedBy, FinalRow, SpeakerShare, Word
from realtime_core.store.rows import COLUMNS, columns, decode, encode, storable
from tests.store.finals import A_FINAL, final

any_text = st.text(st.characters(codec=None, categories=None), max_size=20)
times = st.floats(0, 4e9)
shares = st.none() | st.floats(0, 1)
words = st.builds(Word, any_text, times, times, shares, st.none() | any_text)
finals = st.builds(
    FinalRow,
    any_text,
    any_text,
    any_text,
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    any_text,
    any_text,
    any_text,
    shares,
    st.none() | any_text,
    shares,
    st.lists(words, max_size=3).map(tuple),
    st.sampled_from(FinalizedBy),
    times,
    times,
    times,
    st.lists(st.builds(SpeakerShare, any_text, any_text, st.floats(0, 1)), max_size=2).map(tuple),
)


def is_storable(text: str) -> bool:
    return "\x00" not in text and not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


@given(finals)
def test_a_final_survives_the_journal_but_for_what_text_cannot_hold(row: FinalRow) -> None:
    (expected,) = storable([row])
    assert decode(encode(row)) == expected
    if all(map(is_storable, [row.text, row.speaker, *(word.text for word in row.words)])):
        assert (expected.text, expected.speaker) == (row.text, row.speaker)


@given(finals)
def test_every_text_of_a_storable_final_can_be_stored(row: FinalRow) -> None:
    (clean,) = storable([row])
    values = [column[0] for column in columns([clean])]
    assert all(is_storable(value) for value in values if isinstance(value, str))
    assert "\\u0000" not in (values[list(COLUMNS).index("words")] or "").replace("\\\\u0000", "")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b"null", b'{"rev":"x"}', encode(A_FINAL)[:-9]]
)
def test_bytes_of_no_row_are_told_apart(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a journaled row"):
        decode(data)


def test_a_row_without_a_time_is_not_read_back() -> None:
    with pytest.raises(ValueError, match="not a journaled row"):
        decode(encode(final(1, started_at=math.nan)))


@pytest.mark.parametrize("moment", [math.nan, math.inf, 1e18, -1e18])
def test_a_time_that_no_calendar_has_is_a_fault_of_the_row(moment: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        columns([final(1), final(2, ended_at=moment)])


def test_columns_are_in_the_order_of_their_names() -> None:
    assert list(COLUMNS) == [field.name for field in fields(FinalRow)]
    by_name = dict(zip(COLUMNS, columns([A_FINAL, final(2)]), strict=True))
    assert by_name["utterance_id"] == [A_FINAL.utterance_id, "u2"]
    assert by_name["finalized_by"] == ["stt", "stt"]
    assert by_name["started_at"][0].timestamp() == A_FINAL.started_at


def test_speakers_are_stored_under_the_names_viewers_know() -> None:
    row = final(1, speakers=(SpeakerShare("alice:1", "Alice", 0.75),))
    assert json.loads(dict(zip(COLUMNS, columns([row]), strict=True))["speakers"][0]) == [
        {"id": "alice:1", "name": "Alice", "share": 0.75}
    ]
    assert columns([A_FINAL])[-1] == [None]


def test_a_row_that_an_older_version_wrote_is_read() -> None:
    older = json.loads(encode(A_FINAL))
    del older["speakers"]
    assert decode(json.dumps(older).encode()) == A_FINAL


def test_words_are_stored_under_the_names_viewers_know() -> None:
    stored = dict(zip(COLUMNS, columns([A_FINAL]), strict=True))["words"][0]
    assert json.loads(stored) == [
        {"word": "Hello", "start": 12.25, "end": 12.5, "confidence": 0.5, "speakerId": "alice:1"},
        {"word": "everyone", "start": 12.5, "end": 13.0},
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=12))
def test_a_batch_holds_each_utterance_once_with_its_latest_revision(
    revisions: list[tuple[str, int]],
) -> None:
    rows = [replace(A_FINAL, utterance_id=name, rev=rev) for name, rev in revisions]
    latest = {name: max(rev for each, rev in revisions if each == name) for name, _ in revisions}
    assert {row.utterance_id: row.rev for row in storable(rows)} == latest
    assert len(storable(rows)) == len(latest)

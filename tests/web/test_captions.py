import html
import json
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import FinalizedBy, FinalRow, SpeakerShare, Word
from realtime_core.web.captions import CaptionFormat, render

VTT, SRT, TXT, JSON = CaptionFormat.VTT, CaptionFormat.SRT, CaptionFormat.TXT, CaptionFormat.JSON
BEGAN = 1_790_000_000.0


def row(
    text: str = "Hello everyone", at_s: float = 0.0, length_s: float = 2.0, **more: object
) -> FinalRow:
    plain = FinalRow(
        session_slug="weekly", epoch="b3f1", utterance_id="de0a341d-1b2-00_00000007", rev=2, seq=5,
        text=text, speaker="Alice", speaker_id="alice:1", speaker_confidence=0.9, language="en",
        confidence=0.8, words=(), finalized_by=FinalizedBy.STT, started_at=BEGAN + at_s,
        ended_at=BEGAN + at_s + length_s, received_at=BEGAN + at_s + length_s + 0.5,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of the row


def body(rows: list[FinalRow], caption_format: CaptionFormat, origin: float | None = None) -> str:
    return render(rows, caption_format, origin=origin)[1]


def test_vtt_names_speakers_in_voice_tags() -> None:
    assert body([row(), row("Hi", 3.25, 1, speaker="Bob")], VTT) == (
        "WEBVTT\n\n"
        "de0a341d-1b2-00_00000007\n00:00:00.000 --> 00:00:02.000\n<v Alice>Hello everyone</v>\n\n"
        "de0a341d-1b2-00_00000007\n00:00:03.250 --> 00:00:04.250\n<v Bob>Hi</v>\n"
    )


def test_srt_numbers_its_cues() -> None:
    assert body([row(), row("Hi", 3.25, 1, speaker="Bob")], SRT) == (
        "1\n00:00:00,000 --> 00:00:02,000\nAlice: Hello everyone\n\n"
        "2\n00:00:03,250 --> 00:00:04,250\nBob: Hi\n"
    )


def test_txt_has_a_line_per_utterance() -> None:
    expected = "[00:00:00] Alice: Hello everyone\n[01:02:03] Bob: Hi\n"
    assert body([row(), row("Hi", 3723.9, speaker="Bob")], TXT) == expected


def test_json_speaks_the_protocol() -> None:
    words = (Word("Hello", 12.0, 12.4, 0.9, "alice:1"), Word("everyone", 12.5, 13))
    [first] = json.loads(body([row(at_s=1.5, words=words)], JSON, BEGAN))["transcripts"]
    assert first == {
        "sessionSlug": "weekly", "epoch": "b3f1", "utteranceId": "de0a341d-1b2-00_00000007",
        "text": "Hello everyone", "isFinal": True, "speaker": "Alice", "speakerId": "alice:1",
        "seq": 5, "rev": 2, "startedAt": 1.5, "endedAt": 3.5,
        "startedAtTime": "2026-09-21T14:13:21.500Z", "endedAtTime": "2026-09-21T14:13:23.500Z",
        "receivedAtTime": "2026-09-21T14:13:24.000Z", "language": "en", "confidence": 0.8,
        "speakerConfidence": 0.9, "finalizedBy": "stt",
        "words": [
            {"word": "Hello", "start": 1.5, "end": 1.9, "confidence": 0.9, "speakerId": "alice:1"},
            {"word": "everyone", "start": 2.0, "end": 2.5, "confidence": None, "speakerId": None},
        ],
    }  # fmt: skip


def test_json_lists_all_who_spoke_if_that_was_more_than_one() -> None:
    both = (SpeakerShare("alice:1", "Alice", 0.75), SpeakerShare("bob:1", "Bob", 0.5))
    one, two = json.loads(body([row(), row(at_s=3, speakers=both)], JSON))["transcripts"]
    assert "speakers" not in one
    assert two["speakers"] == [
        {"id": "alice:1", "name": "Alice", "share": 0.75},
        {"id": "bob:1", "name": "Bob", "share": 0.5},
    ]


@pytest.mark.parametrize(
    ("caption_format", "content_type", "empty"),
    [
        (VTT, "text/vtt; charset=utf-8", "WEBVTT\n"),
        (SRT, "application/x-subrip; charset=utf-8", ""),
        (TXT, "text/plain; charset=utf-8", ""),
        (JSON, "application/json; charset=utf-8", '{"transcripts": []}'),
    ],
)
def test_nothing_said_is_an_empty_file(
    caption_format: CaptionFormat, content_type: str, empty: str
) -> None:
    assert render([], caption_format, origin=None) == (content_type, empty)
    assert render([row(""), row(" \n")], caption_format, origin=None) == (content_type, empty)


def test_rows_come_in_the_order_of_speech() -> None:
    assert body([row("second", 5), row("first", 2)], TXT).splitlines() == [
        "[00:00:00] Alice: first",
        "[00:00:03] Alice: second",
    ]


def test_a_retracted_row_does_not_move_the_origin() -> None:
    assert "00:00:00.000 -->" in body([row("", 0), row("Hello", 5)], VTT)


def test_times_count_from_the_origin_and_never_go_below_it() -> None:
    assert "00:00:10.000 --> 00:00:12.000" in body([row()], VTT, BEGAN - 10)
    assert "00:00:00.000 --> 00:00:01.000" in body([row()], VTT, BEGAN + 1)


def test_cues_are_long_enough_to_be_seen() -> None:
    assert "00:00:00.000 --> 00:00:00.500" in body([row(length_s=-3)], VTT)


def test_long_meetings_need_more_digits() -> None:
    assert "100:00:00,000 --> 100:00:02,000" in body([row(at_s=360_000)], SRT, BEGAN)


def test_markup_in_text_and_names_is_text() -> None:
    cue = body([row("a < b & c --> d\n\nNOTE x", speaker="A>B\nC")], VTT).split("\n\n", 1)[1]
    assert cue.splitlines()[2:] == ["<v A&gt;B C>a &lt; b &amp; c --&gt; d NOTE x</v>"]


def test_an_arrow_in_srt_is_no_line_of_times() -> None:
    assert body([row("a --> b")], SRT).splitlines()[2] == "Alice: a → b"


def test_a_speaker_without_a_name_has_no_tag() -> None:
    assert body([row(speaker=" ")], VTT).splitlines()[-1] == "Hello everyone"
    assert body([row(speaker="")], TXT) == "[00:00:00] Hello everyone\n"


# Everything a database can hold: no lone surrogates, no NUL.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
ROWS = st.lists(
    st.builds(
        lambda text, speaker, name, at_s, length_s: row(
            text, at_s, length_s, speaker=speaker, utterance_id=name
        ),
        ANY_TEXT | st.sampled_from(["-->", "<v Bob>", "a\n\nb", "1\n00:00", "&lt;", "\r\r"]),
        ANY_TEXT, ANY_TEXT, st.floats(0, 1e6), st.floats(-1, 20),
    ),
    max_size=8,
)  # fmt: skip
TIME = r"(\d\d+):([0-5]\d):([0-5]\d)[.,](\d\d\d)"
TIMES = re.compile(f"{TIME} --> {TIME}")


def milliseconds(groups: tuple[str, ...]) -> int:
    hour, minute, second, thousandth = (int(group) for group in groups)
    return ((hour * 60 + minute) * 60 + second) * 1000 + thousandth


def blocks_of(text: str) -> list[list[str]]:
    """Cut at empty lines, with the ends of lines that the two formats know."""
    lines = re.split("\r\n|\r|\n", text)
    return [block.split("\n") for block in re.split("\n\n+", "\n".join(lines).strip("\n"))]


def times_of(line: str) -> tuple[int, int]:
    found = TIMES.fullmatch(line)
    assert found
    start_ms, end_ms = milliseconds(found.groups()[:4]), milliseconds(found.groups()[4:])
    assert end_ms >= start_ms + 500
    return start_ms, end_ms


def one_line(text: str) -> str:
    return " ".join(text.split())


def expected_of(rows: list[FinalRow]) -> list[FinalRow]:
    return sorted((each for each in rows if each.text.strip()), key=lambda each: each.started_at)


@given(ROWS)
def test_vtt_reads_back_as_written(rows: list[FinalRow]) -> None:
    header, *blocks = blocks_of(body(rows, VTT, BEGAN))
    assert header == ["WEBVTT"]
    assert len(blocks) == len(expected_of(rows))
    for block, each in zip(blocks, expected_of(rows), strict=True):
        *name, times, spoken = block
        assert [unquote(line) for line in name] == ([each.utterance_id] if name else [])
        assert times_of(times)[0] == round((each.started_at - BEGAN) * 1000)
        assert "-->" not in spoken
        voice = re.fullmatch("<v ([^>]*)>([^<]*)</v>", spoken)
        speaker, text = voice.groups() if voice else ("", spoken)
        assert (html.unescape(speaker), html.unescape(text)) == (
            one_line(each.speaker), one_line(each.text)
        )  # fmt: skip


@given(ROWS)
def test_srt_reads_back_as_written(rows: list[FinalRow]) -> None:
    text = body(rows, SRT, BEGAN)
    expected = expected_of(rows)
    blocks = blocks_of(text) if expected else []
    for number, (block, each) in enumerate(zip(blocks, expected, strict=True), start=1):
        line_number, times, spoken = block
        assert int(line_number) == number
        assert times_of(times)[0] == round((each.started_at - BEGAN) * 1000)
        said, name = one_line(each.text), one_line(each.speaker)
        assert spoken == (f"{name}: {said}" if name else said).replace("-->", "→")


@given(ROWS)
def test_json_keeps_every_text_as_it_is(rows: list[FinalRow]) -> None:
    read = json.loads(body(rows, JSON))["transcripts"]
    assert [each["text"] for each in read] == [each.text for each in expected_of(rows)]
    assert all(0 <= each["startedAt"] < each["endedAt"] for each in read)

"""Every message of Gladia Live v2, and what is not one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.model import Word
from realtime_core.stt.wire import (
    EMPTY_CHUNK,
    LABELS,
    STOP_RECORDING,
    UNUSED_TYPES,
    AudioAck,
    AudioRefused,
    ErrorMessage,
    Malformed,
    SpeechMessage,
    StopAck,
    TranscriptMessage,
    Unknown,
    Unused,
    message_type,
    parse,
)

FRAME = {"session_id": "de0a341d", "created_at": "2024-10-10T14:35:28.387Z"}
UTTERANCE = {
    "text": " Hello wor",
    "start": 0.188,
    "end": 0.9,
    "language": "en",
    "confidence": 1,
    "channel": 0,
    "words": [
        {"word": " Hello", "start": 0.188, "end": 0.735, "confidence": 0.9},
        {"word": " wor", "start": 0.735, "end": 0.9, "confidence": 1},
    ],
}


def _message(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **FRAME, **fields}).encode()


def _transcript(is_final: bool = False, **utterance: Any) -> bytes:
    data = {"id": "00_00000000", "is_final": is_final, "utterance": UTTERANCE | utterance}
    return _message("transcript", data=data)


def test_a_transcript_is_stripped_and_its_numbers_are_floats() -> None:
    assert parse(_transcript()) == TranscriptMessage(
        utterance_id="00_00000000",
        is_final=False,
        text="Hello wor",
        start_s=0.188,
        end_s=0.9,
        language="en",
        confidence=1.0,
        words=(Word("Hello", 0.188, 0.735, 0.9), Word("wor", 0.735, 0.9, 1.0)),
    )


def test_a_final_is_told_from_a_draft() -> None:
    draft, final = parse(_transcript()), parse(_transcript(is_final=True))
    assert (message_type(draft), message_type(final)) == ("draft", "final")


@pytest.mark.parametrize("words", [None, [], "words", [None], [{}], [{"word": " a", "start": 1}]])
def test_missing_words_are_no_words(words: object) -> None:
    message = parse(_transcript(words=words))
    assert isinstance(message, TranscriptMessage)
    assert message.words == ()


@pytest.mark.parametrize(
    "absent", [{"language": None}, {"confidence": None}, {"confidence": "high"}, {"language": 5}]
)
def test_what_is_optional_may_be_missing(absent: dict[str, Any]) -> None:
    message = parse(_transcript(**absent))
    assert isinstance(message, TranscriptMessage)
    assert None in (message.language, message.confidence)


def test_an_utterance_never_ends_before_it_begins() -> None:
    message = parse(_transcript(start=5, end=4))
    assert isinstance(message, TranscriptMessage)
    assert (message.start_s, message.end_s) == (5.0, 5.0)


def test_a_speaker_is_kept_should_one_ever_come() -> None:
    message = parse(_transcript(speaker=2))
    assert isinstance(message, TranscriptMessage)
    assert message.speaker == "2"


@pytest.mark.parametrize(("name", "started"), [("speech_start", True), ("speech_end", False)])
def test_speech_events(name: str, started: bool) -> None:
    message = parse(_message(name, data={"time": 12, "channel": 0}))
    assert message == SpeechMessage(started, 12.0)
    assert message_type(message) == name


def test_an_acknowledgement_tells_its_range() -> None:
    data = {"byte_range": [3200, 6400], "time_range": [0.1, 0.2]}
    message = parse(_message("audio_chunk", acknowledged=True, error=None, data=data))
    assert message == AudioAck(3200, 6400)


@pytest.mark.parametrize("data", [None, {}, [], {"byte_range": [0, 10]}])
@pytest.mark.parametrize(
    ("error", "reason"), [({"message": "quota"}, "quota"), (None, "no reason given")]
)
def test_a_refused_chunk_needs_no_data(data: object, error: object, reason: str) -> None:
    message = parse(_message("audio_chunk", acknowledged=False, error=error, data=data))
    assert message == AudioRefused(reason)


@pytest.mark.parametrize("accepted", [True, False])
def test_the_answers_to_a_stop(accepted: bool) -> None:
    error = None if accepted else {"status_code": 409, "exception": "ConflictError"}
    message = parse(_message("stop_recording", acknowledged=accepted, error=error, data=None))
    assert message == StopAck(accepted)


@pytest.mark.parametrize("name", sorted(UNUSED_TYPES))
@pytest.mark.parametrize("data", [None, {"anything": 1}])
def test_what_is_not_needed_is_known_by_name(name: str, data: object) -> None:
    message = parse(_message(name, data=data, error=None))
    assert message == Unused(name)
    assert message_type(message) == name


def test_an_error_says_why() -> None:
    assert parse(_message("error", data={"message": "later"})) == ErrorMessage("later")
    assert parse(_message("error", data=None)) == ErrorMessage("no reason given")


def test_an_unknown_type_is_unknown() -> None:
    assert parse(_message("novelty", data={})) == Unknown()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\x00",
        b'{"type":"transc',
        b"[]",
        b"null",
        b"{}",
        b'{"type":7}',
        b"[" * 100_000,
        _message("transcript", data=None),
        _message("transcript"),
        _message("transcript", data={"id": "a", "is_final": True, "utterance": None}),
        _message("transcript", data={"utterance": UTTERANCE}),
        _transcript(text=None),
        _transcript(start=None),
        _transcript(start=True),
        _message("speech_start", data=None),
        _message("audio_chunk", acknowledged=True, data=None),
        _message("audio_chunk", acknowledged=True, data={"byte_range": [1]}),
        _message("audio_chunk", acknowledged=True, data={"byte_range": [-1, 5]}),
        _message("audio_chunk", acknowledged=True, data={"byte_range": ["0", "5"]}),
    ],
)
def test_what_makes_no_sense_is_malformed(frame: bytes) -> None:
    assert parse(frame) == Malformed()


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
TYPES = st.sampled_from(["transcript", "speech_start", "audio_chunk", "stop_recording", "error"])


@pytest.mark.slow
@given(kind=TYPES, data=ANY_JSON, inner=ANY_JSON, acknowledged=ANY_JSON)
def test_nothing_that_can_come_raises(
    kind: str, data: object, inner: object, acknowledged: object
) -> None:
    nested = {"id": "a", "utterance": inner, "byte_range": inner, "time": inner}
    for body in (data, nested, {"id": "a", "utterance": nested | {"text": "", "words": data}}):
        text = json.dumps({"type": kind, "data": body, "acknowledged": acknowledged})
        assert message_type(parse(text)) in {
            *LABELS.values(),
            *("draft", "final", "speech_start", "speech_end"),
        }


def test_what_is_sent_is_json() -> None:
    assert json.loads(STOP_RECORDING) == {"type": "stop_recording"}
    assert json.loads(EMPTY_CHUNK) == {"type": "audio_chunk", "data": {"chunk": ""}}

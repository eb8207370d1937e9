import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from realtime_core.errors import RequestError
from realtime_core.hub import wire
from realtime_core.hub.wire import CloseCode
from realtime_core.model import AudioGap, FinalizedBy
from tests.hub.examples import draft, final

ORIGINAL_FIELDS = [
    "type",
    "sessionSlug",
    "utteranceId",
    "text",
    "isFinal",
    "speaker",
    "speakerId",
    "ts",
]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_frame_is_what_another_implementation_writes(length: int) -> None:
    payload = b"x" * length
    assert wire.frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(st.binary(max_size=300))
def test_any_payload_is_framed_exactly(payload: bytes) -> None:
    assert wire.frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@pytest.mark.parametrize("length", [0, 125])
def test_a_pong_is_what_another_implementation_writes(length: int) -> None:
    payload = b"x" * length
    assert wire.pong_frame(payload) == Frame(Opcode.PONG, payload).serialize(mask=False)


def test_a_draft_has_the_original_fields_first_and_neither_words_nor_finalizer() -> None:
    message = json.loads(wire.transcript_message(draft(3), sent_at_ms=1790000000123).encode())
    assert list(message)[:8] == ORIGINAL_FIELDS
    assert message == {
        "type": "transcript",
        "sessionSlug": "weekly",
        "utteranceId": "u1",
        "text": "Hello",
        "isFinal": False,
        "speaker": "Alice",
        "speakerId": "alice:1",
        "ts": 1790000000123,
        "seq": 3,
        "rev": 1,
        "startedAt": 12.34,
        "endedAt": 13.9,
        "language": "en",
        "confidence": 0.92,
        "speakerConfidence": 0.851,
    }


def test_a_final_has_words_and_says_who_finalised_it() -> None:
    transcript = replace(final(3), finalized_by=FinalizedBy.TIMEOUT)
    message = json.loads(wire.transcript_message(transcript, sent_at_ms=1).encode())
    assert message["finalizedBy"] == "timeout"
    assert message["words"] == [
        {"word": "Hello", "start": 12.34, "end": 12.6, "confidence": 0.9, "speakerId": "alice:1"}
    ]
    assert message["language"] is message["confidence"] is message["speakerConfidence"] is None


@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("half a pair: \ud83d")
def test_no_text_can_break_the_encoding(text: str) -> None:
    payload = wire.transcript_message(draft(1, text), sent_at_ms=1).encode()
    decoded = json.loads(payload)["text"]
    assert decoded == text.encode("utf-8", "replace").decode()


def test_half_a_surrogate_pair_in_a_final_leaves_the_rest_as_it_was() -> None:
    bad, good = final(1, "a\ud800"), final(1, "a?")
    assert (
        wire.transcript_message(bad, sent_at_ms=1).encode()
        == wire.transcript_message(good, sent_at_ms=1).encode()
    )


def test_a_gap_says_from_when_to_when() -> None:
    message = wire.gap_message("weekly", AudioGap(101.2, 104.70000001, "stt unavailable"))
    assert json.loads(message.encode()) == {
        "type": "gap",
        "sessionSlug": "weekly",
        "from": 101.2,
        "to": 104.7,
        "reason": "stt unavailable",
    }


def test_an_error_names_the_field_only_when_there_is_one() -> None:
    with_field = wire.ErrorMessage.of(RequestError(400, "c", "m", "identity"))
    without = wire.ErrorMessage.of(RequestError(400, "c", "m"))
    assert json.loads(with_field.encode())["field"] == "identity"
    assert json.loads(without.encode()) == {"type": "error", "code": "c", "message": "m"}


def test_only_slowness_and_shutdown_mean_come_back() -> None:
    assert {code for code in CloseCode if code.come_back} == {4001, 4008}
    assert all(len(code.reason) <= 123 for code in CloseCode)


def test_a_posted_transcript_may_lack_all_but_the_original_fields() -> None:
    original = {
        "type": "transcript",
        "sessionSlug": "weekly",
        "utteranceId": "u1",
        "text": "Hello",
        "isFinal": True,
        "speaker": "Alice",
        "speakerId": "alice:1",
        "ts": 1790000000123,
    }
    message = wire.parse_transcript(json.dumps(original).encode())
    assert json.loads(message.encode()) == original | {
        "language": None,
        "confidence": None,
        "speakerConfidence": None,
    }


def test_what_we_send_can_be_read_back_as_posted() -> None:
    message = wire.transcript_message(final(3), sent_at_ms=5)
    assert wire.parse_transcript(message.encode()) == message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"isFinal": "yes"}, "isFinal"),
        ({"text": None}, "text"),
        ({"sessionSlug": "../x"}, "sessionSlug"),
        ({"seq": 0}, "seq"),
        ({"surprise": 1}, "surprise"),
        ({"type": "status"}, "type"),
        ({"words": [{"word": 1}]}, "words"),
    ],
)
def test_a_posted_transcript_is_read_strictly(change: dict[str, object], field: str) -> None:
    message = wire.transcript_message(draft(1), sent_at_ms=5).encode()
    with pytest.raises(RequestError) as caught:
        wire.parse_transcript(json.dumps(json.loads(message) | change).encode())
    assert (caught.value.status, caught.value.field) == (400, field)

import json
from typing import Any

import pytest

from gladia_emulator.config import InvalidRequest, StreamingRequest, parse_request

EVERY_OPTION: dict[str, Any] = {
    "encoding": "wav/pcm",
    "bit_depth": 16,
    "sample_rate": 48000,
    "channels": 2,
    "model": "solaria-1",
    "endpointing": 0.3,
    "maximum_duration_without_endpointing": 15,
    "custom_metadata": {"room": "r-1", "nested": {"a": [1]}},
    "language_config": {"languages": ["en", "fr"], "code_switching": True},
    "pre_processing": {"audio_enhancer": True, "speech_threshold": 1},
    "realtime_processing": {
        "custom_vocabulary": True,
        "custom_vocabulary_config": {
            "vocabulary": ["Gladia", {"value": "LiveKit", "intensity": 0.4, "language": "en"}],
            "default_intensity": 0.5,
        },
        "custom_spelling": True,
        "custom_spelling_config": {"spelling_dictionary": {"Gladia": ["Gadia"]}},
        "translation": True,
        "translation_config": {"target_languages": ["fr", "wo"], "model": "enhanced"},
        "named_entity_recognition": True,
        "sentiment_analysis": True,
        "words_accurate_timestamps": False,
    },
    "post_processing": {"summarization": True, "summarization_config": {"type": "concise"}},
    "messages_config": {"receive_partial_transcripts": True},
    "callback": True,
    "callback_config": {"url": "https://example.com", "receive_errors": True},
}


def parse(body: object) -> StreamingRequest:
    return parse_request(json.dumps(body).encode())


def test_every_documented_option_is_accepted() -> None:
    request = parse(EVERY_OPTION)
    assert request.model_dump(exclude_unset=True) == EVERY_OPTION


def test_empty_body_has_the_documented_defaults() -> None:
    request = parse({})
    assert (request.encoding, request.bit_depth, request.sample_rate) == ("wav/pcm", 16, 16000)
    assert (request.endpointing, request.maximum_duration_without_endpointing) == (0.05, 5)
    messages = request.messages_config
    assert not messages.receive_partial_transcripts
    assert not messages.receive_lifecycle_events
    assert messages.receive_final_transcripts
    assert messages.receive_acknowledgments
    assert request.language == "en"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"encoding": "mp3"}, "encoding"),
        ({"bit_depth": 12}, "bit_depth"),
        ({"sample_rate": 22050}, "sample_rate"),
        ({"channels": 0}, "channels"),
        ({"channels": 9}, "channels"),
        ({"channels": "1"}, "channels"),
        ({"channels": True}, "channels"),
        ({"model": "solaria-3"}, "model"),
        ({"endpointing": 0.009}, "endpointing"),
        ({"endpointing": 10.1}, "endpointing"),
        ({"endpointing": "0.3"}, "endpointing"),
        ({"endpointing": None}, "endpointing"),
        ({"maximum_duration_without_endpointing": 4}, "maximum_duration_without_endpointing"),
        ({"maximum_duration_without_endpointing": 61}, "maximum_duration_without_endpointing"),
        ({"custom_metadata": []}, "custom_metadata"),
        ({"custom_metadata": {"x": "y" * 2000}}, "custom_metadata"),
        ({"language_config": {"languages": "en"}}, "language_config.languages"),
        ({"language_config": {"languages": ["xx"]}}, "language_config.languages.0"),
        ({"language_config": {"code_switching": "yes"}}, "language_config.code_switching"),
        ({"pre_processing": {"speech_threshold": 1.1}}, "pre_processing.speech_threshold"),
        ({"messages_config": {"receive_errors": 1}}, "messages_config.receive_errors"),
        ({"realtime_processing": {"translation": True}}, "realtime_processing"),
        ({"realtime_processing": {"custom_vocabulary": True}}, "realtime_processing"),
        ({"callback_config": {"url": 1}}, "callback_config.url"),
        ({"diarization": True}, "diarization"),
        ({"audio_intelligence_config": {}}, "audio_intelligence_config"),
    ],
)
def test_wrong_values_are_refused_by_name(body: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    (error,) = caught.value.errors
    assert error.startswith(f'Field "{field}"')


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse({"channels": 9, "region": "eu-west", "model": "x"})
    assert len(caught.value.errors) == 3


@pytest.mark.parametrize(
    ("encoding", "depth", "rate", "channels", "expected"),
    [
        ("wav/pcm", 16, 16000, 1, 32_000),
        ("wav/pcm", 24, 48000, 2, 288_000),
        ("wav/ulaw", 16, 8000, 1, 8_000),
    ],
)
def test_bytes_per_second(
    encoding: str, depth: int, rate: int, channels: int, expected: int
) -> None:
    body = {"encoding": encoding, "bit_depth": depth, "sample_rate": rate, "channels": channels}
    assert parse(body).bytes_per_second == expected

"""What is asked of Gladia."""

from __future__ import annotations

from realtime_core.stt.config import GladiaConfig
from realtime_core.stt.request import start_body


def test_the_request_says_what_is_wanted_and_nothing_unknown() -> None:
    config = GladiaConfig(
        api_url="https://api.gladia.io",
        api_key="k",
        languages=("en", "de"),
        code_switching=True,
        vocabulary=("Grafana", "Kyiv"),
        speech_threshold=0.7,
        audio_enhancer=True,
        region="eu-west",
    )
    body = start_body(config, "weekly")
    messages = body.pop("messages_config")
    assert body == {
        "encoding": "wav/pcm",
        "bit_depth": 16,
        "sample_rate": 16_000,
        "channels": 1,
        "model": "solaria-1",
        "endpointing": 0.3,
        "maximum_duration_without_endpointing": 15.0,
        "language_config": {"languages": ["en", "de"], "code_switching": True},
        "pre_processing": {"audio_enhancer": True, "speech_threshold": 0.7},
        "realtime_processing": {
            "custom_vocabulary": True,
            "custom_vocabulary_config": {"vocabulary": ["Grafana", "Kyiv"]},
        },
        "custom_metadata": {"sessionSlug": "weekly"},
    }
    assert messages["receive_acknowledgments"]
    assert messages["receive_partial_transcripts"]
    assert not messages["receive_post_processing_events"]


def test_what_nobody_set_is_left_to_the_provider() -> None:
    body = start_body(GladiaConfig(api_url="https://api.gladia.io", api_key="k"), "weekly")
    assert "realtime_processing" not in body
    assert "speech_threshold" not in body["pre_processing"]


def test_the_key_is_in_no_repr() -> None:
    assert "k-secret" not in repr(GladiaConfig(api_url="https://a", api_key="k-secret"))

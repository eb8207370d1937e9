"""What Gladia Live v2 is asked for: the body of the session request. Pure."""

from __future__ import annotations

from typing import Any

from realtime_core.model import SAMPLE_RATE_HZ
from realtime_core.stt.config import GladiaConfig


def start_body(config: GladiaConfig, session: str) -> dict[str, Any]:
    """Return the body of ``POST /v2/live``; only known keys, for others are refused."""
    body: dict[str, Any] = {
        "encoding": "wav/pcm",
        "bit_depth": 16,
        "sample_rate": SAMPLE_RATE_HZ,
        "channels": 1,
        "model": config.model,
        "endpointing": config.endpointing_s,
        "maximum_duration_without_endpointing": config.max_utterance_s,
        "language_config": {
            "languages": list(config.languages),
            "code_switching": config.code_switching,
        },
        "pre_processing": {"audio_enhancer": config.audio_enhancer},
        "custom_metadata": {"sessionSlug": session},
        "messages_config": _messages_config(),
    }
    if config.speech_threshold is not None:
        body["pre_processing"]["speech_threshold"] = config.speech_threshold
    if config.vocabulary:
        body["realtime_processing"] = {
            "custom_vocabulary": True,
            "custom_vocabulary_config": {"vocabulary": list(config.vocabulary)},
        }
    return body


def _messages_config() -> dict[str, bool]:
    return {
        "receive_partial_transcripts": True,
        "receive_final_transcripts": True,
        "receive_speech_events": True,
        "receive_acknowledgments": True,  # without them nothing can be resumed
        "receive_errors": True,
        "receive_lifecycle_events": True,
        "receive_pre_processing_events": False,
        "receive_realtime_processing_events": False,
        "receive_post_processing_events": False,  # megabytes after a long meeting
    }

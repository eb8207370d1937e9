"""What comes with finals and after the recording: stand-ins for the add-ons. Pure.

They have the right form and follow the request; what they say is made up.
"""

from __future__ import annotations

from collections.abc import Sequence

from gladia_emulator import wire
from gladia_emulator.config import RealtimeProcessing, StreamingRequest
from gladia_emulator.wire import Message


def with_final(asked: RealtimeProcessing, utterance_id: str, said: Message) -> list[Message]:
    """Return the messages that follow a final."""
    about: Message = {"utterance_id": utterance_id, "utterance": said}
    messages = []
    if asked.translation and asked.translation_config is not None:
        targets = asked.translation_config.target_languages
        messages += [_addon("translation", about | _translated(said, target)) for target in targets]
    if asked.named_entity_recognition:
        messages.append(_addon("named_entity_recognition", about | {"results": []}))
    if asked.sentiment_analysis:
        messages.append(_addon("sentiment_analysis", about | {"results": [_calm(said)]}))
    return messages


def after_recording(
    request: StreamingRequest, utterances: Sequence[Message], result: Message
) -> list[Message]:
    """Return the post-processing messages, in their order."""
    messages: list[Message] = [{"type": "post_transcript", "data": result["transcription"]}]
    if request.post_processing.summarization:
        messages.append(_addon("post_summarization", {"results": summary(utterances)}))
    return [*messages, {"type": "post_final_transcript", "data": result}]


def result_of(
    request: StreamingRequest, utterances: Sequence[Message], recorded_s: float, took_s: float
) -> Message:
    """Return what ``post_final_transcript`` and GET tell about a session."""
    languages = list(dict.fromkeys(each["language"] for each in utterances))
    result: Message = {
        "metadata": {
            "audio_duration": round(recorded_s, 3),
            "number_of_distinct_channels": request.channels,
            "billing_time": round(recorded_s * request.channels, 3),
            "transcription_time": round(took_s, 3),
        },
        "transcription": wire.transcription(utterances, languages),
    }
    if request.post_processing.summarization:
        result["summarization"] = {
            "success": True,
            "is_empty": not utterances,
            "exec_time": 0.0,
            "error": None,
            "results": summary(utterances),
        }
    return result


def summary(utterances: Sequence[Message]) -> str:
    """Return what stands for a summary."""
    return f"{len(utterances)} utterances were spoken."


def _addon(kind: str, data: Message) -> Message:
    return {"type": kind, "error": None, "data": data}


def _translated(said: Message, target: str) -> Message:
    translated = {**said, "text": f" [{target}]{said['text']}", "language": target}
    return {
        "original_language": said["language"],
        "target_language": target,
        "translated_utterance": translated,
    }


def _calm(said: Message) -> Message:
    parts = {name: said[name] for name in ("start", "end", "channel")}
    return {"sentiment": "neutral", "emotion": "neutral", "text": said["text"].strip(), **parts}

"""The body of ``POST /v2/live``: every option, its type and its range. Pure.

Stricter than a client should need: unknown keys, wrong types and values out of range are all
refused.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

LANGUAGES = frozenset(
    """af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he
    hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl
    nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz
    vi yi yo zh""".split()  # noqa: SIM905 - a hundred quoted codes would fill a page
)
REGIONS = frozenset({"eu-west", "us-west"})
MOST_METADATA_CHARACTERS = 2_000


class InvalidRequest(Exception):
    """The body cannot be accepted; ``errors`` has one line for each fault."""

    def __init__(self, message: str, errors: list[str]) -> None:
        super().__init__(message)
        self.message, self.errors = message, errors


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise ValueError("must be a supported language code")
    return code


def _known_target(code: str) -> str:
    return code if code == "wo" else _known_language(code)


def _short_enough(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(metadata)) > MOST_METADATA_CHARACTERS:
        raise ValueError(f"must have at most {MOST_METADATA_CHARACTERS} characters as JSON")
    return metadata


Share = Annotated[float, Field(ge=0, le=1)]
Language = Annotated[str, AfterValidator(_known_language)]
TargetLanguage = Annotated[str, AfterValidator(_known_target)]
Metadata = Annotated[dict[str, Any], AfterValidator(_short_enough)]


class Options(BaseModel):
    """What all parts of the body have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LanguageConfig(Options):
    """Which languages may be spoken, and whether they may change."""

    languages: list[Language] = []
    code_switching: bool = False


class PreProcessing(Options):
    """What is done to the audio before it is transcribed."""

    audio_enhancer: bool = False
    speech_threshold: Share = 0.6


class VocabularyEntry(Options):
    """One word that the recogniser is to prefer."""

    value: str
    intensity: Share = 0.5
    pronunciations: list[str] = []
    language: Language = "en"


class VocabularyConfig(Options):
    """Words that the recogniser is to prefer."""

    vocabulary: list[str | VocabularyEntry]
    default_intensity: Share = 0.5


class SpellingConfig(Options):
    """Spellings that replace others."""

    spelling_dictionary: dict[str, list[str]]


class TranslationConfig(Options):
    """Into which languages finals are translated, and how."""

    target_languages: Annotated[list[TargetLanguage], Field(min_length=1)]
    model: Literal["base", "enhanced", "batch"] = "base"
    match_original_utterances: bool = True
    lipsync: bool = True
    context_adaptation: bool = True
    context: str = ""
    informal: bool = False


class RealtimeProcessing(Options):
    """What is done with each final at once."""

    custom_vocabulary: bool = False
    custom_vocabulary_config: VocabularyConfig | None = Field(default=None)
    custom_spelling: bool = False
    custom_spelling_config: SpellingConfig | None = Field(default=None)
    translation: bool = False
    translation_config: TranslationConfig | None = Field(default=None)
    named_entity_recognition: bool = False
    sentiment_analysis: bool = False
    # Gone from the documentation, but clients in the field send it in every session.
    words_accurate_timestamps: bool = False

    @model_validator(mode="after")
    def _switches_have_their_config(self) -> RealtimeProcessing:
        for switch in ("custom_vocabulary", "custom_spelling", "translation"):
            if getattr(self, switch) and getattr(self, f"{switch}_config") is None:
                raise ValueError(f"{switch} needs {switch}_config")
        return self


class SummarizationConfig(Options):
    """The kind of summary."""

    type: Literal["general", "bullet_points", "concise"] = "general"


class PostProcessing(Options):
    """What is done when the session is over."""

    summarization: bool = False
    summarization_config: SummarizationConfig = SummarizationConfig()
    chapterization: bool = False


class MessagesConfig(Options):
    """Which messages go to the WebSocket."""

    receive_partial_transcripts: bool = False
    receive_final_transcripts: bool = True
    receive_speech_events: bool = True
    receive_pre_processing_events: bool = True
    receive_realtime_processing_events: bool = True
    receive_post_processing_events: bool = True
    receive_acknowledgments: bool = True
    receive_errors: bool = True
    receive_lifecycle_events: bool = False


class CallbackConfig(Options):
    """Which messages would go to a callback; accepted, but nothing is called."""

    url: str = ""
    receive_partial_transcripts: bool = False
    receive_final_transcripts: bool = True
    receive_speech_events: bool = False
    receive_pre_processing_events: bool = True
    receive_realtime_processing_events: bool = True
    receive_post_processing_events: bool = True
    receive_acknowledgments: bool = False
    receive_errors: bool = False
    receive_lifecycle_events: bool = True


class StreamingRequest(Options):
    """The whole body; ``{}`` is valid."""

    encoding: Literal["wav/pcm", "wav/alaw", "wav/ulaw"] = "wav/pcm"
    bit_depth: Literal[8, 16, 24, 32] = 16
    sample_rate: Literal[8000, 16000, 32000, 44100, 48000] = 16000
    channels: Annotated[int, Field(ge=1, le=8)] = 1
    model: Literal["solaria-1"] = "solaria-1"
    endpointing: Annotated[float, Field(ge=0.01, le=10)] = 0.05
    maximum_duration_without_endpointing: Annotated[float, Field(ge=5, le=60)] = 5
    custom_metadata: Metadata = {}
    language_config: LanguageConfig = LanguageConfig()
    pre_processing: PreProcessing = PreProcessing()
    realtime_processing: RealtimeProcessing = RealtimeProcessing()
    post_processing: PostProcessing = PostProcessing()
    messages_config: MessagesConfig = MessagesConfig()
    callback: bool = False
    callback_config: CallbackConfig = CallbackConfig()

    @property
    def bytes_per_sample(self) -> int:
        """The size of one sample of one channel; the companded encodings have 8 bits."""
        return self.bit_depth // 8 if self.encoding == "wav/pcm" else 1

    @property
    def bytes_per_second(self) -> int:
        """How many bytes of audio make a second of the session's clock."""
        return self.sample_rate * self.bytes_per_sample * self.channels

    @property
    def language(self) -> str:
        """The language that transcripts claim; detection is not emulated."""
        return next(iter(self.language_config.languages), "en")


def parse_request(body: bytes, region: str | None = None) -> StreamingRequest:
    """Read a body and the query's region.

    Raises:
        InvalidRequest: Something in them is wrong.
    """
    if region is not None and region not in REGIONS:
        raise InvalidRequest("Invalid parameter(s)", ['Field "region": must be eu-west or us-west'])
    try:
        return StreamingRequest.model_validate_json(body)
    except ValidationError as exc:
        errors = [_sentence(error) for error in exc.errors()]
        raise InvalidRequest("Invalid parameter(s)", errors) from exc


def _sentence(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f'Field "{where}" is unknown'
    return f'Field "{where}": {error["msg"]}' if where else error["msg"]

"""What a viewer saw of a replay, and what that comes to."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz.distance import Levenshtein

from realtime_core.errors import RealtimeCoreError

WORD = re.compile(r"[\w']+")


class ReplayFailed(RealtimeCoreError):
    """The replay broke off. Nothing has to be changed; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Final:
    """The latest revision of an utterance's final; times are on the session clock.

    Attributes:
        arrived_at: When its first revision came, on the viewer's clock.
    """

    text: str
    speaker: str
    started_at_s: float
    ended_at_s: float
    arrived_at: float


@dataclass
class Watched:
    """What the viewer saw.

    Attributes:
        drafts: How many drafts came.
        finals: By utterance id.
        last_word: What the service said last of the session's state, or of an error.
    """

    drafts: int = 0
    finals: dict[str, Final] = field(default_factory=dict)
    last_word: str = ""

    @property
    def said(self) -> list[Final]:
        """The finals with a text; an empty one takes back what was shown before."""
        return [final for final in self.finals.values() if final.text]

    def take(self, message: dict[str, Any], now: float) -> None:
        """Note one message of the service.

        Raises:
            LookupError, TypeError, ValueError: It is not what ``docs/protocol.md`` says.
        """
        match message["type"]:
            case "transcript" if message["isFinal"]:
                self._take_final(message, now)
            case "transcript":
                self.drafts += 1
            case "status":
                self.last_word = str(message["reason"])
            case "error":
                self.last_word = str(message["message"])
            case _:
                pass  # ready, gap, pong, and what later versions send

    def _take_final(self, message: dict[str, Any], now: float) -> None:
        key = str(message["utteranceId"])
        earlier = self.finals.get(key)
        self.finals[key] = Final(
            str(message["text"]),
            str(message["speaker"]),
            float(message["startedAt"]),
            float(message["endedAt"]),
            earlier.arrived_at if earlier else now,
        )

    @property
    def text(self) -> str:
        """The finals' text in the order in which it was spoken."""
        in_order = sorted(self.said, key=lambda final: final.started_at_s)
        return " ".join(final.text for final in in_order)

    @property
    def speakers(self) -> list[str]:
        """Who was named, each once."""
        return sorted({final.speaker for final in self.said})

    def latencies_s(self, audio_began_at: float) -> list[float]:
        """Return how long after its last word each final arrived.

        Args:
            audio_began_at: When the session clock was 0, on the viewer's clock.
        """
        return [final.arrived_at - (audio_began_at + final.ended_at_s) for final in self.said]


def report(watched: Watched, reference: str, audio_began_at: float | None) -> dict[str, Any]:
    """Return what is reported of a replay; what is not known is None."""
    latencies_s = [] if audio_began_at is None else watched.latencies_s(audio_began_at)
    return {
        "drafts": watched.drafts,
        "finals": len(watched.said),
        "speakers": watched.speakers,
        "latencyP50Ms": _ms(statistics.median(latencies_s)) if latencies_s else None,
        "latencyMaxMs": _ms(max(latencies_s)) if latencies_s else None,
        "wordErrorRate": round(word_error_rate(reference, watched.text), 3) if reference else None,
        "reason": watched.last_word,
    }


def word_error_rate(reference: str, heard: str) -> float:
    """Return the share of the reference's words that would have to be edited."""
    expected, got = _words(reference), _words(heard)
    return Levenshtein.distance(expected, got) / max(len(expected), 1)


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

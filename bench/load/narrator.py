"""What the stub says of a room: drafts that grow, each tenth a final, each with a stamp. Pure."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import msgspec

SENTENCE = (
    "so what we measured last week was the time between the end of a sentence and the moment in "
    "which everybody in the room could read it and I think that we should look at the slowest of "
    "them because nobody remembers a caption that was on time"
)
WORDS = SENTENCE.split()
WORDS_PER_DRAFT = 3
CONFIDENCE = 0.92


class Narrator:
    """One STT session's utterances, in Gladia's form.

    Args:
        drafts_per_final: Every so many messages one is a final, and a new utterance begins.
    """

    def __init__(self, session_id: str, slug: str, drafts_per_final: int) -> None:
        self._session_id, self._slug = session_id, slug
        self._drafts_per_final = drafts_per_final
        self._utterance = self._said = 0
        self._start_s = 0.0

    @property
    def has_draft(self) -> bool:
        """Whether an utterance is open."""
        return self._said > 0

    def next(self, seq: int, now_ns: int, audio_s: float, *, is_last: bool = False) -> bytes:
        """Return the next transcript.

        Args:
            seq, now_ns: What the stamp says.
            audio_s: How much audio has come; the utterance reaches up to there.
            is_last: Make it a final, whatever its turn.
        """
        self._start_s = self._start_s if self._said else audio_s
        self._said += 1
        words = list(islice(cycle(WORDS), WORDS_PER_DRAFT * self._said))
        words.append(f"@{self._slug}:{seq}:{now_ns}")
        is_final = is_last or self._said == self._drafts_per_final
        message = self._message(words, audio_s, is_final)
        if is_final:
            self._utterance, self._said = self._utterance + 1, 0
        return msgspec.json.encode(message)

    def _message(self, words: list[str], end_s: float, is_final: bool) -> dict[str, Any]:
        utterance = {
            "text": " " + " ".join(words),
            "start": self._start_s,
            "end": end_s,
            "language": "en",
            "confidence": CONFIDENCE,
            "channel": 0,
            "words": self._words(words, end_s),
        }
        data = {"id": f"00_{self._utterance:08}", "is_final": is_final, "utterance": utterance}
        return {"type": "transcript", "session_id": self._session_id, "data": data}

    def _words(self, words: list[str], end_s: float) -> list[dict[str, Any]]:
        each_s = (end_s - self._start_s) / len(words)
        return [
            {
                "word": " " + word,
                "start": self._start_s + each_s * index,
                "end": self._start_s + each_s * (index + 1),
                "confidence": CONFIDENCE,
            }
            for index, word in enumerate(words)
        ]

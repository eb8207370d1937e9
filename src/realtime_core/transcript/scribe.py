"""Writes transcripts: numbers, names and words for what an utterance says. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from realtime_core.model import ROOM_SPEAKER, Attribution, FinalizedBy, Transcript, Word
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline
from realtime_core.transcript.utterances import Utterance


class Instant(NamedTuple):
    """One moment on both clocks: the event loop's and the session's."""

    loop_s: float
    session_s: float


class Scribe:
    """Writes what is sent of one session: each transcript gets the next ``seq`` and ``rev``.

    A transcript that is written counts as sent; one that would look like the last is not
    written.
    """

    def __init__(self, slug: str, speakers: SpeakerTimeline, *, first_seq: int) -> None:
        self._slug, self._speakers = slug, speakers
        self.seq = first_seq - 1
        self.drafts = 0
        self.finals: Counter[FinalizedBy] = Counter()
        self.sources: Counter[SpeakerSource] = Counter()

    def draft(self, utterance: Utterance, at: Instant) -> Transcript | None:
        """Write a snapshot of ``utterance``, or nothing when viewers would see no change."""
        speaker = self._attribute(utterance, at)
        draft = self._transcript(utterance, speaker, utterance.heard.received_at)
        if utterance.shown is not None and _looks(draft) == _looks(utterance.shown):
            return None
        self.drafts += 1
        return self._sent(utterance, draft)

    def final(
        self, utterance: Utterance, by: FinalizedBy, received_at: float, at: Instant
    ) -> Transcript:
        """Write a final of ``utterance``; ``received_at`` is the loop time of its cause."""
        speaker = self._attribute(utterance, at)
        final = replace(
            self._transcript(utterance, speaker, received_at),
            is_final=True,
            finalized_by=by,
            words=self._words(utterance, speaker, at),
        )
        self.finals[by] += 1
        self.sources[utterance.source] += 1
        return self._sent(utterance, final)

    def _sent(self, utterance: Utterance, transcript: Transcript) -> Transcript:
        self.seq, utterance.rev, utterance.shown = transcript.seq, transcript.rev, transcript
        return transcript

    def _transcript(
        self, utterance: Utterance, speaker: Attribution, received_at: float
    ) -> Transcript:
        heard = utterance.heard
        return Transcript(
            session_slug=self._slug,
            utterance_id=utterance.id,
            text=heard.text,
            is_final=False,
            speaker=speaker.speaker,
            speaker_id=speaker.speaker_id,
            speaker_confidence=speaker.confidence,
            seq=self.seq + 1,
            rev=utterance.rev + 1,
            start_s=heard.start_s,
            end_s=heard.end_s,
            received_at=received_at,
            language=heard.language,
            confidence=heard.confidence,
        )

    def _attribute(self, utterance: Utterance, at: Instant) -> Attribution:
        """Attribute an utterance; a fallback replaces no name that was already shown.

        The fallbacks say who speaks *now*, so the earlier answer was nearer to the speech.
        """
        heard, shown = utterance.heard, utterance.shown
        found, source = self._speakers.attribute(
            heard.start_s, heard.end_s, now_s=at.session_s, stt_speaker=heard.speaker
        )
        if shown is None or shown.speaker_id == ROOM_SPEAKER or source is SpeakerSource.OVERLAP:
            utterance.source = source
            return found
        return Attribution(shown.speaker, shown.speaker_id, shown.speaker_confidence)

    def _words(self, utterance: Utterance, speaker: Attribution, at: Instant) -> tuple[Word, ...]:
        words = utterance.heard.words
        return tuple(replace(word, speaker_id=self._voice(word, speaker, at)) for word in words)

    def _voice(self, word: Word, speaker: Attribution, at: Instant) -> str:
        """Return whose turns overlap a word most, else who spoke the utterance."""
        found, source = self._speakers.attribute(word.start_s, word.end_s, now_s=at.session_s)
        return found.speaker_id if source is SpeakerSource.OVERLAP else speaker.speaker_id


def _looks(draft: Transcript) -> tuple[object, ...]:
    """Return what a viewer can tell a draft by; confidence alone is not worth a message."""
    who = (draft.speaker, draft.speaker_id)
    return draft.text, draft.start_s, draft.end_s, draft.language, who

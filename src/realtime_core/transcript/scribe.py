"""Writes transcripts: numbers, names and words for what an utterance says. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeGuard

from realtime_core.model import ROOM_SPEAKER, Attribution, FinalizedBy, Transcript
from realtime_core.transcript.attribution import Segment
from realtime_core.transcript.pieces import Piece, cut, merged
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline
from realtime_core.transcript.utterances import Part, Utterance


class Instant(NamedTuple):
    """One moment on both clocks: the event loop's and the session's."""

    loop_s: float
    session_s: float


class Scribe:
    """Writes what is sent of one session: each transcript gets the next ``seq`` and ``rev``.

    A transcript that is written counts as sent; one that would look like the last is not
    written. A draft has one speaker; a final is cut where the speaker changes, and each
    piece is a transcript of its own. The first keeps the utterance's id.
    """

    def __init__(self, slug: str, speakers: SpeakerTimeline, *, first_seq: int) -> None:
        self._slug, self._speakers = slug, speakers
        self.seq = first_seq - 1
        self.drafts = self.relabelled = 0
        self.finals: Counter[FinalizedBy] = Counter()
        self.sources: Counter[SpeakerSource] = Counter()

    def draft(self, utterance: Utterance, at: Instant) -> Transcript | None:
        """Write a snapshot of ``utterance``, or nothing when viewers would see no change."""
        heard, part = utterance.heard, utterance.parts[0]
        found, source = self._speakers.attribute(
            heard.start_s, heard.end_s, now_s=at.session_s, stt_speaker=heard.speaker
        )
        piece = Piece(heard.text, heard.start_s, heard.end_s, (), found, source)
        if source is not SpeakerSource.OVERLAP and _has_name(part.shown):
            piece = replace(
                piece, attribution=self._named(_attribution_of(part.shown)), source=part.source
            )
        draft = self._transcript(utterance, part, piece, heard.received_at)
        if part.shown is not None and _looks(draft) == _looks(part.shown):
            return None
        self.drafts += 1
        return self._sent(part, draft, piece.source)

    def final(
        self, utterance: Utterance, by: FinalizedBy, received_at: float, at: Instant
    ) -> Sequence[Transcript]:
        """Write a final of ``utterance``, and empty ones for parts that it has no more.

        Args:
            received_at: The loop time of its cause.
        """
        heard = utterance.heard
        if heard.text:
            self._speakers.heard(heard.words, heard.start_s, heard.end_s)
        return self._finals(utterance, self._pieces(utterance, at), by, received_at)

    def relabel(self, utterance: Utterance, at: Instant) -> Sequence[Transcript]:
        """Write a final anew where its speaker is known better now; nothing if it is not."""
        shown = utterance.shown
        if not utterance.heard.text:
            return ()  # it was taken back
        pieces = self._pieces(utterance, at, again=True)
        if shown is None or shown.finalized_by is None or _look_alike(pieces, utterance.parts):
            return ()
        written = self._finals(utterance, pieces, shown.finalized_by, at.loop_s)
        self.relabelled += bool(written)
        return written

    def rename(self, utterance: Utterance, at: Instant) -> Sequence[Transcript]:
        """Write a final anew whose speaker has another name by now; else nothing."""
        written = []
        for part in utterance.parts:
            shown = part.shown
            if shown is None or not shown.text or not shown.is_final:
                continue
            named = self._named(_attribution_of(shown))
            if (named.speaker, named.speakers) != (shown.speaker, shown.speakers):
                renamed = replace(
                    shown,
                    speaker=named.speaker,
                    speakers=named.speakers,
                    seq=self.seq + 1,
                    rev=part.rev + 1,
                    received_at=at.loop_s,
                )
                written.append(self._sent(part, renamed, part.source))
        self.relabelled += bool(written)
        return written

    def _pieces(self, utterance: Utterance, at: Instant, *, again: bool = False) -> list[Piece]:
        """Cut an utterance by speaker; a fallback replaces no name that was already shown.

        The fallbacks say who speaks *now*, so the earlier answer was nearer to the speech.
        """
        heard = utterance.heard
        segments = self._speakers.attribute_words(
            heard.words,
            heard.start_s,
            heard.end_s,
            now_s=at.session_s,
            stt_speaker=heard.speaker,
        )
        return cut(
            heard, merged(self._kept(utterance, segment, again=again) for segment in segments)
        )

    def _kept(self, utterance: Utterance, segment: Segment, *, again: bool) -> Segment:
        """Return the segment with the name that was shown there, if it has none of its own.

        Args:
            again: Whether it was final already. Then "the room" is kept, too: who speaks now,
                so much later, says nothing.
        """
        if segment.source is SpeakerSource.OVERLAP:
            return segment
        heard = utterance.heard
        words = heard.words[segment.first : segment.behind]
        start_s = words[0].start_s if segment.first else heard.start_s
        end_s = words[-1].end_s if segment.behind < len(heard.words) else heard.end_s
        # What was said of other words is no answer for these.
        common = [
            (_common_s(part.shown, start_s, end_s), part, part.shown)
            for part in utterance.parts
            if part.shown is not None and (_has_name(part.shown) or _is_known(part.shown, again))
        ]
        longest = max(common, key=lambda each: each[0], default=None)
        if longest is None or longest[0] <= 0:
            return segment
        _, part, shown = longest
        attribution = self._named(_attribution_of(shown))
        voices = (attribution.speaker_id,) * len(segment.voices)
        return replace(segment, attribution=attribution, source=part.source, voices=voices)

    def _named(self, attribution: Attribution) -> Attribution:
        """Return the attribution with the names that are known now."""
        known = self._speakers.name_of
        shares = (
            replace(share, speaker=known(share.speaker_id) or share.speaker)
            for share in attribution.speakers
        )
        name = known(attribution.speaker_id) or attribution.speaker
        return replace(attribution, speaker=name, speakers=tuple(shares))

    def _finals(
        self, utterance: Utterance, pieces: Sequence[Piece], by: FinalizedBy, received_at: float
    ) -> Sequence[Transcript]:
        """Write all parts of an utterance that are not final like this already."""
        parts = [utterance.part(place) for place in range(len(pieces))]
        written = [
            self._final(utterance, part, piece, by, received_at)
            for part, piece in zip(parts, pieces, strict=True)
            if not (_is_final_by(part.shown, by) and _looks_like(part.shown, piece))
        ]
        for part in utterance.parts[len(pieces) :]:
            if part.shown is None or part.shown.text:  # None: it was forgotten
                taken_back = _emptied(part.shown or written[0], part.source)
                written.append(self._final(utterance, part, taken_back, by, received_at))
        return written

    def _final(
        self, utterance: Utterance, part: Part, piece: Piece, by: FinalizedBy, received_at: float
    ) -> Transcript:
        final = replace(
            self._transcript(utterance, part, piece, received_at),
            is_final=True,
            finalized_by=by,
            words=piece.words,
        )
        self.finals[by] += 1
        self.sources[piece.source] += 1
        return self._sent(part, final, piece.source)

    def _sent(self, part: Part, transcript: Transcript, source: SpeakerSource) -> Transcript:
        self.seq, part.rev, part.shown = transcript.seq, transcript.rev, transcript
        part.source = source
        return transcript

    def _transcript(
        self, utterance: Utterance, part: Part, piece: Piece, received_at: float
    ) -> Transcript:
        heard, who = utterance.heard, piece.attribution
        return Transcript(
            session_slug=self._slug,
            utterance_id=part.id,
            text=piece.text,
            is_final=False,
            speaker=who.speaker,
            speaker_id=who.speaker_id,
            speaker_confidence=who.confidence,
            seq=self.seq + 1,
            rev=part.rev + 1,
            start_s=piece.start_s,
            end_s=piece.end_s,
            received_at=received_at,
            language=heard.language,
            confidence=heard.confidence,
            speakers=who.speakers,
        )


def _looks(draft: Transcript) -> tuple[object, ...]:
    """Return what a viewer can tell a draft by; confidence alone is not worth a message."""
    who = (draft.speaker, draft.speaker_id)
    return draft.text, draft.start_s, draft.end_s, draft.language, who


def _looks_like(shown: Transcript, piece: Piece) -> bool:
    """Whether a piece says the same by the same speaker as what viewers see."""
    who = piece.attribution
    same_speaker = (shown.speaker, shown.speaker_id) == (who.speaker, who.speaker_id)
    return same_speaker and shown.text == piece.text and len(shown.words) == len(piece.words)


def _look_alike(pieces: Sequence[Piece], parts: Sequence[Part]) -> bool:
    seen = [part.shown for part in parts if part.shown is not None and part.shown.text]
    return len(seen) == len(pieces) and all(map(_looks_like, seen, pieces))


def _is_final_by(shown: Transcript | None, by: FinalizedBy) -> TypeGuard[Transcript]:
    return shown is not None and shown.finalized_by is by


def _has_name(shown: Transcript | None) -> TypeGuard[Transcript]:
    return shown is not None and bool(shown.text) and shown.speaker_id != ROOM_SPEAKER


def _is_known(shown: Transcript, again: bool) -> bool:
    return again and shown.is_final and bool(shown.text)


def _attribution_of(shown: Transcript) -> Attribution:
    who = (shown.speaker, shown.speaker_id, shown.speaker_confidence)
    return Attribution(*who, speakers=shown.speakers)


def _emptied(shown: Transcript, source: SpeakerSource) -> Piece:
    """Return what is left of a part that the utterance has no more."""
    return Piece("", shown.start_s, shown.end_s, (), _attribution_of(shown), source)


def _common_s(shown: Transcript, start_s: float, end_s: float) -> float:
    return min(shown.end_s, end_s) - max(shown.start_s, start_s)

"""Cuts what was heard into the pieces that viewers are shown, one speaker each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from realtime_core.model import Attribution, SpeechHeard, Word
from realtime_core.transcript.attribution import Segment
from realtime_core.transcript.speakers import SpeakerSource

TOKEN = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Piece:
    """What one speaker said of an utterance; times are on the session clock.

    Attributes:
        words: Each with its own speaker, who may be another where several spoke at once.
    """

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]
    attribution: Attribution
    source: SpeakerSource


def merged(segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments with neighbours of the same speaker made one."""
    whole: list[Segment] = []
    for segment in segments:
        if whole and whole[-1].attribution.speaker_id == segment.attribution.speaker_id:
            whole[-1] = _joined(whole[-1], segment)
        else:
            whole.append(segment)
    return whole


def cut(heard: SpeechHeard, segments: Sequence[Segment]) -> list[Piece]:
    """Return a piece for each segment; all in one if the words are not found in the text.

    The texts of the pieces, joined, are the whole text but for blanks.

    Args:
        heard: The utterance.
        segments: At least one; together they hold all of its words, in order.
    """
    texts = _texts(heard, [segment.first for segment in segments[1:]])
    if texts is None:
        texts, segments = [heard.text], [_most_said(heard, segments)]
    return [_piece(heard, text, segment) for text, segment in zip(texts, segments, strict=True)]


def _piece(heard: SpeechHeard, text: str, segment: Segment) -> Piece:
    words = heard.words[segment.first : segment.behind]
    is_first, is_last = segment.first == 0, segment.behind == len(heard.words)
    start_s = heard.start_s if is_first else words[0].start_s
    end_s = heard.end_s if is_last else words[-1].end_s
    return Piece(
        text,
        start_s,
        max(start_s, end_s),
        tuple(replace(w, speaker_id=v) for w, v in zip(words, segment.voices, strict=True)),
        segment.attribution,
        segment.source,
    )


def _joined(one: Segment, other: Segment) -> Segment:
    longer = max(one, other, key=lambda segment: segment.behind - segment.first)
    return replace(longer, first=one.first, behind=other.behind, voices=one.voices + other.voices)


def _most_said(heard: SpeechHeard, segments: Sequence[Segment]) -> Segment:
    """Return the segment with the most words, stretched over the whole utterance."""
    most = max(segments, key=lambda segment: segment.behind - segment.first)
    voices = tuple(voice for segment in segments for voice in segment.voices)
    return replace(most, first=0, behind=len(heard.words), voices=voices)


def _texts(heard: SpeechHeard, firsts: Sequence[int]) -> list[str] | None:
    """Cut the text before the words with these numbers; None if a piece would be empty."""
    if not firsts:
        return [heard.text]
    starts = _starts(heard.text, heard.words)
    if starts is None:
        return None
    bounds = [0, *(starts[first] for first in firsts), len(heard.text)]
    texts = [heard.text[from_:to].strip() for from_, to in pairwise(bounds)]
    return texts if all(texts) else None


def _tokens(text: str, count: int) -> list[int] | None:
    """Return where each of so many words begins by the blanks: one may be spelt otherwise."""
    starts = [token.start() for token in TOKEN.finditer(text)]
    return starts if len(starts) == count else None


def _starts(text: str, words: Sequence[Word]) -> list[int] | None:
    """Return where in the text each word begins, what opens it included: a quotation mark."""
    starts, end = [], 0
    for word in words:
        at = text.find(word.text, end)
        if at < 0 or not word.text:
            return _tokens(text, len(words))
        blank = max(text.rfind(" ", end, at), text.rfind("\n", end, at))
        starts.append(blank + 1 if blank >= 0 else at)
        end = at + len(word.text)
    return starts

"""Which utterance a message belongs to, when its id does not say. Pure.

The provider may change its id between draft and final, and a new provider session hears
resent audio again under ids of its own. There is one mixed channel, so two utterances do not
lie in the same stretch of audio: time is the evidence, and text has to agree with it.

For a message and an utterance under different ids that **has no real final yet**:

1. They share at least half of the shorter one's time, or they are two utterances.
2. They are the same speech when their texts are alike: as a whole; or one is how the other
   began, if both began at the same moment; or one is a piece of the other, if the piece is
   long enough to mean something ("so" and "yes" lie in every other text).
3. Small fast models mishear: with texts that are hardly alike they are still the same speech
   when they fill the same stretch of audio and no other utterance lies there.

For an utterance **with a real final** the message has to lie in it, in time and text, and
is then a repeat; or the final has to lie in the message, which then says the same and more.
Rule 3 then makes a repeat only of what another session of the provider heard, within the
time of the final. What merely touches the final is an utterance of its own.

A wrong merge hides speech, a missed one doubles it. Doubling is the lesser evil: in doubt
there are two utterances (a resend that begins in the middle of a final repeats the words at
the seam), and a merge is undone when the provider's own id contradicts it (:func:`belongs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from realtime_core.model import SpeechHeard, Word
from realtime_core.transcript.utterances import LEAST_LENGTH_S, Utterance, key_of

SHARED_TIME = 0.5
"""Share of the shorter one's time that must be common (rule 1)."""

ALIKE = 0.65
"""Likeness of texts that say the same (rule 2); unrelated sentences reach 0.3 to 0.5."""

HARDLY_ALIKE = 0.3
"""Likeness that rule 3 still wants."""

SAME_STRETCH = 0.5
"""Common time over the time of both together (rule 3)."""

SAME_ONSET_S = 0.5
"""How far two hearings of one beginning may be dated apart; less than a word and a pause."""

DATING_S = 0.25
"""How far two hearings of one end may be dated apart; less than most words last."""

PIECE_LENGTH = 8
"""Characters from which a piece counts as evidence (rule 2)."""

PIECE_WEIGHT = 0.85
"""What likeness to a piece is worth beside likeness to the whole."""

NO_MORE = 1.3
"""A repeat may be this much longer than what it repeats: spelling and numerals differ."""


def tidy(heard: SpeechHeard, now_s: float) -> SpeechHeard:
    """Return the message with finite times, no end before its start, and nothing before 0."""
    if _is_tidy(heard) and all(map(_is_tidy, heard.words)):
        return heard
    fallback_s = heard.end_s if math.isfinite(heard.end_s) else now_s
    start_s, end_s = _tidy_span(heard.start_s, heard.end_s, fallback_s)
    words = tuple(_tidy_word(word, start_s) for word in heard.words)
    return replace(heard, start_s=start_s, end_s=end_s, words=words)


def find(heard: SpeechHeard, near: Iterable[Utterance]) -> Utterance | None:
    """Return the one of ``near`` that ``heard`` is the same speech as, if there is one."""
    here = [each for each in near if _shared_time(heard, each.latest) >= SHARED_TIME]
    alike = [(_likeness(heard, each.latest), each) for each in here if _is_same(heard, each)]
    if alike:
        return max(alike, key=lambda scored: scored[0])[1]
    if len(here) == 1 and _is_in_its_place(heard, here[0]):
        return here[0]
    return None


def belongs(heard: SpeechHeard, utterance: Utterance) -> bool:
    """Whether a message whose id is known is indeed that utterance.

    An id is believed until the real final. After it, a message that lies elsewhere and says
    something else shows that the provider uses the id anew; and one whose own id was not
    the final's shows, when it differs, that two utterances were merged by mistake.
    """
    if not utterance.is_settled:
        return True
    if utterance.final_key != key_of(heard):
        return _is_same(heard, utterance)
    same_time = _shared_time(heard, utterance.heard) > 0
    return same_time or _likeness(heard, utterance.heard) >= ALIKE


def is_part(part: SpeechHeard, whole: SpeechHeard) -> bool:
    """Whether ``part`` is in ``whole``, in time and in text."""
    if not _lies_in(part, whole) or _shared_time(part, whole) < SHARED_TIME:
        return False
    return _likeness(part, whole) >= ALIKE or _has_words(whole, part)


def is_repeat(heard: SpeechHeard, near: Iterable[Utterance]) -> bool:
    """Whether real finals say all of ``heard`` already, one of them or several in a row."""
    finals = [each.heard for each in near if each.is_settled]
    wholes = [*finals, _joined(finals)] if len(finals) > 1 else finals
    return any(
        is_part(heard, whole) and len(heard.text) <= NO_MORE * len(whole.text) for whole in wholes
    )


def is_behind(heard: SpeechHeard, utterance: Utterance) -> bool:
    """Whether ``heard`` comes from a resend that has not caught up with what was heard before."""
    latest = utterance.latest
    elsewhere = heard.stt_session_id != latest.stt_session_id
    return elsewhere and heard.end_s < latest.end_s - DATING_S


def emptied(part: SpeechHeard, final: SpeechHeard) -> SpeechHeard:
    """Return what is left of a part that ``final`` says as well: nothing, by its word.

    By that key a late final of the part itself is seen as a repeat of the whole.
    """
    start_s, end_s = part.start_s, part.end_s
    return replace(final, text="", words=(), start_s=start_s, end_s=end_s)


def _is_same(heard: SpeechHeard, utterance: Utterance) -> bool:
    if utterance.is_settled:
        return is_part(heard, utterance.heard) or is_part(utterance.heard, heard)
    return _likeness(heard, utterance.latest) >= ALIKE


def _is_in_its_place(heard: SpeechHeard, utterance: Utterance) -> bool:
    """Whether rule 3 holds; that no other utterance lies there is the caller's to know."""
    other = utterance.latest
    together_s = max(heard.end_s, other.end_s) - min(heard.start_s, other.start_s)
    same_stretch = _common_s(heard, other) >= SAME_STRETCH * max(together_s, LEAST_LENGTH_S)
    if utterance.is_settled:
        elsewhere = heard.stt_session_id != other.stt_session_id
        same_stretch = same_stretch and elsewhere and _lies_in(heard, other)
    return same_stretch and _likeness(heard, other) >= HARDLY_ALIKE


def _lies_in(part: SpeechHeard, whole: SpeechHeard) -> bool:
    starts_in = part.start_s >= whole.start_s - DATING_S
    return starts_in and part.end_s <= whole.end_s + DATING_S


def _likeness(heard: SpeechHeard, other: SpeechHeard) -> float:
    """Return how far two messages say the same, 0 to 1; case and punctuation do not count."""
    short, long = sorted((default_process(heard.text), default_process(other.text)), key=len)
    if not short:
        return float(heard.text == other.text)
    score = fuzz.ratio(short, long)
    if abs(heard.start_s - other.start_s) <= SAME_ONSET_S:
        score = max(score, fuzz.ratio(short, long[: len(short)]))
    if len(short) >= PIECE_LENGTH:
        score = max(score, PIECE_WEIGHT * fuzz.partial_ratio(short, long))
    return score / 100


def _has_words(whole: SpeechHeard, part: SpeechHeard) -> bool:
    words = default_process(part.text)
    return bool(words) and f" {words} " in f" {default_process(whole.text)} "


def _joined(finals: Sequence[SpeechHeard]) -> SpeechHeard:
    """Return consecutive finals as if they were one."""
    ordered = sorted(finals, key=lambda final: final.start_s)
    text = " ".join(final.text for final in ordered)
    return replace(ordered[0], text=text, end_s=max(final.end_s for final in ordered))


def _shared_time(heard: SpeechHeard, other: SpeechHeard) -> float:
    """Return the common time as a share of the shorter one, 0 to 1."""
    return _common_s(heard, other) / min(_length_s(heard), _length_s(other))


def _common_s(heard: SpeechHeard, other: SpeechHeard) -> float:
    end_s = min(heard.start_s + _length_s(heard), other.start_s + _length_s(other))
    return max(0.0, end_s - max(heard.start_s, other.start_s))


def _length_s(heard: SpeechHeard) -> float:
    return max(heard.end_s - heard.start_s, LEAST_LENGTH_S)


def _is_tidy(spoken: SpeechHeard | Word) -> bool:
    # One comparison for all of it: each is false if a time is not a number.
    return 0.0 <= spoken.start_s <= spoken.end_s < math.inf


def _tidy_word(word: Word, fallback_s: float) -> Word:
    start_s, end_s = _tidy_span(word.start_s, word.end_s, fallback_s)
    return replace(word, start_s=start_s, end_s=end_s)


def _tidy_span(start_s: float, end_s: float, fallback_s: float) -> tuple[float, float]:
    start_s = max(0.0, start_s if math.isfinite(start_s) else fallback_s)
    return start_s, max(start_s, end_s if math.isfinite(end_s) else start_s)

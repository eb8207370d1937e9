"""What the provider hears becomes what viewers see: numbered drafts, each with one end. Pure.

Every draft ends in exactly one final: the provider's, or ours when its text has not changed
for the time-out (``TIMEOUT``) or the session ends (``END``). After a final only finals with
a higher ``rev`` follow, which replace it:

* the provider's own final replaces ours, and a corrected one replaces that;
* a draft that still changes after our final is remembered, and becomes the next final
  when it rests as long as any draft: nothing that was heard is lost;
* a draft after the provider's final is stale.

A final whose audio is heard again by a new provider session stays as it is; only a message
that says the same *and more* replaces it, and retracts (with an empty final) the other
utterances it contains. ``matching`` says what counts as the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from realtime_core.model import FinalizedBy, SpeechHeard, Transcript
from realtime_core.transcript.matching import (
    belongs,
    emptied,
    find,
    is_behind,
    is_part,
    is_repeat,
    tidy,
)
from realtime_core.transcript.relabelling import Relabelling
from realtime_core.transcript.scribe import Instant, Scribe
from realtime_core.transcript.speakers import SpeakerSource, SpeakerTimeline
from realtime_core.transcript.utterances import Utterance, Utterances, key_of

MOST_WAITING = 64
"""Utterances that may wait for a final; a healthy provider has one or two."""


@dataclass(frozen=True, slots=True)
class AssemblerStatistics:
    """What an assembler did so far, and what it holds.

    Attributes:
        finals: Finals sent, by who decided it; a replaced final counts again.
        sources: Finals sent, by what their speaker rests on.
        matched: Messages that found their utterance by time and text.
        ignored: Messages that said nothing new: stale, repeated, or empty.
        retracted: Utterances that turned out to be a part of another.
        relabelled: How often a final was sent again with another speaker or name.
        waiting: Utterances that wait for a final.
        remembered: Utterances in memory, open ones included.
    """

    drafts: int
    finals: Mapping[FinalizedBy, int]
    sources: Mapping[SpeakerSource, int]
    matched: int
    ignored: int
    retracted: int
    relabelled: int
    waiting: int
    remembered: int


class Assembler:
    """Turns what one session's speech-to-text says into transcripts.

    Knows no clock: ``now`` is the event loop's time, ``now_s`` the session clock's. What a
    method returns is to be sent in that order. ``seq`` and each utterance's ``rev`` have no
    gaps. Memory is bounded.
    """

    def __init__(
        self,
        slug: str,
        speakers: SpeakerTimeline,
        *,
        draft_timeout_s: float = 5.0,
        relabel_window_s: float = 15.0,
        first_seq: int = 1,
    ) -> None:
        self._scribe = Scribe(slug, speakers, first_seq=first_seq)
        self._utterances = Utterances()
        self._relabelling = Relabelling(self._scribe, self._utterances, speakers, relabel_window_s)
        self._draft_timeout_s = draft_timeout_s
        self._finished = False
        self._matched = self._ignored = self._retracted = 0

    @property
    def seq(self) -> int:
        """Number of the transcript sent last; before the first, one less than ``first_seq``."""
        return self._scribe.seq

    @property
    def open_drafts(self) -> Sequence[Transcript]:
        """The last snapshot of each draft that has no final yet."""
        shown = (each.shown for each in self._utterances.waiting.values())
        return [draft for draft in shown if draft is not None and not draft.is_final]

    def hear(self, heard: SpeechHeard, now: float, now_s: float) -> Sequence[Transcript]:
        """Take a draft or final; return what viewers are to see, perhaps nothing.

        After :meth:`finish` finals still replace what was shown, and a draft is made final
        at once, since no time-out would end it.
        """
        at = Instant(now, now_s)
        self._utterances.forget(now_s)
        sent = self._place(tidy(heard, now_s), at)
        if self._finished:
            return [*sent, *self.finish(now, now_s)]
        excess = len(self._utterances.waiting) - MOST_WAITING
        return [*sent, *self._end_waiting(FinalizedBy.TIMEOUT, at, max(0, excess))]

    def due_at(self) -> float | None:
        """When to call :meth:`expire` next, in loop time; None while nothing waits.

        It may be earlier after a report of who speaks, too.
        """
        relabel_at = None if self._finished else self._relabelling.due_at()
        for utterance in self._utterances.waiting.values():
            timeout_at = utterance.changed_at + self._draft_timeout_s
            return timeout_at if relabel_at is None else min(timeout_at, relabel_at)
        return relabel_at

    def expire(self, now: float, now_s: float) -> Sequence[Transcript]:
        """Finalise what has not changed for the time-out; relabel what is known better now."""
        at = Instant(now, now_s)
        waiting = self._utterances.waiting.values()
        due = takewhile(lambda each: each.changed_at + self._draft_timeout_s <= now, waiting)
        sent = self._end_waiting(FinalizedBy.TIMEOUT, at, len(list(due)))
        return sent if self._finished else [*sent, *self._relabelling.look(at)]

    def finish(self, now: float, now_s: float) -> Sequence[Transcript]:
        """Finalise all that waits, because the session ends. May be called twice."""
        at, was_finished, self._finished = Instant(now, now_s), self._finished, True
        sent = self._end_waiting(FinalizedBy.END, at, len(self._utterances.waiting))
        return sent if was_finished else [*sent, *self._relabelling.last_look(at)]

    def statistics(self) -> AssemblerStatistics:
        """Return what was done so far, and what is held."""
        return AssemblerStatistics(
            drafts=self._scribe.drafts,
            finals=dict(self._scribe.finals),
            sources=dict(self._scribe.sources),
            matched=self._matched,
            ignored=self._ignored,
            retracted=self._retracted,
            relabelled=self._scribe.relabelled,
            waiting=len(self._utterances.waiting),
            remembered=len(self._utterances),
        )

    def _place(self, heard: SpeechHeard, at: Instant) -> Sequence[Transcript]:
        """Find the utterance of a message: by id, else by time and text, else a new one."""
        known = self._utterances.named(key_of(heard))
        if known is not None and belongs(heard, known):
            return self._continue(known, heard, at)
        if not heard.text:
            return self._ignore()
        if (match := find(heard, self._utterances.near(heard))) is not None:
            return self._match(match, heard, at)
        if not heard.is_final and self._utterances.was_forgotten(key_of(heard)):
            return self._ignore()  # its final went out long ago
        self._take_back(heard)
        return self._continue(self._utterances.add(heard), heard, at)

    def _match(self, utterance: Utterance, heard: SpeechHeard, at: Instant) -> Sequence[Transcript]:
        self._matched += 1
        self._take_back(heard, except_from=utterance)
        # A real final does not adopt ids: a resend may yet go beyond it, and is judged anew.
        if not utterance.is_settled:
            self._utterances.learn(utterance, key_of(heard))
        return self._continue(utterance, heard, at)

    def _take_back(self, heard: SpeechHeard, except_from: Utterance | None = None) -> None:
        """Forget what this id was to add to a real final: it turned out to belong elsewhere."""
        for each in list(self._utterances.waiting.values()):
            adds = each.is_settled and key_of(each.latest) == key_of(heard)
            if adds and each is not except_from:
                self._utterances.rest(each)

    def _continue(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        heard_again = utterance.is_settled and utterance.final_key != key_of(heard)
        if heard_again and not self._says_more(heard, utterance):
            return self._drop_repeat(utterance, heard, at)
        if heard.is_final:
            return self._take_final(utterance, heard, at)
        if utterance.is_open:
            return self._take_draft(utterance, heard, at)
        if utterance.is_settled and not heard_again:
            return self._ignore()
        return self._take_later(utterance, heard, at)

    def _says_more(self, heard: SpeechHeard, utterance: Utterance) -> bool:
        """Whether a message that repeats a real final holds all of it and something new."""
        near = self._utterances.near(heard)
        return is_part(utterance.heard, heard) and not is_repeat(heard, near)

    def _take_final(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        others = [each for each in self._utterances.near(heard) if each is not utterance]
        if utterance.shown is not None and is_repeat(heard, others):
            heard = emptied(heard, heard)  # only now is it clear that another says the same
        if utterance.is_settled and heard.text == utterance.heard.text:
            return self._ignore()
        return [*self._settle(utterance, heard, at), *self._retract_parts(others, heard, at)]

    def _drop_repeat(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        """Ignore what is final already; when it is a final, its drafts go with it."""
        self._ignore()
        if not heard.is_final:
            return ()
        self._utterances.rest(utterance)
        near = self._utterances.near(heard)
        return self._retract_parts([each for each in near if not each.is_settled], heard, at)

    def _retract_parts(
        self, utterances: Sequence[Utterance], final: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        """Take back those of ``utterances`` that are nothing but a part of ``final``."""
        parts = [each for each in utterances if final.text and is_part(each.heard, final)]
        self._retracted += len(parts)
        return [
            sent for part in parts for sent in self._settle(part, emptied(part.heard, final), at)
        ]

    def _take_draft(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        if not heard.text or is_behind(heard, utterance):
            return self._ignore()
        if utterance.shown is None or heard.text != utterance.heard.text:
            self._utterances.wait(utterance, at.loop_s)
        utterance.heard = heard
        draft = self._scribe.draft(utterance, at)
        return [draft] if draft is not None else self._ignore()

    def _take_later(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        """Remember a draft that came after its final; viewers keep the final for now."""
        if heard.text == utterance.heard.text:
            self._utterances.rest(utterance)
        elif heard.text and not is_behind(heard, utterance):
            if heard.text != utterance.latest.text:
                self._utterances.wait(utterance, at.loop_s)
            utterance.later = heard
        return self._ignore()

    def _settle(
        self, utterance: Utterance, heard: SpeechHeard, at: Instant
    ) -> Sequence[Transcript]:
        """Send the provider's own final."""
        utterance.heard, utterance.final_key = heard, key_of(heard)
        self._utterances.finalised(utterance, at.session_s)
        return self._scribe.final(utterance, FinalizedBy.STT, heard.received_at, at)

    def _end_waiting(self, by: FinalizedBy, at: Instant, count: int) -> Sequence[Transcript]:
        """Finalise the ``count`` utterances that have waited longest."""
        sent: list[Transcript] = []
        for utterance in list(self._utterances.waiting.values())[:count]:
            utterance.heard = utterance.latest
            self._utterances.finalised(utterance, at.session_s)
            sent += self._scribe.final(utterance, by, at.loop_s, at)
        return sent

    def _ignore(self) -> Sequence[Transcript]:
        self._ignored += 1
        return ()

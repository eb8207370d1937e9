"""Who spoke when: samples become turns, and turns give each word its speaker. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from realtime_core.model import ROOM_SPEAKER, Attribution, SpeakerSample, SpeakerShare, Word
from realtime_core.transcript.attribution import (
    Segment,
    SpeakerSource,
    coverage,
    runs,
    shared_out,
)
from realtime_core.transcript.lag import FixedLag, LagEstimate, LagTracker
from realtime_core.transcript.names import MOST_IDENTITIES, Names
from realtime_core.transcript.onsets import Change, ChangeKind
from realtime_core.transcript.turns import Reports
from realtime_core.transcript.votes import Votes

__all__ = ["MOST_IDENTITIES", "News", "SpeakerSource", "SpeakerTimeline"]

LEAST_DURATION_S = 0.01
"""Words may last no time at all; they still lie in somebody's turn."""

LEAST_CONFIDENCE = 0.3
"""Below, an attribution would be a guess."""

SETTLED_S = 1.0
"""By so much after it was made a report has come, or is too late to measure the lag with."""

LEAP_S = 30.0
"""Audio that goes on so much later, or earlier, is compared only with the last reports."""

COMPARE_EVERY_S = 12.0
"""How often the clients are compared with each other."""

SOUND_S = 10.0
"""Who speaks now also spoke a while ago if nobody else was reported for so long before."""

LEAST_SHARE, EDGE_S = 0.2, 0.3
"""Who has less of a segment did not speak along; at its edges that is never known."""

MARGIN_S = 0.5
"""Reports are vague: they say something of audio beside their own, too."""

STRAY_S = 1.0
"""Words that lie so far outside of their utterance have no times to go by."""

EVIDENT_S = 0.05
"""A lag that moved by less changes no attribution."""


@dataclass(frozen=True, slots=True)
class News:
    """What is known otherwise by now.

    Attributes:
        speech_from_s: Finals that reach beyond this, on the session clock, may be somebody
            else's.
        names: Somebody is called otherwise.
    """

    speech_from_s: float = math.inf
    names: bool = False

    def and_also(self, other: News) -> News:
        """Return both as one."""
        first_s = min(self.speech_from_s, other.speech_from_s)
        return News(first_s, self.names or other.names)


NO_NEWS, ALL_SPEECH, NEW_NAMES = News(), News(speech_from_s=-math.inf), News(names=True)


class SpeakerTimeline:
    """The reports of one session, and whose words they make the words.

    Samples describe the moment they were made, while the same speech comes in the audio
    some seconds later. That lag is measured, unless it is known.

    Args:
        lag_s: How much later than its samples speech appears on the session clock, at first.
        estimates_lag: Whether the lag is to be measured.
        hold_s: The longest pause between samples that does not end a turn, and how old the
            last sample of a current speaker may be.
        keep_s: How long turns are remembered.

    Attributes:
        news: What was not :meth:`told` yet of how finals are now attributed.
    """

    def __init__(
        self,
        *,
        lag_s: float = 2.0,
        estimates_lag: bool = True,
        hold_s: float = 1.5,
        keep_s: float = 120.0,
    ) -> None:
        self._hold_s, self._keep_s = hold_s, keep_s
        self._reports = Reports(hold_s=hold_s)
        self._fixed = FixedLag(lag_s)
        self._tracker = LagTracker(lag_s) if estimates_lag else None
        self._names = Names()
        self._from_s = -math.inf  # what was reported before is forgotten
        self._settled_s = self._compared_s = -math.inf
        self._heard_to_s = -math.inf
        self._evident_lag_s = lag_s
        self.news = NO_NEWS

    @property
    def identities(self) -> int:
        """How many identities are remembered."""
        return self._names.since(self._from_s)

    @property
    def lag(self) -> LagEstimate:
        """The lag as far as it is known."""
        return self._tracker.estimate if self._tracker else self._fixed.estimate

    def report(self, sample: SpeakerSample) -> None:
        """Take a sample; repeats and samples out of order are welcome.

        A sample with a wrong time harms no client but its own.
        """
        if sample.identity == "" or not math.isfinite(sample.at_s):
            return
        changed_from_s = self._reports.add(
            sample.client, sample.at_s, sample.identity, is_own=sample.is_own
        )
        if changed_from_s is not None and changed_from_s - MARGIN_S <= self._reported_to_s():
            self._tell(News(speech_from_s=changed_from_s - MARGIN_S + self._least_lag_s()))
        if sample.identity is not None and self._names.learn(
            sample.identity, sample.name, sample.at_s, sample.client
        ):
            self._tell(NEW_NAMES)

    def heard(self, words: Sequence[Word], start_s: float, end_s: float) -> None:
        """Take speech that is final, to measure the lag with; the same audio counts once."""
        if math.isfinite(end_s):
            self._heard_to_s = max(self._heard_to_s, end_s)
        if self._reports.are_none:
            return  # there is nothing to compare the audio with
        if self._tracker is None:
            self._compare(end_s)
            return
        heard_to_s = self._tracker.hear(words, start_s, end_s)
        if heard_to_s is None:
            return
        self._compare(heard_to_s)
        self._tracker.learn(self._changes(heard_to_s - SETTLED_S))
        if abs(self.lag.lag_s - self._evident_lag_s) >= EVIDENT_S:
            self._evident_lag_s = self.lag.lag_s
            self._tell(ALL_SPEECH)

    def _compare(self, heard_to_s: float) -> None:
        """Compare the clients with each other, now and then."""
        if math.isfinite(heard_to_s) and abs(heard_to_s - self._compared_s) >= COMPARE_EVERY_S:
            self._compared_s = heard_to_s
            if self._reports.weigh(heard_to_s):
                self._tell(ALL_SPEECH)

    def told(self, *, names: bool = True) -> News:
        """Return the news, which are none from then on; ``names`` or without those of names."""
        news = self.news if names else News(self.news.speech_from_s)
        self.news = NO_NEWS if names else News(names=self.news.names)
        return news

    def republished(self, at_s: float) -> None:
        """A publisher came anew: from here on the lag may be another."""
        if self._tracker is not None and math.isfinite(at_s):
            self._tracker.restart(at_s)

    def name_of(self, identity: str) -> str | None:
        """Return the newest name of an identity that was not empty."""
        return self._names.name_of(identity)

    def current(self, now_s: float) -> tuple[str, str] | None:
        """Return identity and name of who is reported by most, at most hold_s ago."""
        newest = self._reports.newest(now_s)
        if not newest:
            return None
        identity = min(newest, key=lambda who: (-newest[who][0], -newest[who][1], who or ""))
        if identity is None or newest[identity][0] < LEAST_CONFIDENCE:
            return None  # nobody is believed who says so
        return identity, self._shown(identity)

    def attribute(
        self, start_s: float, end_s: float, *, now_s: float, stt_speaker: str | None = None
    ) -> tuple[Attribution, SpeakerSource]:
        """Say who spoke from ``start_s`` to ``end_s`` of the audio, and what that rests on.

        The identity that was reported for most of it; of equals the one that began first.
        If there is none: who speaks now if nobody else did lately, then the provider's
        speaker, then ``room``; these carry no confidence, for nothing is known.
        """
        self._forget(now_s - self._keep_s)
        if math.isfinite(start_s) and math.isfinite(end_s):
            lags_s = self._lags_s(start_s)
            end_s = max(end_s, start_s + LEAST_DURATION_S)
            votes = self._votes(start_s, end_s, lags_s)
            if (found := self._covered(votes, start_s, end_s, lags_s)) is not None:
                return found, SpeakerSource.OVERLAP
        return self._fallback(start_s, now_s, stt_speaker)

    def attribute_words(
        self,
        words: Sequence[Word],
        start_s: float,
        end_s: float,
        *,
        now_s: float,
        stt_speaker: str | None = None,
    ) -> tuple[Segment, ...]:
        """Say who spoke each word of a final, and cut it where the speaker changes.

        Returns:
            At least one segment; together they hold all words, in order.
        """
        self._forget(now_s - self._keep_s)
        path, votes, lags_s = None, Votes([], [], []), self._lags_s(start_s)
        if words:
            from_s, to_s = min(w.start_s for w in words), max(w.end_s for w in words)
            if start_s - STRAY_S <= from_s and to_s <= end_s + STRAY_S:
                votes = self._votes(from_s, to_s, lags_s)
                path = shared_out(words, votes, lags_s)
        if path is None:
            found, source = self.attribute(start_s, end_s, now_s=now_s, stt_speaker=stt_speaker)
            return (Segment(0, len(words), found, source, (found.speaker_id,) * len(words)),)
        return tuple(
            self._segment(words, run, votes, lags_s, now_s, stt_speaker) for run in runs(path)
        )

    def _segment(
        self,
        words: Sequence[Word],
        run: tuple[int, int, str | None],
        votes: Votes,
        lags_s: Sequence[float],
        now_s: float,
        stt_speaker: str | None,
    ) -> Segment:
        first, behind, identity = run
        start_s = words[first].start_s
        end_s = max(max(word.end_s for word in words[first:behind]), start_s + LEAST_DURATION_S)
        covered = coverage(votes, start_s, end_s, lags_s)
        if identity is None or covered.get(identity, 0.0) < LEAST_CONFIDENCE:
            found, source = self._fallback(start_s, now_s, stt_speaker)
            return Segment(first, behind, found, source, (found.speaker_id,) * (behind - first))
        shares = self._shares(identity, votes, start_s + EDGE_S, end_s - EDGE_S, lags_s)
        found = Attribution(self._shown(identity), identity, covered[identity], shares)
        voices = (identity,) * (behind - first)
        return Segment(first, behind, found, SpeakerSource.OVERLAP, voices)

    def _shares(
        self,
        identity: str,
        votes: Votes,
        start_s: float,
        end_s: float,
        lags_s: Sequence[float],
    ) -> tuple[SpeakerShare, ...]:
        """Return who spoke how much of it, if that was more than one."""
        if end_s - start_s < EDGE_S:
            return ()
        spoken = coverage(votes, start_s, end_s, lags_s[len(lags_s) // 2 :][:1])
        also = [who for who, share in spoken.items() if share >= LEAST_SHARE and who != identity]
        if not also:
            return ()
        ordered = [identity, *sorted(also, key=lambda who: (-spoken[who], who))]
        return tuple(
            SpeakerShare(who, self._shown(who), round(spoken.get(who, 0.0), 3)) for who in ordered
        )

    def _covered(
        self, votes: Votes, start_s: float, end_s: float, lags_s: Sequence[float]
    ) -> Attribution | None:
        covered = coverage(votes, start_s, end_s, lags_s)
        # Rounded: sums of binary fractions must not decide between equals.
        most = max((round(share, 6) for share in covered.values()), default=0.0)
        if most < LEAST_CONFIDENCE:
            return None
        equals = [who for who, share in covered.items() if round(share, 6) == most]
        who = equals[0] if len(equals) == 1 else _first_of(equals, votes, start_s - max(lags_s))
        return Attribution(self._shown(who), who, covered[who])

    def _fallback(
        self, start_s: float, now_s: float, stt_speaker: str | None
    ) -> tuple[Attribution, SpeakerSource]:
        speaking = self.current(now_s)
        if speaking is not None and self._is_alone(speaking[0], start_s, now_s):
            identity, name = speaking
            return Attribution(name, identity, None), SpeakerSource.CURRENT
        if stt_speaker:
            return Attribution(stt_speaker, stt_speaker, None), SpeakerSource.STT
        return Attribution(ROOM_SPEAKER, ROOM_SPEAKER, None), SpeakerSource.ROOM

    def _tell(self, news: News) -> None:
        self.news = self.news.and_also(news)

    def _reported_to_s(self) -> float:
        """Return up to when reports say something of audio that is final already."""
        return self._heard_to_s - self._least_lag_s()

    def _least_lag_s(self) -> float:
        """Return the least likely lag of speech that may still get another speaker."""
        # Before the last publisher it was another.
        return min(min(self._lags_s(self._heard_to_s - ago_s)) for ago_s in (0.0, LEAP_S))

    def _is_alone(self, identity: str, start_s: float, now_s: float) -> bool:
        from_s = start_s if math.isfinite(start_s) else now_s
        return self._reports.reported(from_s - SOUND_S, now_s + self._hold_s) <= {identity}

    def _lags_s(self, at_s: float) -> Sequence[float]:
        return self._tracker.likely_at(at_s) if self._tracker else self._fixed.likely_s

    def _votes(self, start_s: float, end_s: float, lags_s: Sequence[float]) -> Votes:
        if not (math.isfinite(start_s) and math.isfinite(end_s)):
            return Votes([], [], [])
        return self._reports.votes(start_s - max(lags_s) - 1.0, end_s - min(lags_s) + 1.0)

    def _changes(self, to_s: float) -> Iterator[Change]:
        """Yield changes of who is reported, up to this time, each once."""
        leapt = abs(to_s - self._settled_s) > LEAP_S
        from_s = to_s - LEAP_S if leapt else self._settled_s
        if from_s >= to_s:
            return
        self._settled_s = to_s
        for one, other in pairwise(self._reports.turns(from_s - 3.0, to_s + 1.0)):
            if from_s < other.from_s <= to_s and one.to_s == other.from_s:
                yield Change(other.from_s, _kind(one.identity, other.identity))

    def _shown(self, identity: str) -> str:
        return self.name_of(identity) or identity

    def _forget(self, before_s: float) -> None:
        if math.isfinite(before_s) and before_s != self._from_s:
            self._from_s = before_s
            self._reports.forget(before_s)


def _kind(before: str | None, after: str | None) -> ChangeKind:
    if after is None:
        return ChangeKind.END
    return ChangeKind.BEGIN if before is None else ChangeKind.OTHER


def _first_of(identities: Sequence[str], votes: Votes, from_s: float) -> str:
    """Return whoever of them began first, of the turns that last beyond ``from_s``."""
    return min(identities, key=lambda who: (_began_s(who, votes, from_s), who))


def _began_s(identity: str, votes: Votes, from_s: float) -> float:
    began_s = math.inf
    for start_s, end_s, shares, _ in votes.pieces():
        if identity not in shares:
            began_s = math.inf
            continue
        began_s = min(began_s, start_s)
        if end_s > from_s:
            break
    return began_s

"""Who spoke when: samples become turns, and turns give utterances their speaker. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from enum import Enum

from realtime_core.model import ROOM_SPEAKER, Attribution, SpeakerSample

REPORT_INTERVAL_S = 0.5
"""How often clients report; a sample stands for the time until the next one."""

MOST_IDENTITIES = 128
"""Identities remembered per session; past it, the one reported longest ago goes."""

LEAST_DURATION_S = 0.01
"""Words may last no time at all; they still lie in somebody's turn."""


class SpeakerSource(Enum):
    """What an attribution rests on, best first."""

    OVERLAP = "overlap"
    CURRENT = "current"
    STT = "stt"
    ROOM = "room"


class SpeakerTimeline:
    """The turns of one session, and whose they are.

    A turn is a run of samples of one identity with gaps of at most ``hold_s``; it reaches
    from the first sample to one report interval after the last. Samples describe the moment
    they were made, while the same speech comes in the audio ``lag_s`` later.

    Args:
        lag_s: How much later than its samples speech appears on the session clock.
        hold_s: The longest pause between samples that does not end a turn, and how old the
            last sample of a current speaker may be.
        keep_s: How long turns are remembered.
    """

    def __init__(self, *, lag_s: float = 2.0, hold_s: float = 1.5, keep_s: float = 120.0) -> None:
        self._lag_s, self._hold_s, self._keep_s = lag_s, hold_s, keep_s
        # Turns of one identity lie more than hold_s apart, so that they never overlap.
        self._reach_s = min(REPORT_INTERVAL_S, hold_s)
        self._voices: dict[str, _Voice] = {}  # the one reported longest ago comes first

    @property
    def identities(self) -> int:
        """How many identities are remembered."""
        return len(self._voices)

    def report(self, sample: SpeakerSample) -> None:
        """Take a sample; repeats and samples out of order are welcome.

        A sample with a wrong time harms no identity but its own.
        """
        if not sample.identity or not math.isfinite(sample.at_s):
            return
        voice = self._voices.pop(sample.identity, None) or _Voice(sample.identity)
        self._voices[sample.identity] = voice
        voice.name = sample.name.strip() or voice.name
        voice.speak(sample.at_s, self._hold_s)
        voice.forget(voice.last_s - self._keep_s)
        if len(self._voices) > MOST_IDENTITIES:
            del self._voices[next(iter(self._voices))]

    def attribute(
        self, start_s: float, end_s: float, *, now_s: float, stt_speaker: str | None = None
    ) -> tuple[Attribution, SpeakerSource]:
        """Say who spoke from ``start_s`` to ``end_s`` of the audio, and what that rests on.

        The identity whose turns overlap it most; of equals the one whose turn began first.
        If there is none: who speaks now, then the provider's speaker, then ``room``; these
        carry no confidence, for nothing of the utterance is covered.
        """
        self._forget(now_s - self._keep_s)
        if (found := self._overlapping(start_s, end_s)) is not None:
            return found, SpeakerSource.OVERLAP
        if (speaking := self.current(now_s)) is not None:
            identity, name = speaking
            return Attribution(name, identity, None), SpeakerSource.CURRENT
        if stt_speaker:
            return Attribution(stt_speaker, stt_speaker, None), SpeakerSource.STT
        return Attribution(ROOM_SPEAKER, ROOM_SPEAKER, None), SpeakerSource.ROOM

    def current(self, now_s: float) -> tuple[str, str] | None:
        """Return identity and name of who was reported last, if that is at most hold_s ago."""
        speaking = [v for v in self._voices.values() if abs(now_s - v.last_s) <= self._hold_s]
        if not speaking:
            return None
        voice = min(speaking, key=lambda v: (-v.last_s, v.starts_s[-1], v.identity))
        return voice.identity, voice.name

    def _overlapping(self, start_s: float, end_s: float) -> Attribution | None:
        if not (math.isfinite(start_s) and math.isfinite(end_s)):
            return None
        duration_s = max(end_s - start_s, LEAST_DURATION_S)
        from_s = start_s - self._lag_s
        best: tuple[float, float, str] | None = None
        for voice in self._voices.values():
            overlap_s, began_s = voice.overlap(from_s, from_s + duration_s, self._reach_s)
            # Rounded: sums of binary fractions must not decide between equals.
            rank = (-round(overlap_s, 6), began_s, voice.identity)
            if rank[0] < 0 and (best is None or rank < best):
                best = rank
        if best is None:
            return None
        share = min(-best[0] / duration_s, 1.0)
        return Attribution(self._voices[best[2]].name, best[2], share)

    def _forget(self, before_s: float) -> None:
        for voice in list(self._voices.values()):
            if voice.starts_s[0] < before_s and not voice.forget(before_s):
                del self._voices[voice.identity]


class _Voice:
    """The turns of one identity: first and last samples, in order, disjoint."""

    def __init__(self, identity: str) -> None:
        self.identity = self.name = identity
        self.starts_s: list[float] = []
        self.ends_s: list[float] = []

    @property
    def last_s(self) -> float:
        return self.ends_s[-1]

    def speak(self, at_s: float, hold_s: float) -> None:
        """Join the sample and every turn within ``hold_s`` of it into one turn."""
        first = bisect_left(self.ends_s, at_s - hold_s)
        behind = bisect_right(self.starts_s, at_s + hold_s)
        start_s = min([at_s, *self.starts_s[first:behind]])
        end_s = max([at_s, *self.ends_s[first:behind]])
        self.starts_s[first:behind] = [start_s]
        self.ends_s[first:behind] = [end_s]

    def forget(self, before_s: float) -> bool:
        """Drop what was over before ``before_s``; return whether a turn is left."""
        gone = bisect_left(self.ends_s, before_s)
        del self.starts_s[:gone], self.ends_s[:gone]
        return bool(self.ends_s)

    def overlap(self, from_s: float, to_s: float, reach_s: float) -> tuple[float, float]:
        """Return for how long it spoke in there, and when the first such turn began."""
        first = bisect_right(self.ends_s, from_s - reach_s)
        behind = bisect_left(self.starts_s, to_s)
        spoken_s = sum(
            max(0.0, min(self.ends_s[i] + reach_s, to_s) - max(self.starts_s[i], from_s))
            for i in range(first, behind)
        )
        return spoken_s, self.starts_s[first] if first < behind else math.inf

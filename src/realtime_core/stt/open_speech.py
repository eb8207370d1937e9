"""What the provider has been given and has not finished transcribing. Pure.

An acknowledgement means "received", not "transcribed". When an STT session is lost, its
successor must hear again whatever the lost one had not finished, and nothing that it had:
audio that was left out is lost, audio heard twice doubles captions.
"""

from __future__ import annotations

from collections.abc import Callable

# The first sound of an utterance lies a little before what the provider calls its start.
PREROLL_S = 0.2
# So long after its audio was acknowledged, speech has been announced by the provider.
LOOKBACK_S = 2.0
# A backlog is acknowledged at once and transcribed later; at this pace, we trust.
TRANSCRIBING_PACE = 1.25
# What is not mentioned in so much more audio will get no final: noise, or a changed id.
FORGET_S = 10.0


class OpenSpeech:
    """Utterances that have begun and have no final, on the session clock."""

    def __init__(self) -> None:
        self._utterances: dict[object, tuple[float, float]] = {}
        self._settled_s = 0.0
        self._digested_s = 0.0
        self._looked_at = 0.0

    @property
    def quiet(self) -> bool:
        """Whether no utterance is open."""
        return not self._utterances

    @property
    def needed_from_s(self) -> float:
        """Where a new STT session has to begin, to miss nothing and repeat nothing."""
        if not self._utterances:
            return max(self._settled_s, self._digested_s, 0.0)
        first_s = min(start_s for start_s, _ in self._utterances.values())
        return max(self._settled_s, first_s - PREROLL_S, 0.0)

    def begin(self, at_s: float, now: float) -> None:
        """A new STT session hears the audio from ``at_s`` on."""
        self._digested_s, self._looked_at = at_s, now

    def hear(self, key: object, start_s: float, end_s: float, *, is_final: bool) -> None:
        """Note a draft or a final.

        A final also ends every utterance that began before the final's end: the provider
        finishes utterances in order, may change an id, and may forget a draft.
        """
        if is_final:
            self._settled_s = max(self._settled_s, end_s)
            self._utterances.pop(key, None)
            self._drop(lambda begun_s, _: begun_s < end_s)
        elif end_s > self._settled_s:
            first_s, last_s = self._utterances.get(key, (start_s, end_s))
            start_s = max(min(first_s, start_s), self._settled_s)
            self._utterances[key] = (start_s, max(last_s, end_s))

    def begun(self, key: object, at_s: float) -> None:
        """The provider heard speech begin."""
        if at_s >= self._settled_s:
            self._utterances[key] = (at_s, at_s)

    def acknowledged(self, at_s: float, now: float) -> None:
        """The provider has the audio up to ``at_s``; ``now`` is any steady clock's."""
        digested_s = self._digested_s + (now - self._looked_at) * TRANSCRIBING_PACE
        self._digested_s = max(self._digested_s, min(at_s - LOOKBACK_S, digested_s))
        self._looked_at = now
        if self._utterances:
            self._drop(lambda _, end_s: end_s < self._digested_s - FORGET_S)

    def settle(self, at_s: float) -> None:
        """Everything up to ``at_s`` has been transcribed."""
        self._settled_s = max(self._settled_s, at_s)
        self._digested_s = max(self._digested_s, at_s)
        self._drop(lambda begun_s, _: begun_s <= at_s)

    def _drop(self, is_over: Callable[[float, float], bool]) -> None:
        self._utterances = {
            key: span for key, span in self._utterances.items() if not is_over(*span)
        }

"""Looks again at who said what, when more is known of it than when it became final. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from realtime_core.model import Transcript
from realtime_core.transcript.scribe import Instant, Scribe
from realtime_core.transcript.speakers import SpeakerTimeline
from realtime_core.transcript.utterances import Utterances

RELABEL_EVERY_S = 0.5
"""How often it is looked again at who said what; as often as a client reports."""

RENAME_EVERY_S = 10.0
"""How often names are renewed: all finals that are remembered may have to be sent again."""


class Relabelling:
    """Sends finals again whose speaker turns out to be another, or to have another name.

    Reports may come seconds late, and the lag is known better with each minute. Names are
    renewed for as long as a final is remembered, speakers only for ``window_s``.

    Args:
        window_s: For how long after it became final, on the session clock, an utterance may
            get another speaker.
    """

    def __init__(
        self, scribe: Scribe, utterances: Utterances, speakers: SpeakerTimeline, window_s: float
    ) -> None:
        self._scribe, self._utterances, self._speakers = scribe, utterances, speakers
        self._window_s = window_s
        self._looked_at = self._renamed_at = -math.inf

    def due_at(self) -> float | None:
        """When to :meth:`look` next, in loop time; None while nothing new is known."""
        news = self._speakers.news
        if not self._utterances.has_finals:
            return None
        speech_at = self._looked_at + RELABEL_EVERY_S
        names_at = self._renamed_at + RENAME_EVERY_S
        if news.speech_from_s == math.inf:
            return names_at if news.names else None
        return min(speech_at, names_at) if news.names else speech_at

    def look(self, at: Instant) -> Sequence[Transcript]:
        """Return what is to be sent again, if it is time to look."""
        due_at = self.due_at()
        if due_at is None or due_at > at.loop_s:
            return ()
        return self._look(at, names=self._renamed_at + RENAME_EVERY_S <= at.loop_s)

    def last_look(self, at: Instant) -> Sequence[Transcript]:
        """Return what is to be sent again now, because nothing will be later."""
        return self._look(at, names=True)

    def _look(self, at: Instant, *, names: bool) -> Sequence[Transcript]:
        news, self._looked_at = self._speakers.told(names=names), at.loop_s
        sent: list[Transcript] = []
        for recent in self._utterances.final_since(at.session_s - self._window_s):
            if recent.heard.end_s >= news.speech_from_s:
                sent += self._scribe.relabel(recent, at)
        if news.names:
            self._renamed_at = at.loop_s
            for remembered in self._utterances.final_since(-math.inf):
                sent += self._scribe.rename(remembered, at)
        return sent

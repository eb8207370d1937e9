"""What is true of a simulated meeting: who said each word, and the lag to be found. Pure.

Reports trail the speech by the indicator's delay, which nobody can see from outside: only the
difference between the audio's delay and the indicator's matters, the *effective lag*. The audio's
delay is known here. The indicator's is the constant that lets an oracle, who gives each word to
whoever was reported most while it was spoken, get the most words right; where several do as well
within a third of a percent, their middle. The oracle knows when each report was made, takes who
speaks to change in the middle between two reports, and leaves stuck clients out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.attribution.baselines import ReportLog
from bench.attribution.scenarios import Simulated
from bench.attribution.stt import HeardWord
from bench.attribution.systems import WordKey, name_of

DELAYS_S = tuple(step * 0.05 for step in range(-6, 29))
AS_GOOD = 0.0033
MOST_WORDS = 600
"""Enough to find the best; words are left out evenly over the meeting."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What systems are measured against.

    Attributes:
        speaker: Who said each word.
        lag_at: The effective lag at a moment of the session clock.
        same_until_s: When the publisher changed, and the lag with it; else the end.
    """

    speaker: Mapping[WordKey, str]
    lag_at: Callable[[float], float]
    same_until_s: float


def truth_of(meeting: Simulated) -> Truth:
    """Return what is true of a meeting."""
    delay_s = indicator_delay_s(meeting)
    speaker = {
        (utterance.final.utterance_id, heard.word.start_s): heard.speaker
        for utterance in meeting.utterances
        for heard in utterance.words
    }
    return Truth(
        {key: name_of(who) or "" for key, who in speaker.items()},
        lambda at_s: meeting.egress.lag_at(at_s) - delay_s,
        meeting.egress.publishes[0].to_s,
    )


def indicator_delay_s(meeting: Simulated) -> float:
    """Return by how much reports trail the speech, all in all."""
    log = ReportLog()
    for report in meeting.reports:
        if not report.is_stuck:
            log.add(report.made_at, report)
    words = [heard for utterance in meeting.utterances for heard in utterance.words]
    tried = words[:: max(1, len(words) // MOST_WORDS)]
    return _middle_of_best([_right(meeting, log, tried, delay_s) for delay_s in DELAYS_S])


def _right(meeting: Simulated, log: ReportLog, words: Sequence[HeardWord], delay_s: float) -> float:
    right = 0
    for heard in words:
        shift_s = meeting.egress.lag_at(heard.word.start_s) - delay_s
        who = log.most(heard.word.start_s - shift_s, heard.word.end_s - shift_s)
        right += who == name_of(heard.speaker)
    return right / max(1, len(words))


def _middle_of_best(scores: Sequence[float]) -> float:
    best = max(scores)
    good = [delay for delay, each in zip(DELAYS_S, scores, strict=True) if each >= best - AS_GOOD]
    return (good[0] + good[-1]) / 2

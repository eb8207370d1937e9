"""Who said each word, and where the speaker changes. Pure.

Reports come late and are vague by some tenths of a second, words are exact: so the votes
over each word are blurred by what is not known, and of all ways to share the words among
the speakers the likeliest is taken, where a change of speakers costs more within running
speech than at a pause. "Nobody who is known" is one of the speakers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from realtime_core.model import Attribution, Word
from realtime_core.transcript import floor
from realtime_core.transcript.votes import Votes


class SpeakerSource(Enum):
    """What an attribution rests on, best first."""

    OVERLAP = "overlap"
    CURRENT = "current"
    STT = "stt"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive words of one speaker: those from ``first`` to before ``behind``.

    Attributes:
        voices: The speaker of each word, who may be another where several spoke at once.
    """

    first: int
    behind: int
    attribution: Attribution
    source: SpeakerSource
    voices: tuple[str, ...]


CELL_S = 0.1
BLUR = 5
"""Cells of the box by which votes are blurred twice: indicators are vague by 0.2 s."""

CERTAINTY_PER_S = 3.0
"""How much a second of votes weighs; it balances the blur against the pauses."""

LEAST_VOTE = 0.02
"""Even a word that nobody voted for may be somebody's."""

NOBODY_VOTE = 0.12
"""Where fewer than these voted for a speaker, rather nobody is known."""

MOST_RIVALS = 6
"""Identities between which the words of one utterance are shared."""

LONGEST_S, MOST_S = 120.0, 1e9
"""Words that are spread over more, or lie further than that, are not looked at one by one."""


def shared_out(
    words: Sequence[Word], votes: Votes, lags_s: Sequence[float]
) -> list[str | None] | None:
    """Return the likeliest speaker of each word; None for all if their times make no sense.

    Args:
        votes: Who was reported, from before the first word until after the last.
        lags_s: Equally likely lags.
    """
    start_s = min(word.start_s for word in words)
    end_s = max(max(word.start_s, word.end_s) for word in words)
    total_s = sum(abs(word.start_s) + abs(word.end_s) for word in words)
    if not total_s < MOST_S or end_s - start_s > LONGEST_S:
        return None
    if not votes.identities:
        return [None] * len(words)
    blurred = _Blurred(votes, start_s - max(lags_s), end_s - min(lags_s))
    states: list[str | None] = [None, *blurred.sums]
    lags = [round(lag_s / CELL_S) for lag_s in lags_s]
    scores = [_scores(word, blurred, lags) for word in words]
    ends = list(accumulate((word.end_s for word in words), max))
    changes = [
        floor.change(word.start_s - end_s) for word, end_s in zip(words[1:], ends, strict=False)
    ]
    return [states[place] for place in _best_path(scores, changes)]


class _Blurred:
    """The votes for each identity, blurred, summed up cell by cell."""

    def __init__(self, votes: Votes, from_s: float, to_s: float) -> None:
        self._origin_s = from_s - 2 * CELL_S
        count = math.ceil((to_s - from_s) / CELL_S) + 5
        rows = _rows(votes, self._origin_s - (BLUR - 1) * CELL_S, count + 2 * (BLUR - 1))
        most = sorted(rows, key=lambda identity: -sum(rows[identity]))[:MOST_RIVALS]
        self.sums = {
            identity: list(accumulate(_box(_box(rows[identity])), initial=0.0)) for identity in most
        }

    def cells(self, from_s: float, to_s: float) -> tuple[int, int]:
        """Return first and behind, for no lag."""
        first = round((from_s - self._origin_s) / CELL_S)
        return first, max(first + 1, round((to_s - self._origin_s) / CELL_S))


def _rows(votes: Votes, from_s: float, count: int) -> dict[str, list[float]]:
    rows = {identity: [0.0] * count for identity in votes.identities}
    for start_s, end_s, shares, _ in votes.pieces():
        if not shares:
            continue
        first = max(0, round((start_s - from_s) / CELL_S))
        behind = min(count, round((end_s - from_s) / CELL_S))
        if first < behind:
            for identity, share in shares.items():
                rows[identity][first:behind] = [share] * (behind - first)
    return rows


def _box(row: list[float]) -> list[float]:
    sums = list(accumulate(row, initial=0.0))
    return [(high - low) / BLUR for low, high in zip(sums, sums[BLUR:], strict=False)]


def _scores(word: Word, blurred: _Blurred, lags: Sequence[int]) -> list[float]:
    """Return how well each state fits a word; nobody first. Lags are in cells."""
    weight = CERTAINTY_PER_S * min(max(word.end_s - word.start_s, 0.1), 1.0)
    first, behind = blurred.cells(word.start_s, word.end_s)
    whole = (behind - first) * len(lags)
    scores = [weight * math.log(NOBODY_VOTE)]
    for sums in blurred.sums.values():
        vote = sum([sums[behind - lag] - sums[first - lag] for lag in lags]) / whole
        scores.append(weight * math.log(vote if vote > LEAST_VOTE else LEAST_VOTE))
    return scores


def _best_path(scores: Sequence[Sequence[float]], changes: Sequence[float]) -> list[int]:
    """Return the sequence of states with the best sum (Viterbi).

    Args:
        changes: How likely the state changes, between each two.
    """
    sums = list(scores[0])
    came_from: list[list[int]] = []
    for own, change in zip(scores[1:], changes, strict=True):
        best = max(range(len(sums)), key=sums.__getitem__)
        switched, stay = sums[best] + math.log(change), math.log(1 - change)
        came_from.append(
            [best if switched > each + stay else place for place, each in enumerate(sums)]
        )
        sums = [max(switched, each + stay) + score for each, score in zip(sums, own, strict=True)]
    path = [max(range(len(sums)), key=sums.__getitem__)]
    for came in reversed(came_from):
        path.append(came[path[-1]])
    return path[::-1]


def runs(path: Sequence[str | None]) -> list[tuple[int, int, str | None]]:
    """Return first, behind and whose, for each run of the same."""
    found: list[tuple[int, int, str | None]] = []
    first = 0
    for place in range(1, len(path) + 1):
        if place == len(path) or path[place] != path[first]:
            found.append((first, place, path[first]))
            first = place
    return found


def coverage(
    votes: Votes, start_s: float, end_s: float, lags_s: Sequence[float]
) -> Mapping[str, float]:
    """Return which share of the time each was reported, as far as can be known: 0 to 1."""
    duration_s = end_s - start_s
    if not 0 < duration_s < MOST_S:
        return {}
    total = votes.spoken_s([(start_s - lag_s, end_s - lag_s) for lag_s in lags_s])
    whole_s = duration_s * len(lags_s)
    return {identity: min(1.0, max(0.0, sum_s / whole_s)) for identity, sum_s in total.items()}

"""How well a system did in a meeting. Pure.

Words count one each, whatever their length. *Later* words are those after the first minute of
the conversation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bench.attribution.systems import NOBODY, Cost, LagSeen, Seen
from bench.attribution.truth import Truth

FIRST_MINUTE_S = 60.0
NEAR_MS = 200.0
MOST_WORDS_OFF = 20
"""A change that is shown nowhere near counts as so many words off."""


class Score(msgspec.Struct, frozen=True, rename="camel"):
    """One system in one meeting.

    Attributes:
        right, nobodys: Words with the right speaker, and with none.
        words_off: Sum over the true changes of speaker of how many words off the nearest
            shown change is.
        lag_errors_ms: Estimate minus truth, at each second of the conversation.
        settled_s: From when on the error stayed within 200 ms (until the publisher changed);
            None if it never did.
    """

    scenario: str
    seed: int
    system: str
    words: int
    right: int
    nobodys: int
    later_words: int
    later_right: int
    changes: int
    words_off: int
    minutes: float
    relabels: int
    lag_errors_ms: list[tuple[float, float]]
    settled_s: float | None
    cost: Cost


def score(scenario: str, seed: int, system: str, seen: Seen, truth: Truth) -> Score:
    """Compare what was shown with the truth. There must be words."""
    keys = sorted(truth.speaker)
    said = [truth.speaker[key] for key in keys]
    shown = [seen.speaker.get(key, NOBODY) for key in keys]
    began_s, ended_s = keys[0][1], keys[-1][1]
    later = [place for place, key in enumerate(keys) if key[1] >= began_s + FIRST_MINUTE_S]
    changes, words_off = boundaries(said, shown)
    errors = lag_errors_ms(seen.lags, truth.lag_at, began_s, ended_s)
    return Score(
        scenario=scenario,
        seed=seed,
        system=system,
        words=len(keys),
        right=_right(said, shown, range(len(keys))),
        nobodys=shown.count(NOBODY),
        later_words=len(later),
        later_right=_right(said, shown, later),
        changes=changes,
        words_off=words_off,
        minutes=(ended_s - began_s) / 60,
        relabels=seen.relabels,
        lag_errors_ms=errors,
        settled_s=settled_s([each for each in errors if each[0] + began_s < truth.same_until_s]),
        cost=seen.cost,
    )


def boundaries(said: Sequence[str], shown: Sequence[str]) -> tuple[int, int]:
    """Return how many true changes there are, and how many words off the shown ones are."""
    true, seen = _changes(said), _changes(shown)
    return len(true), sum(_distance(place, seen) for place in true)


def lag_errors_ms(
    lags: Iterable[LagSeen], lag_at: Callable[[float], float], began_s: float, ended_s: float
) -> list[tuple[float, float]]:
    """Return seconds of conversation and the estimate's error then, in order."""
    return [
        (round(lag.at_s - began_s, 1), round(1000 * (lag.lag_s - lag_at(lag.at_s)), 1))
        for lag in lags
        if began_s <= lag.at_s <= ended_s
    ]


def settled_s(errors_ms: Sequence[tuple[float, float]]) -> float | None:
    """Return from when on the error stayed near; None if it is not near in the end."""
    since: float | None = None
    for at_s, error_ms in errors_ms:
        near = abs(error_ms) <= NEAR_MS
        since = (at_s if since is None else since) if near else None
    return since


def _right(said: Sequence[str], shown: Sequence[str], places: Iterable[int]) -> int:
    return sum(said[place] == shown[place] for place in places)


def _changes(speakers: Sequence[str]) -> list[int]:
    return [place for place in range(1, len(speakers)) if speakers[place] != speakers[place - 1]]


def _distance(place: int, changes: Sequence[int]) -> int:
    at = bisect_left(changes, place)
    near = changes[max(0, at - 1) : at + 1]
    return min([MOST_WORDS_OFF, *(abs(place - each) for each in near)])

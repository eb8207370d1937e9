"""How the clients voted, moment by moment: who was speaking. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from realtime_core.transcript.trust import LEAST_WEIGHT


class Votes:
    """Which share of the clients, by weight, reported whom; constant between two times.

    The shares of a piece sum up to 1 or less: the rest saw nobody speak. Where no client
    reported at all ``heard`` is false.
    """

    def __init__(
        self, times_s: list[float], shares: list[Mapping[str, float]], heard: list[bool]
    ) -> None:
        self.times_s, self.shares, self.heard = times_s, shares, heard
        self.identities = sorted({identity for share in shares for identity in share})
        self._summed_s: dict[str, list[float]] | None = None

    def pieces(self) -> Iterator[tuple[float, float, Mapping[str, float], bool]]:
        """Yield from, to, shares, and whether anybody reported anything."""
        return (
            (from_s, to_s, share, heard)
            for (from_s, to_s), share, heard in zip(
                pairwise(self.times_s), self.shares, self.heard, strict=True
            )
        )

    def spoken_s(self, spans: Sequence[tuple[float, float]]) -> dict[str, float]:
        """Return for how long each was reported in these spans in all, weighted by votes."""
        if len(self.times_s) < 2:
            return {}
        if self._summed_s is None:
            self._summed_s = self._sums_s()
        bounds = [(self._place(to_s), self._place(from_s)) for from_s, to_s in spans]
        total: dict[str, float] = {}
        for identity, sums_s in self._summed_s.items():
            spoken_s = 0.0
            for (upper, above), (lower, below) in bounds:
                spoken_s += sums_s[upper] + above * (sums_s[upper + 1] - sums_s[upper])
                spoken_s -= sums_s[lower] + below * (sums_s[lower + 1] - sums_s[lower])
            total[identity] = spoken_s
        return total

    def _place(self, at_s: float) -> tuple[int, float]:
        """Return the piece that holds a time, and the share of it that lies before."""
        times_s = self.times_s
        place = bisect_right(times_s, at_s) - 1
        if place < 0:
            return 0, 0.0
        if place >= len(times_s) - 1:
            return max(0, len(times_s) - 2), 1.0
        return place, (at_s - times_s[place]) / (times_s[place + 1] - times_s[place])

    def _sums_s(self) -> dict[str, list[float]]:
        lengths_s = [to_s - from_s for from_s, to_s in pairwise(self.times_s)]
        spoken = {identity: [0.0] for identity in self.identities}
        for length_s, shares in zip(lengths_s, self.shares, strict=True):
            for identity, sums_s in spoken.items():
                share = shares.get(identity)
                sums_s.append(sums_s[-1] + length_s * share if share else sums_s[-1])
        return spoken


def counted(changes: list[tuple[float, float, str | None]]) -> Votes:
    """Add up spans that begin (with their weight) and end (with minus their weight).

    Where only clients that are not trusted reported, there is less than a whole vote.
    """
    times_s: list[float] = []
    shares: list[Mapping[str, float]] = []
    heard: list[bool] = []
    weights: dict[str | None, float] = {}
    changes.sort(key=_time_of)
    total, last = 0.0, len(changes) - 1
    for place, (at_s, weight, identity) in enumerate(changes):
        total += weight
        weights[identity] = weights.get(identity, 0.0) + weight
        if place < last and changes[place + 1][0] == at_s:
            continue
        times_s.append(at_s)
        heard.append(total > LEAST_WEIGHT / 2)
        whole = total if total > 1.0 else 1.0
        shares.append(
            {
                who: weight / whole
                for who, weight in weights.items()
                if weight > LEAST_WEIGHT / 2 and who is not None
            }
        )
    return Votes(times_s, shares[:-1], heard[:-1])


def _time_of(change: tuple[float, float, str | None]) -> float:
    return change[0]

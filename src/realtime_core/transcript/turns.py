"""Who was reported when: the samples of several clients become votes, moment by moment. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from realtime_core.transcript.trust import LEAST_WEIGHT, MISSING, Answers, weigh
from realtime_core.transcript.votes import Votes, counted

REPORT_INTERVAL_S = 0.5
"""How often clients report; a sample stands for the time until the next one."""

MOST_CLIENTS = 64
"""Clients whose reports are kept per session. One more gets in when another has left."""

LEFT_S = 10.0
"""Who has not reported for so long may have left."""

MOST_SAMPLES = 512
"""Samples kept of each client; past it, the oldest goes."""

FLICKER_S = 0.3
"""Whoever is reported for less has not taken the floor."""

OWN_HOLD_S = 0.8
"""What a client says of itself stands so long where clients are compared: the next report is due
by then, but for what is lost on the way."""

TRUST_WINDOW_S, TRUST_STEP_S = 100.0, 4.0
"""Clients are compared with each other over so long, once in so long."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who was reported from when on; identity None says that nobody was, by those who reported."""

    from_s: float
    to_s: float
    identity: str | None


class Reports:
    """The samples of a session, by client.

    Args:
        hold_s: The longest time between two samples of a client that leaves no doubt about
            what it saw between them.
    """

    def __init__(self, *, hold_s: float) -> None:
        self._hold_s = hold_s
        self._reach_s = min(REPORT_INTERVAL_S, hold_s)
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._weights: dict[str, float] = {}

    @property
    def are_none(self) -> bool:
        """Whether nothing is kept."""
        return not self._clients

    def __len__(self) -> int:
        return sum(len(client.times_s) for client in self._clients.values())

    def add(
        self, client: str, at_s: float, identity: str | None, *, is_own: bool = False
    ) -> float | None:
        """Take a sample; return from when on it changes what was known, if it does.

        Args:
            is_own: Whether the client may report only itself. Its "nobody" then only ends what
                it reported, and is no word against others.
        """
        known = self._clients.get(client)
        if is_own and identity is None and (known is None or known.has_ended_by(at_s)):
            return None
        if known is None:
            if len(self._clients) >= MOST_CLIENTS and not self._makes_room(at_s):
                return None
            known = self._clients[client] = _Client()
        known.is_own = is_own
        self._clients.move_to_end(client)
        place = known.add(at_s, identity)
        return None if place is None else known.changed_from(place, self._hold_s, self._reach_s)

    def forget(self, before_s: float) -> None:
        """Drop what was said before."""
        for name, client in list(self._clients.items()):
            client.forget(before_s)
            if not client.times_s:
                del self._clients[name]
                self._weights.pop(name, None)

    def votes(self, from_s: float, to_s: float) -> Votes:
        """Return who was reported between two times."""
        changes: list[tuple[float, float, str | None]] = []
        for name, client in self._clients.items():
            own = self._weights.get(name, 1.0)
            for start_s, end_s, identity in client.spans(from_s, to_s, self._hold_s, self._reach_s):
                if start_s < to_s and end_s > from_s:
                    weight = client.counts(identity, own)
                    # Cut off, so that most clients begin and end together: there is less to count.
                    changes.append((start_s if start_s > from_s else from_s, weight, identity))
                    changes.append((end_s if end_s < to_s else to_s, -weight, identity))
        return counted(changes)

    def turns(self, from_s: float, to_s: float) -> list[Turn]:
        """Return who had the floor, by most votes, without flicker; gaps are without reports."""
        return _steady(_led(self.votes(from_s, to_s)))

    def weigh(self, now_s: float) -> bool:
        """Compare the clients with each other anew; return whether their weights changed much."""
        if len(self._clients) < 2:
            changed = bool(self._weights)
            self._weights = {}
            return changed
        steps = int(TRUST_WINDOW_S / TRUST_STEP_S)
        moments_s = [now_s - step * TRUST_STEP_S for step in range(steps, 0, -1)]
        # What it says of itself ends with its reports.
        answers = {
            name: client.answers(moments_s, OWN_HOLD_S if client.is_own else self._hold_s)
            for name, client in self._clients.items()
        }
        answers = {name: each for name, each in answers.items() if set(each.said) != {MISSING}}
        before, self._weights = self._weights, weigh(answers)
        return any(
            abs(weight - before.get(name, 1.0)) > 0.2 for name, weight in self._weights.items()
        )

    def newest(self, now_s: float) -> dict[str | None, tuple[float, float]]:
        """Return who is reported now: by which weight, and when last."""
        found: dict[str | None, tuple[float, float]] = {}
        for name, client in self._clients.items():
            place = bisect_right(client.times_s, now_s + self._hold_s) - 1
            if place < 0 or client.times_s[place] < now_s - self._hold_s:
                continue
            identity, at_s = client.said[place], client.times_s[place]
            weight, last_s = found.get(identity, (0.0, at_s))
            weight += client.counts(identity, self._weights.get(name, 1.0))
            found[identity] = (weight, max(last_s, at_s))
        return found

    def reported(self, from_s: float, to_s: float) -> set[str]:
        """Return everybody who was reported in between."""
        found: set[str | None] = set()
        for client in self._clients.values():
            found.update(client.said[bisect_left(client.times_s, from_s) : client.behind(to_s)])
        return {identity for identity in found if identity is not None}

    def _makes_room(self, at_s: float) -> bool:
        """Let go of the client heard longest ago, unless it still reports: it knows as much."""
        name, oldest = next(iter(self._clients.items()))
        if oldest.times_s[-1] > at_s - LEFT_S:
            return False
        del self._clients[name]
        self._weights.pop(name, None)
        return True


class _Client:
    """The samples of one client, in the order of their times.

    Attributes:
        is_own: Whether it may report only itself.
    """

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.said: list[str | None] = []
        self.is_own = False
        self._since_s = 0.0  # the first answer that is kept has stood since then

    def counts(self, identity: str | None, weight: float) -> float:
        """Return the weight of an answer of a client of this weight."""
        return LEAST_WEIGHT if identity is None and self.is_own else weight

    def has_ended_by(self, at_s: float) -> bool:
        """Whether the last it said, at this time or before, is that nobody speaks."""
        return self.said[-1] is None and self.times_s[-1] <= at_s

    def behind(self, at_s: float) -> int:
        return bisect_right(self.times_s, at_s)

    def add(self, at_s: float, identity: str | None) -> int | None:
        """Put a sample in its place, and return that; None if it was there."""
        times_s, said = self.times_s, self.said
        place = len(times_s)
        if times_s and at_s <= times_s[-1]:
            first, behind = bisect_left(times_s, at_s), bisect_right(times_s, at_s)
            if identity in said[first:behind]:
                return None
            # Whatever came first: two answers at the same time are kept in one order.
            place = first + sum((each or "") < (identity or "") for each in said[first:behind])
        times_s.insert(place, at_s)
        said.insert(place, identity)
        if place == 0:
            self._since_s = at_s
        if len(times_s) > MOST_SAMPLES:
            self._drop(1)
            place = max(0, place - 1)
        return place

    def changed_from(self, place: int, hold_s: float, reach_s: float) -> float | None:
        """Return from when on this sample tells more than those beside it, if it does."""
        times_s, said = self.times_s, self.said
        at_s = times_s[place]
        if place == 0 or at_s - times_s[place - 1] > hold_s:
            return at_s
        before_s, is_last = times_s[place - 1], place == len(times_s) - 1
        goes_on = said[place - 1] == said[place] and (
            at_s - before_s <= 1.5 * reach_s
            if is_last
            else said[place + 1] == said[place] and times_s[place + 1] - before_s <= hold_s
        )
        return None if goes_on else before_s

    def forget(self, before_s: float) -> None:
        self._drop(bisect_left(self.times_s, before_s))

    def _drop(self, count: int) -> None:
        times_s, said = self.times_s, self.said
        for place in range(min(count, len(said) - 1)):
            if said[place] != said[place + 1]:
                self._since_s = times_s[place + 1]
        del times_s[:count], said[:count]

    def spans(
        self, from_s: float, to_s: float, hold_s: float, reach_s: float
    ) -> Iterator[tuple[float, float, str | None]]:
        """Yield for how long each answer stood, those in a row as one.

        An answer changed somewhere between two samples: most likely in the middle.
        """
        times_s, said = self.times_s, self.said
        first = max(0, bisect_left(times_s, from_s - hold_s) - 1)
        behind = min(len(times_s), bisect_right(times_s, to_s + hold_s) + 1)
        if first >= behind:
            return
        start_s, at_s, identity = times_s[first], times_s[first], said[first]
        for place in range(first + 1, behind):
            next_s, other = times_s[place], said[place]
            is_near = next_s - at_s <= hold_s
            if not (is_near and other == identity):
                end_s = (at_s + next_s) / 2 if is_near else at_s + reach_s
                yield start_s, end_s, identity
                start_s = end_s if is_near else next_s
                identity = other
            at_s = next_s
        yield start_s, at_s + reach_s, identity

    def answers(self, moments_s: Sequence[float], hold_s: float) -> Answers:
        """Return what it said last before each moment; ``MISSING`` if that is too long ago."""
        places = [bisect_right(self.times_s, at_s) - 1 for at_s in moments_s]
        said = [
            self.said[place] if place >= 0 and self.times_s[place] >= at_s - hold_s else MISSING
            for place, at_s in zip(places, moments_s, strict=True)
        ]
        if self.is_own:
            said = [MISSING if answer is None else answer for answer in said]
        if said[0] is MISSING:
            return Answers(said, is_own=self.is_own)
        first = places[0]
        while first > 0 and self.said[first - 1] == said[0]:
            first -= 1
        since_s = self.times_s[first] if first else self._since_s
        run = 1.0 + max(0.0, moments_s[0] - since_s) / TRUST_STEP_S
        return Answers(said, run, is_own=self.is_own)


def _led(votes: Votes) -> Iterator[Turn]:
    """Yield who had the most votes; nobody, if those who saw nobody have most."""
    for from_s, to_s, shares, heard in votes.pieces():
        if not heard:
            continue
        identity, most = None, 1.0 - sum(shares.values())
        for who, share in sorted(shares.items()):
            if share > most + 1e-9:
                identity, most = who, share
        yield Turn(from_s, to_s, identity)


def _steady(led: Iterable[Turn]) -> list[Turn]:
    """Join what is next to each other and the same, and leave out what is only flicker."""
    joined: list[Turn] = []
    for turn in led:
        _append(joined, turn)
    steady: list[Turn] = []
    for turn in joined:
        if turn.to_s - turn.from_s >= FLICKER_S:
            _append(steady, turn)
        elif steady and steady[-1].to_s == turn.from_s:
            # Whoever had the floor keeps it meanwhile.
            steady[-1] = Turn(steady[-1].from_s, turn.to_s, steady[-1].identity)
    return steady


def _append(turns: list[Turn], turn: Turn) -> None:
    if turns and turns[-1].identity == turn.identity and turns[-1].to_s == turn.from_s:
        turns[-1] = Turn(turns[-1].from_s, turn.to_s, turn.identity)
    else:
        turns.append(turn)

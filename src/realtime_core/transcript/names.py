"""What the identities of a session are called. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MOST_IDENTITIES = 128
"""Identities remembered per session; past it, the one reported longest ago goes."""

MOST_CLAIMS, MOST_FORMER = 64, 8
"""Clients per identity whose name for it is remembered, and names that it had before."""

LEFT_S = 10.0
"""A client that has not reported for so long makes room for another."""


@dataclass(slots=True)
class _Known:
    name: str
    last_s: float
    claims: OrderedDict[str, tuple[float, str]] = field(default_factory=OrderedDict)
    former: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_FORMER))

    def is_news(self, client: str, name: str, at_s: float) -> bool:
        """Note what a client calls it; return whether that is another name than before."""
        claim = self.claims.get(client)
        if claim is None:
            if not self._has_room(at_s):
                return False
            # Perhaps a page that came back, and knows nothing newer.
            is_news = name not in self.former
        else:
            before_s, before = claim
            if at_s < before_s:
                return False
            is_news = name != before
        self.claims[client] = (at_s, name)
        self.claims.move_to_end(client)
        return is_news

    def _has_room(self, at_s: float) -> bool:
        if len(self.claims) < MOST_CLAIMS:
            return True
        client, (last_s, _) = next(iter(self.claims.items()))
        if last_s > at_s - LEFT_S:
            return False
        del self.claims[client]
        return True


class Names:
    """The newest name of each identity that was not empty.

    A name is as new as the moment when a client first said it. So a client that goes on
    with an old name, as a page that missed the change, does not bring it back; nor does one
    that begins with a name that was replaced.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()  # reported longest ago first

    def since(self, from_s: float) -> int:
        """Return how many identities were reported at this time or later."""
        return sum(known.last_s >= from_s for known in self._known.values())

    def learn(self, identity: str, name: str, at_s: float, client: str) -> bool:
        """Take the name of a report; return whether somebody is called otherwise now."""
        name = name.strip()
        known = self._known.setdefault(identity, _Known(name or identity, at_s))
        self._known.move_to_end(identity)
        if len(self._known) > MOST_IDENTITIES:
            self._known.popitem(last=False)
        known.last_s = max(known.last_s, at_s)
        if not name or not known.is_news(client, name, at_s) or name == known.name:
            return False
        known.former.append(known.name)
        known.name = name
        return True

    def name_of(self, identity: str) -> str | None:
        """Return the name of an identity, if it is known."""
        known = self._known.get(identity)
        return known.name if known else None

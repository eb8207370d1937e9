"""What the identities of a session are called. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MOST_IDENTITIES = 128
"""Identities remembered per session; past it, the one reported longest ago goes."""

MOST_CLAIMS = 64
"""Clients per identity whose name for it is remembered."""


@dataclass(slots=True)
class _Known:
    name: str
    last_s: float
    claims: OrderedDict[str, tuple[float, str]] = field(default_factory=OrderedDict)

    def is_news(self, client: str, name: str, at_s: float) -> bool:
        """Note what a client calls it; return whether that client called it otherwise before."""
        before_s, before = self.claims.get(client, (at_s, ""))
        if at_s < before_s:
            return False
        self.claims[client] = (at_s, name)
        self.claims.move_to_end(client)
        if len(self.claims) > MOST_CLAIMS:
            self.claims.popitem(last=False)
        return name != before


class Names:
    """The newest name of each identity that was not empty.

    A name is as new as the moment when a client first said it. So a client that goes on
    with an old name, as a page that missed the change, does not bring it back.
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
        known.name = name
        return True

    def name_of(self, identity: str) -> str | None:
        """Return the name of an identity, if it is known."""
        known = self._known.get(identity)
        return known.name if known else None

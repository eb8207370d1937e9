"""What the identities of a session are called. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MOST_IDENTITIES = 128
"""Identities remembered per session; past it, the one reported longest ago goes."""


@dataclass(slots=True)
class _Known:
    name: str
    last_s: float


class Names:
    """The newest name of each identity that was not empty."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()  # reported longest ago first

    def since(self, from_s: float) -> int:
        """Return how many identities were reported at this time or later."""
        return sum(known.last_s >= from_s for known in self._known.values())

    def learn(self, identity: str, name: str, at_s: float) -> bool:
        """Take the name of a report; return whether somebody is called otherwise now."""
        name = name.strip()
        known = self._known.setdefault(identity, _Known(name or identity, at_s))
        self._known.move_to_end(identity)
        if len(self._known) > MOST_IDENTITIES:
            self._known.popitem(last=False)
        known.last_s = max(known.last_s, at_s)
        is_other = bool(name) and name != known.name
        known.name = name or known.name
        return is_other

    def name_of(self, identity: str) -> str | None:
        """Return the name of an identity, if it is known."""
        known = self._known.get(identity)
        return known.name if known else None

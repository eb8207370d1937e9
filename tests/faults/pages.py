"""What the viewer page keeps over its connections, without the page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from realtime_core.hub.replay import Older
from tests.hub.examples import FakeListener, Message


@dataclass(slots=True)
class Asking:
    """A viewer's question that the table has not answered.

    Attributes:
        is_certain: Whether the table will say all, and nothing was said meanwhile that the
            hub may have forgotten.
    """

    task: asyncio.Task[Older | None]
    is_certain: bool = True


@dataclass
class Page:
    """What the viewer page keeps over its connections.

    Attributes:
        finals: The revision of each utterance that is shown.
        order: The numbers of the finals in the order in which they came, since the last
            that was not recovered.
        whole_after: Every final after this number has to be shown.
    """

    connection: FakeListener | None = None
    asking: Asking | None = None
    epoch: str | None = None
    since: int | None = None
    recovered: bool | None = None
    finals: dict[str, int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    whole_after: int = 0
    _read: int = 0

    @property
    def is_away(self) -> bool:
        return self.connection is None and self.asking is None

    def joined(self, connection: FakeListener) -> None:
        self.connection, self._read = connection, 0
        self.take()

    def take(self) -> None:
        """Read what arrived; what a cut connection still held is lost with it."""
        if self.connection is None:
            return
        if not self.connection.frozen:
            self.connection.read()
        for message in self.connection.messages[self._read :]:
            if message["type"] == "ready":
                self._begin(message)
            elif message["type"] == "transcript":
                self._take(message)
        self._read = len(self.connection.messages)
        if self.connection.closed_with is not None:
            self.connection = None

    def _begin(self, ready: Message) -> None:
        self.recovered = ready.get("recovered")
        history = [each["seq"] for each in ready["history"]]
        assert history == sorted(set(history))
        if self.recovered:
            assert ready["epoch"] == self.epoch
            assert all(seq > (self.since or 0) for seq in history)
        else:
            if ready["epoch"] != self.epoch:
                self.finals = {}
            self.order, self.whole_after = [], min(history, default=ready["seq"] + 1) - 1
        for each in ready["history"]:
            if self.recovered or each["rev"] > self.finals.get(each["utteranceId"], 0):
                self._take(each)
        self.epoch, self.since = ready["epoch"], ready["seq"]

    def _take(self, message: Message) -> None:
        self.since = message["seq"]
        if message["isFinal"]:
            assert message["rev"] > self.finals.get(message["utteranceId"], 0), "seen twice"
            self.finals[message["utteranceId"]] = message["rev"]
            self.order.append(message["seq"])

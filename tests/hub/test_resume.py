"""What a viewer that is cut off at any moment has seen when all is over.

Random events, a hub and viewers that keep what clients keep. The promise: a viewer that
comes back with ``since`` sees each final exactly once and in order, or is told that it
does not.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.model import SessionState, Transcript
from tests.hub.examples import FakeListener, Message, draft, final

LIMIT = 1_500
HISTORY = 4
VIEWERS = st.integers(0, 2)


class Client:
    """What a front end keeps over its connections: the position, and what it shows."""

    def __init__(self) -> None:
        self.connection: FakeListener | None = None
        self.epoch: str | None = None
        self.since: int | None = None
        self.finals: dict[str, int] = {}
        self.order: list[int] = []
        self._read = 0

    def connect(self, hub: Hub) -> None:
        self.connection, self._read = FakeListener(), 0
        hub.join("weekly", self.connection, since=self.since, epoch=self.epoch)
        self.take()

    def take(self) -> None:
        """Read what arrived; what a cut connection still held is lost with it."""
        if self.connection is None:
            return
        if not self.connection.frozen:
            self.connection.read()
        for message in self.connection.messages[self._read :]:
            self._show(message)
        self._read = len(self.connection.messages)
        if self.connection.closed_with is not None:
            self.connection = None

    def _show(self, message: Message) -> None:
        if message["type"] == "transcript":
            self._upsert(message)
            return
        if not message.get("recovered"):
            self.finals, self.order = {}, []
        for each in message["history"]:
            self._upsert(each)
        self.epoch, self.since = message["epoch"], message["seq"]

    def _upsert(self, message: Message) -> None:
        self.since = message["seq"]
        if message["isFinal"]:
            assert message["rev"] > self.finals.get(message["utteranceId"], 0), "seen twice"
            self.finals[message["utteranceId"]] = message["rev"]
            self.order.append(message["seq"])


class Resume(RuleBasedStateMachine):
    """One session, three viewers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.hub = Hub(Metrics(), viewer_buffer_bytes=LIMIT, history_size=HISTORY)
        self.hub.open("weekly", "e", SessionState.LIVE)
        self.clients = [Client() for _ in range(3)]
        self.seq = self.utterances = 0
        self.revs: dict[str, int] = {}
        self.latest: dict[str, tuple[int, int]] = {}

    @rule(is_final=st.booleans(), long=st.booleans())
    def say_something_new(self, is_final: bool, long: bool) -> None:
        self.utterances += 1
        self._publish(f"u{self.utterances}", is_final, long)

    @precondition(lambda self: self.utterances)
    @rule(back=st.integers(0, 5), is_final=st.booleans())
    def say_more_of_it(self, back: int, is_final: bool) -> None:
        utterance = f"u{max(self.utterances - back, 1)}"
        if is_final or utterance not in self.latest:
            self._publish(utterance, is_final, False)

    @rule(who=VIEWERS)
    def come(self, who: int) -> None:
        if self.clients[who].connection is None:
            self.clients[who].connect(self.hub)

    @rule(who=VIEWERS)
    def be_cut_off(self, who: int) -> None:
        client = self.clients[who]
        if client.connection is not None:
            self.hub.leave("weekly", client.connection)
            client.connection = None

    @rule(who=VIEWERS, frozen=st.booleans())
    def stop_or_go_on_reading(self, who: int, frozen: bool) -> None:
        client = self.clients[who]
        if client.connection is not None:
            client.connection.frozen = frozen
            client.take()

    @invariant()
    def finals_come_in_order(self) -> None:
        for client in self.clients:
            assert client.order == sorted(set(client.order))

    @invariant()
    def whoever_is_up_to_date_shows_every_final_since_it_came(self) -> None:
        for client in self.clients:
            if client.connection is not None and not client.connection.frozen:
                first = min(client.order, default=self.seq)
                expected = {u: rev for u, (seq, rev) in self.latest.items() if seq >= first}
                assert client.finals.items() >= expected.items()

    def teardown(self) -> None:
        for client in self.clients:
            if client.connection is None:
                client.connect(self.hub)
            client.connection.frozen = False  # type: ignore[union-attr] # it just connected
            client.take()
        self.whoever_is_up_to_date_shows_every_final_since_it_came()
        self.finals_come_in_order()
        self.runner.close()

    def _publish(self, utterance: str, is_final: bool, long: bool) -> None:
        self.seq += 1
        rev = self.revs[utterance] = self.revs.get(utterance, 0) + 1
        if is_final:
            self.latest[utterance] = (self.seq, rev)
        text = "long " * 80 if long else "short"
        make = final if is_final else draft
        self.runner.run(self._broadcast(make(self.seq, text, utterance=utterance, rev=rev)))
        for client in self.clients:
            client.take()

    async def _broadcast(self, transcript: Transcript) -> None:
        self.hub.publish(transcript)


Resume.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, report_multiple_bugs=False
)
# It passes in about a second; a failure takes its time to become a short example.
TestResume = pytest.mark.timeout(120)(Resume.TestCase)

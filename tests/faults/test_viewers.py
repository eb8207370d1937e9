"""A viewer that comes back sees every final exactly once and in order, or is told so.

Random events upon a hub, a table that may not answer, a service that may be restarted, and
viewers that keep what the page keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.hub.replay import Older
from realtime_core.hub.rooms import Hub
from realtime_core.metrics import Metrics
from realtime_core.model import SessionState, Transcript
from realtime_core.web.missed import STEP, Missed
from tests.faults.pages import Asking, Page
from tests.hub.examples import FakeListener, draft, final
from tests.web.fake_table import FakeTable

LIMIT = 1_500
HISTORY = 3
FEW_ROWS = 4
SLUG = "weekly"


class Event(Enum):
    """What happens."""

    SAY_SOMETHING_NEW = auto()
    SAY_MORE_OF_IT = auto()
    COME = auto()
    BE_CUT_OFF = auto()
    STOP_OR_GO_ON_READING = auto()
    TABLE_ANSWERS = auto()
    TABLE_BREAKS_OR_IS_MENDED = auto()
    SERVICE_IS_RESTARTED = auto()
    SESSION_IS_STARTED_ANEW = auto()


OFTEN = {Event.SAY_SOMETHING_NEW: 7, Event.SAY_MORE_OF_IT: 3, Event.COME: 6, Event.BE_CUT_OFF: 4}
OFTEN |= {Event.TABLE_ANSWERS: 5, Event.SERVICE_IS_RESTARTED: 2, Event.STOP_OR_GO_ON_READING: 2}


@dataclass(frozen=True, slots=True)
class Step:
    """One event; ``who``, ``one`` and ``other`` mean to each what they mean."""

    event: Event
    who: int
    one: bool
    other: bool


STEPS = st.builds(
    Step,
    st.sampled_from([event for event in Event for _ in range(OFTEN.get(event, 1))]),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)


class World:
    """One session in several runs, one service in several processes, three viewers."""

    def __init__(self, most_rows: int, seq: int) -> None:
        self.runner = asyncio.Runner()
        self.table = FakeTable()
        self.pages = [Page() for _ in range(3)]
        self.runs = 0
        self.most_rows = most_rows
        self._begin_run(seq)
        self._begin_process()

    def take(self, step: Step) -> None:
        match step.event:
            case Event.SAY_SOMETHING_NEW:
                self.utterances += 1
                self._publish(f"u{self.runs}.{self.utterances}", step.one, is_long=step.other)
            case Event.SAY_MORE_OF_IT:
                self._say_more_of_it(back=2 * step.who, is_final=step.one)
            case Event.COME:
                self.come(self.pages[step.who])
            case Event.BE_CUT_OFF:
                self._leave(self.pages[step.who])
            case Event.STOP_OR_GO_ON_READING:
                self.read(self.pages[step.who], frozen=step.one)
            case Event.TABLE_ANSWERS:
                self.the_table_answers()
            case Event.TABLE_BREAKS_OR_IS_MENDED:
                self._change_table(writes=step.one, is_away=step.other)
            case Event.SERVICE_IS_RESTARTED:
                self._restart()
            case Event.SESSION_IS_STARTED_ANEW:
                self._start_anew()

    def come(self, page: Page) -> None:
        if not page.is_away:
            return
        lack = self.hub.lack(SLUG, since=page.since, epoch=page.epoch)
        if lack is None:
            self._join(page, None)
            return
        self.table.answers.clear()

        async def ask() -> asyncio.Task[Older | None]:
            task = asyncio.ensure_future(self.missed.read(SLUG, lack))
            await asyncio.sleep(0)
            return task

        page.asking = Asking(self.runner.run(ask()))

    def the_table_answers(self) -> None:
        self.table.answers.set()
        asking = [(page, page.asking) for page in self.pages if page.asking is not None]
        says_all = self.table.writes and not self.table.is_away and self.most_rows > FEW_ROWS
        for page, question in asking:
            older = self.runner.run(_result(question.task))
            page.asking, is_same_run = None, page.epoch == self.epoch
            self._join(page, older)
            if says_all and question.is_certain:
                assert older is not None
                assert page.recovered is not False or not is_same_run
                if page.recovered is False:
                    assert page.finals == {u: rev for u, (_, rev) in self.latest.items()}

    def read(self, page: Page, *, frozen: bool) -> None:
        if page.connection is not None:
            page.connection.frozen = frozen
            page.take()

    def check(self) -> None:
        for page in self.pages:
            assert page.order == sorted(set(page.order))
            if page.connection is not None and not page.connection.frozen:
                promised = {u: r for u, (seq, r) in self.latest.items() if seq > page.whole_after}
                assert page.finals.items() >= promised.items()

    def end(self) -> None:
        self._change_table(writes=True, is_away=False)
        self.the_table_answers()
        for page in self.pages:
            self.read(page, frozen=False)
            self.come(page)
        self.the_table_answers()
        self.check()
        assert all(page.connection is not None for page in self.pages)

    def _say_more_of_it(self, back: int, is_final: bool) -> None:
        utterance = f"u{self.runs}.{max(self.utterances - back, 1)}"
        if self.utterances and (is_final or utterance not in self.latest):
            self._publish(utterance, is_final, is_long=False)

    def _change_table(self, *, writes: bool, is_away: bool) -> None:
        self.table.writes, self.table.is_away = writes, is_away
        for page in self.pages:
            if page.asking is not None:
                page.asking.is_certain = False  # it may have been asked before, or after

    def _restart(self) -> None:
        for page in self.pages:
            self._leave(page)
        self._begin_process()

    def _start_anew(self) -> None:
        for page in self.pages:
            if page.asking is not None:
                self._leave(page)
        self.hub.close(SLUG)
        for page in self.pages:
            page.take()
        self._begin_run(0)
        self.hub.open(SLUG, self.epoch, SessionState.LIVE)

    def _begin_run(self, seq: int) -> None:
        self.runs += 1
        self.epoch = f"e{self.runs}"
        self.seq, self.utterances = seq, 0
        self.revs: dict[str, int] = {}
        self.latest: dict[str, tuple[int, int]] = {}

    def _begin_process(self) -> None:
        metrics, table = Metrics(), self.table
        self.hub = Hub(metrics, viewer_buffer_bytes=LIMIT, history_size=HISTORY)
        self.hub.open(SLUG, self.epoch, SessionState.LIVE, seq=self.seq)
        rows = self.most_rows
        self.missed = Missed(table, table.flush, table.zero_at, metrics, most_rows=rows)

    def _join(self, page: Page, older: Older | None) -> None:
        listener = FakeListener()
        self.hub.join(SLUG, listener, since=page.since, epoch=page.epoch, older=older)
        page.joined(listener)

    def _leave(self, page: Page) -> None:
        if page.asking is not None:
            self.runner.run(_cancelled(page.asking.task))
        if page.connection is not None:
            self.hub.leave(SLUG, page.connection)
        page.asking = page.connection = None

    def _publish(self, utterance: str, is_final: bool, *, is_long: bool) -> None:
        self.seq += 1
        rev = self.revs[utterance] = self.revs.get(utterance, 0) + 1
        make, text = final if is_final else draft, "long " * 80 if is_long else "short"
        transcript = make(self.seq, text, utterance=utterance, rev=rev)
        if is_final:
            self.latest[utterance] = (self.seq, rev)
            self.table.accept(transcript, self.epoch)  # before anybody sees it
        self.runner.run(self._broadcast(transcript))
        for page in self.pages:
            page.take()
            if page.asking is not None:
                page.asking.is_certain = False

    async def _broadcast(self, transcript: Transcript) -> None:
        self.hub.publish(transcript)


async def _result(task: asyncio.Task[Older | None]) -> Older | None:
    return await task


async def _cancelled(task: asyncio.Task[Older | None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@settings(max_examples=150)
@given(
    st.lists(STEPS, min_size=30, max_size=60),
    st.sampled_from([FEW_ROWS, 1000]),
    st.sampled_from([0, STEP - 9]),
)
@pytest.mark.timeout(120)  # a failure takes its time to become a short example
def test_who_comes_back_sees_every_final_once_and_in_order_or_is_told_so(
    steps: Iterable[Step], most_rows: int, seq: int
) -> None:
    world = World(most_rows, seq)
    try:
        for step in steps:
            world.take(step)
            world.check()
        world.end()
    finally:
        world.runner.close()

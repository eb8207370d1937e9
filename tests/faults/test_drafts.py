"""Every draft that a viewer saw ends in exactly one final, in time, whatever happens.

Whole sessions in virtual time: their timers, their publishers, their speech-to-text, and the
death of their process. Only what goes in and what viewers see is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import DecoderError, SttRejected
from realtime_core.model import PublishEnd, SpeechHeard, Transcript
from realtime_core.stages import Waits
from tests.fakes import NEW, TAG, FakePublisher, World, heard
from tests.virtual_time import in_virtual_time

TIMEOUT_S = 5.0
TEXTS = ("oh", "oh well", "oh well that", "we are", "we are here", "")


@dataclass(frozen=True)
class Say:
    """Speech-to-text says something of utterance ``number``."""

    number: int
    text: str
    final: bool
    stt_session: str

    def heard(self, process: int) -> SpeechHeard:
        speech = heard(self.text, self.number, final=self.final, start_s=float(2 * self.number))
        # No process goes on with an STT session of another.
        return replace(speech, stt_session_id=f"{process}-{self.stt_session}")


SAYS = st.builds(
    Say,
    st.integers(0, 3),
    st.sampled_from(TEXTS),
    st.booleans(),
    st.sampled_from(["one", "two"]),
)
WAITS = st.sampled_from([0.1, 1.0, 3.0, 5.5])
EVENTS = st.sampled_from(["publish", "lose", "kill", "suspend"])
ENDS = st.sampled_from(["goodbye", "stop", "decoder", "stt", "bug", "kill"])
STEPS = st.lists(st.one_of(SAYS, SAYS, SAYS, WAITS, EVENTS), max_size=30)


@dataclass
class Viewer:
    """What one viewer knows, over all processes of the service."""

    clock: Callable[[], float]
    last_seq: int = 0
    shown: dict[str, Transcript] = field(default_factory=dict)
    changed_at: dict[str, float] = field(default_factory=dict)

    def see(self, transcript: Transcript) -> None:
        assert transcript.seq == self.last_seq + 1
        self.last_seq = transcript.seq
        before = self.shown.get(transcript.utterance_id)
        if before is not None:
            assert transcript.rev > before.rev
            assert transcript.is_final or not before.is_final
        if before is None or before.text != transcript.text:
            self.changed_at[transcript.utterance_id] = self.clock()
        self.shown[transcript.utterance_id] = transcript

    def is_owed_nothing(self, within_s: float) -> bool:
        limit = self.clock() - within_s
        return all(
            each.is_final or self.changed_at[name] >= limit for name, each in self.shown.items()
        )


class Service:
    """One session over the processes that serve it."""

    def __init__(self) -> None:
        self.viewer = Viewer(asyncio.get_running_loop().time)
        self.broken = 0.0
        self._publishers = self._processes = 0
        self._open(World(Waits(publish_grace_s=1e6)))

    def _open(self, world: World) -> None:
        self.world, self._looked_at = world, 0
        self._processes += 1
        self._publisher: FakePublisher | None = None
        self._task = asyncio.ensure_future(world.session.run())

    def look(self) -> None:
        """Let the viewer see what was shown since."""
        for transcript in self.world.shown[self._looked_at :]:
            self.viewer.see(transcript)
        self._looked_at = len(self.world.shown)

    async def step(self, step: Say | float | str) -> None:
        match step:
            case float():
                await self.wait(step)
            case Say():
                if self.world.session.publishes:
                    self.world.stt.emit(step.heard(self._processes))
            case "publish":
                await self.publish()
            case "lose" if self._publisher is not None:
                self.world.session.publish_ended(self._publisher, PublishEnd.LOST)
                self._publisher = None
            case "kill" | "suspend":
                await self.restart(kill=step == "kill")
            case _:
                assert step == "lose"  # nobody publishes
        self.look()

    async def wait(self, seconds: float) -> None:
        """Look now and then, as a viewer does."""
        for _ in range(4):
            await asyncio.sleep(seconds / 4)
            self.look()
            assert self.viewer.is_owed_nothing(TIMEOUT_S + 1)

    async def publish(self) -> None:
        self._publishers += 1
        self._publisher = FakePublisher(self._publishers)
        self.world.session.publish_started(self._publisher)
        self.world.session.audio(self._publisher, TAG)
        await settle()

    async def restart(self, *, kill: bool) -> None:
        if not kill:
            self.world.session.suspend()
            await self._task
        self.look()
        record = self.world.records[-1] if self.world.records else NEW
        self._count_broken()
        self._task.cancel()  # what a dead process still does is seen by nobody
        await asyncio.wait([self._task])
        self._open(World(Waits(publish_grace_s=1e6), record))
        await settle()

    async def end(self, how: str) -> None:
        if self._publisher is None:
            await self.publish()
        assert self._publisher is not None
        match how:
            case "goodbye":
                self.world.session.publish_ended(self._publisher, PublishEnd.CLEAN)
            case "stop":
                self.world.session.stop()
            case "decoder":
                self.world.decoder.fail(DecoderError("it died"))
            case "stt":
                self.world.stt.fail(SttRejected("no credit"))
            case "bug":
                self.world.stt.fail(RuntimeError("a bug"))
            case "kill":
                await self.restart(kill=True)
                self.world.session.stop()
            case _:
                raise AssertionError(how)
        await self._task
        self.look()
        self._count_broken()

    def _count_broken(self) -> None:
        for metric in self.world.metrics.promises_broken.collect():
            self.broken += sum(s.value for s in metric.samples if s.name.endswith("_total"))


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@given(STEPS, ENDS)
def test_every_draft_that_a_viewer_saw_ends_in_one_final_in_time(
    steps: list[Say | float | str], how: str
) -> None:
    async def main() -> None:
        service = Service()
        await settle()
        await service.publish()
        for step in steps:
            await service.step(step)
        await service.end(how)
        assert all(each.is_final for each in service.viewer.shown.values())
        assert service.broken == 0

    in_virtual_time(main())


@given(STEPS)
def test_the_table_holds_the_last_final_of_each_utterance(
    steps: list[Say | float | str],
) -> None:
    """Stored before shown: whatever process dies, the rows are what the viewer knows."""

    async def main() -> None:
        service = Service()
        await settle()
        await service.publish()
        rows: dict[str, tuple[int, str]] = {}
        for step in [*steps, "end"]:
            world = service.world
            if step == "end":
                await service.end("stop")
            else:
                await service.step(step)
            for row in world.stored + service.world.stored:
                rows[row.utterance_id] = max(
                    rows.get(row.utterance_id, (0, "")), (row.rev, row.text)
                )
        shown = service.viewer.shown.values()
        assert rows == {each.utterance_id: (each.rev, each.text) for each in shown}

    in_virtual_time(main())

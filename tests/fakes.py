"""Small working parts that sessions are tested with; faults are methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

from realtime_core.captioner import Captioner
from realtime_core.errors import RealtimeCoreError
from realtime_core.metrics import Metrics
from realtime_core.model import (
    AudioGap,
    AudioTag,
    FinalRow,
    PublishEnd,
    SessionRecord,
    SessionState,
    Silence,
    SpeakerReport,
    SpeechHeard,
    SttEvent,
    Transcript,
)
from realtime_core.session import Session
from realtime_core.stages import Stages, Waits
from realtime_core.transcript.speakers import SpeakerTimeline

TAG_PCM = bytes(3200)  # a tag of these tests lasts 100 ms
TAG = AudioTag(b"\xaf\x01aac", 0, is_config=False)


NEW = SessionRecord("weekly", "e1")


class FakePublisher:
    """A publish that notes how it was hung up."""

    def __init__(self, number: int = 1) -> None:
        self.id = number
        self.peer = "127.0.0.1"
        self.closed_with: PublishEnd | None = None

    def close(self, end: PublishEnd) -> None:
        self.closed_with = end


class FakeDecoder:
    """Decodes each tag to 100 ms of silence."""

    def __init__(self) -> None:
        self.has_run = self.is_running = False
        self.skipped_s = 0.0
        self.held = 0.0  # seconds that are in it and do not come out
        self._queue: asyncio.Queue[AudioTag | Silence | Exception | None] = asyncio.Queue()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def queued_s(self) -> float:
        return self.held + 0.1 * self._queue.qsize()

    def feed(self, tag: AudioTag) -> None:
        self._queue.put_nowait(tag)

    def lose(self) -> None:
        """Give out 100 ms that stand for lost audio."""
        self._queue.put_nowait(Silence(len(TAG_PCM)))

    def skip(self, seconds: float) -> None:
        self.skipped_s += seconds

    def end(self) -> None:
        self._queue.put_nowait(None)

    def fail(self, error: Exception) -> None:
        self._queue.put_nowait(error)

    def hold(self) -> None:
        """Give nothing out for now."""
        self._flowing.clear()

    def let_go(self) -> None:
        self._flowing.set()

    async def run(self, emit: Callable[[bytes], None]) -> None:
        self.has_run = self.is_running = True
        try:
            while (item := await self._queue.get()) is not None:
                await self._flowing.wait()
                if isinstance(item, Exception):
                    raise item
                emit(item if isinstance(item, Silence) else TAG_PCM)
        finally:
            self.is_running = False


class FakeStt:
    """Speech-to-text that hears what the test says it hears."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.emit: Callable[[SttEvent], None] = lambda event: None
        self.ended = asyncio.Event()
        self.trailing: list[SttEvent] = []
        self._failure: asyncio.Future[None] | None = None

    @property
    def sent_bytes(self) -> int:
        return len(self.received)

    def statistics(self) -> Self:
        return self

    def send(self, pcm: bytes) -> None:
        self.received += pcm

    def end(self) -> None:
        self.ended.set()

    def fail(self, error: RealtimeCoreError | Exception) -> None:
        assert self._failure is not None, "not running"
        self._failure.set_exception(error)

    async def run(self, emit: Callable[[SttEvent], None]) -> None:
        self.emit = emit
        self._failure = asyncio.get_running_loop().create_future()
        ending = asyncio.ensure_future(self.ended.wait())
        waiting: list[asyncio.Future[Any]] = [ending, self._failure]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if self._failure.done():
            self._failure.result()
        for event in self.trailing:
            emit(event)


WALL_S = 1_790_000_000.0
"""What the clock on the wall shows when the loop's shows 0; in virtual time tests."""


def wall() -> float:
    """The clock on the wall, in step with the loop's."""
    return WALL_S + asyncio.get_running_loop().time()


class NotingCaptioner(Captioner):
    """A captioner that notes what was reported."""

    def __init__(self, record: SessionRecord, reports: list[SpeakerReport], **others: Any) -> None:
        super().__init__(record, **others)
        self._noted = reports

    def report_speaker(self, report: SpeakerReport) -> None:
        self._noted.append(report)
        super().report_speaker(report)


class World:
    """A session with fakes around it; what it showed, stored and said is kept."""

    def __init__(self, waits: Waits | None = None, record: SessionRecord = NEW) -> None:
        self.decoder, self.stt, self.metrics = FakeDecoder(), FakeStt(), Metrics()
        self.shown: list[Transcript] = []
        self.stored: list[FinalRow] = []
        self.said: list[tuple[SessionState, str]] = []
        self.gaps: list[AudioGap] = []
        self.order: list[str] = []
        self.reports: list[SpeakerReport] = []
        stages = Stages(
            decoder=lambda slug: self.decoder,
            stt=lambda slug, options: self.stt,
            captioner=self._captioner,
            settle=self._settle,
            status=self._say,
            gap=lambda slug, gap: self.gaps.append(gap),
        )
        self.records: list[SessionRecord] = []
        self.session = Session(record, stages, waits or Waits())

    def _say(self, _slug: str, state: SessionState, reason: str) -> None:
        self.said.append((state, reason))
        self.order.append(state.value)

    async def _settle(self, _slug: str) -> None:
        self.order.append("settled")

    def _captioner(self, record: SessionRecord) -> Captioner:
        return NotingCaptioner(
            record,
            self.reports,
            publish=self._show,
            store=self._store,
            save=self._save,
            metrics=self.metrics,
            draft_timeout_s=5.0,
            speakers=SpeakerTimeline(lag_s=record.speaker_lag_s or 0.0, estimates_lag=False),
            wall=wall,
        )

    def _show(self, transcript: Transcript) -> None:
        self.order.append("shown")
        self.shown.append(transcript)

    def _store(self, row: FinalRow, record: SessionRecord) -> None:
        self.order.append("stored")
        self.stored.append(row)
        self._save(record)

    def _save(self, record: SessionRecord) -> None:
        self.records.append(record)

    @property
    def states(self) -> list[SessionState]:
        return [state for state, _ in self.said]


def heard(text: str, number: int = 0, *, final: bool, start_s: float = 0.0) -> SpeechHeard:
    """What speech-to-text would say of utterance ``number``."""
    return SpeechHeard(
        stt_session_id="aaaabbbbcccc",
        utterance_id=f"00_{number:08}",
        text=text,
        is_final=final,
        start_s=start_s,
        end_s=start_s + 1.0,
        received_at=asyncio.get_running_loop().time(),
    )

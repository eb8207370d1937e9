"""A session over a restart of the service: what it leaves, and how it is gone on with."""

import asyncio
from dataclasses import fields, replace

import pytest

from realtime_core.model import (
    FinalizedBy,
    PublishEnd,
    SessionOptions,
    SessionRecord,
    SessionState,
    Transcript,
)
from realtime_core.transcript.timekeeper import FRAME_S
from tests.fakes import TAG, WALL_S, World, heard, wall
from tests.test_session import DRAINING, ENDED, LIVE, RECONNECTING, play, publish, settle

DRAFT = Transcript(
    session_slug="weekly",
    utterance_id="aaaa-00_00000004",
    text="we should",
    is_final=False,
    speaker="Alice",
    speaker_id="alice:1",
    speaker_confidence=0.9,
    seq=41,
    rev=3,
    start_s=38.0,
    end_s=40.0,
    received_at=0.0,
)


def left_behind(*, away_s: float = 20.0, **changes: object) -> SessionRecord:
    """A live session whose process died ``away_s`` ago, 40 s after its first audio."""
    record = SessionRecord(
        "weekly",
        "e1",
        SessionOptions(languages=("de",)),
        was_published=True,
        zero_at=WALL_S - 40.0 - away_s,
        seq=41,
        finals=12,
        heard_to_s=40.0,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def test_it_waits_for_its_publisher_and_goes_on_with_its_numbering() -> None:
    async def story(world: World) -> None:
        await settle()
        assert world.session.state is RECONNECTING
        assert (world.session.epoch, world.session.tally.finals) == ("e1", 12)
        publisher = await publish(world)
        world.stt.emit(heard("hello", final=True))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(record=left_behind()), story)
    assert world.states == [LIVE, DRAINING, ENDED]
    assert [each.seq for each in world.shown] == [42]
    assert world.session.tally.finals == 13
    assert world.metrics.registry.get_sample_value("transcript_promises_broken_total") is None


def test_what_is_said_then_is_dated_by_the_wall_clock_and_the_hole_is_told() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("hello", final=True, start_s=1.0))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(record=left_behind(away_s=20.0)), story)
    (gap,) = world.gaps
    # The audio began a frame ago.
    assert [gap.from_s, gap.to_s] == pytest.approx([40.0, 60 - FRAME_S], abs=0.01)
    assert world.shown[0].start_s == pytest.approx(61 - FRAME_S, abs=0.01)
    assert world.stored[0].started_at == pytest.approx(WALL_S + 1 - FRAME_S, abs=0.01)
    lost_s = world.metrics.registry.get_sample_value(
        "audio_dropped_seconds_total", {"stage": "restart"}
    )
    assert lost_s == pytest.approx(20 - FRAME_S, abs=0.01)


def test_a_decoder_that_is_slow_to_start_dates_nothing_late() -> None:
    """The zero of the clock is where the first audio began, not where its PCM came."""

    async def story(world: World) -> None:
        came_at = asyncio.get_running_loop().time()
        publisher = await publish(world, tags=0)
        world.decoder.hold()
        world.session.audio(publisher, TAG)
        await asyncio.sleep(0.25)
        world.decoder.let_go()
        await settle()
        assert asyncio.get_running_loop().time() - came_at == 0.25
        zero_at = world.session.record.zero_at
        assert zero_at is not None
        assert wall() - zero_at == pytest.approx(0.25 + FRAME_S, abs=0.01)
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    play(World(), story)


def test_a_draft_that_the_dead_process_showed_becomes_final_at_once() -> None:
    async def story(world: World) -> None:
        await settle()
        (final,) = world.shown
        assert (final.utterance_id, final.text) == (DRAFT.utterance_id, "we should")
        assert (final.is_final, final.finalized_by) == (True, FinalizedBy.TIMEOUT)
        assert (final.seq, final.rev, final.speaker) == (42, 4, "Alice")
        assert [row.text for row in world.stored] == ["we should"]
        publisher = await publish(world)
        world.stt.emit(heard("hello", final=True))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(record=left_behind(drafts=(DRAFT,))), story)
    assert [each.seq for each in world.shown] == [42, 43]
    assert world.records[-1].drafts == ()


def test_a_publisher_that_stays_away_ends_it_after_the_grace_and_costs_no_speech_to_text() -> None:
    async def story(world: World) -> None:
        began_at = asyncio.get_running_loop().time()
        await world.session.wait_ended()
        assert asyncio.get_running_loop().time() - began_at == pytest.approx(35, abs=0.2)

    world = play(World(record=left_behind(drafts=(DRAFT,))), story)
    assert world.said[0] == (DRAINING, "the publisher did not come back")
    assert world.states == [DRAINING, ENDED]
    assert not world.decoder.has_run
    assert [row.text for row in world.stored] == ["we should"]


def test_one_that_was_ending_ends_and_takes_no_publisher() -> None:
    async def story(world: World) -> None:
        await world.session.wait_ended()

    world = play(World(record=left_behind(is_ending=True, drafts=(DRAFT,))), story)
    assert world.states == [ENDED]
    assert [row.text for row in world.stored] == ["we should"]


def test_one_that_had_no_publisher_waits_as_before() -> None:
    record = SessionRecord("weekly", "e1")

    async def story(world: World) -> None:
        await settle()
        assert world.session.state is SessionState.WAITING_FOR_EGRESS
        world.session.stop()

    play(World(record=record), story)


def test_suspending_transcribes_what_came_and_leaves_the_session_to_the_next_process() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world, tags=15)
        world.stt.emit(heard("so far", final=False))
        world.stt.trailing = [heard("so far so good", final=True)]
        world.session.suspend()
        await world.session.wait_ended()
        assert publisher.closed_with is PublishEnd.STOPPED

    world = play(World(), story)
    assert world.said[-1] == (DRAINING, "the service restarts")  # it does not end
    record = world.session.record
    assert (record.seq, record.finals, record.drafts) == (2, 1, ())
    assert record == world.records[-1]
    assert (record.was_published, record.is_ending) == (True, False)
    assert record.heard_to_s == 1.5


def test_suspending_a_session_that_waits_leaves_it_waiting() -> None:
    async def story(world: World) -> None:
        await settle()
        world.session.suspend()

    world = play(World(), story)
    assert world.said == []
    assert world.session.is_suspended


def test_suspending_one_that_was_stopped_lets_it_end() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.session.stop()
        world.session.suspend()

    world = play(World(), story)
    assert world.states == [LIVE, DRAINING, ENDED]
    assert not world.session.is_suspended
    assert world.records[-1].is_ending


def test_a_second_signal_does_not_end_what_the_first_suspended() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.session.suspend()
        world.session.suspend()

    world = play(World(), story)
    assert world.session.is_suspended
    assert not world.records[-1].is_ending


def test_stopping_one_that_is_being_suspended_ends_it_for_good() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.session.suspend()
        world.session.stop()

    world = play(World(), story)
    assert world.states == [LIVE, DRAINING, ENDED]
    assert not world.session.is_suspended
    assert world.records[-1].is_ending


def test_a_record_saved_before_it_runs_still_owes_its_drafts() -> None:
    assert World(record=left_behind(drafts=(DRAFT,))).session.record.drafts == (DRAFT,)


def test_a_killed_process_leaves_no_longer_gap_than_it_must() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world, tags=50)  # of silence
        world.session.look()
        assert world.records[-1].heard_to_s == 5.0
        world.session.tally.last_speech_at = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        for _ in range(30):
            world.session.audio(publisher, TAG)
        await settle()
        world.session.tally.last_speech_at = asyncio.get_running_loop().time()
        world.session.look()  # somebody spoke, and no transcript has come of it
        assert world.records[-1].heard_to_s == 5.0
        world.session.stop()

    play(World(), story)


def test_each_transcript_leaves_a_record_that_the_next_process_can_go_on_from() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("we", final=False))
        world.stt.emit(heard("we should", final=False))
        assert [draft.text for draft in world.records[-1].drafts] == ["we should"]
        assert world.records[-1].seq == 2
        world.stt.emit(heard("we should go", final=True))
        assert (world.records[-1].drafts, world.records[-1].seq) == ((), 3)
        world.session.audio(publisher, TAG)
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    record = play(World(), story).records[0]
    assert (record.was_published, record.seq) == (True, 0)


def test_what_the_next_process_is_told_leaves_no_field_out() -> None:
    told = left_behind(drafts=(DRAFT,), is_ending=True, created_at=1.0, speaker_lag_s=2.5)
    blank = SessionRecord("", "")
    assert [
        each.name for each in fields(told) if getattr(told, each.name) == getattr(blank, each.name)
    ] == []
    recorded: list[SessionRecord] = []

    async def story(world: World) -> None:
        recorded.append(world.session.record)

    play(World(record=told), story)
    assert recorded == [told]

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from realtime_core.errors import DecoderError, SttRejected
from realtime_core.model import (
    AudioGap,
    FinalizedBy,
    PublishEnd,
    SessionState,
    SpeakerReport,
    SttStatus,
)
from realtime_core.stages import Waits
from tests.fakes import TAG, TAG_PCM, FakePublisher, World, heard
from tests.virtual_time import in_virtual_time

ALICE = SpeakerReport("alice:1", "Alice", "a client")
LIVE, RECONNECTING = SessionState.LIVE, SessionState.RECONNECTING
DRAINING, ENDED = SessionState.DRAINING, SessionState.ENDED


def play(world: World, story: Callable[[World], Awaitable[None]]) -> World:
    """Run the world's session beside a story about it, until both are over."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.session.run())
            await story(world)

    in_virtual_time(main())
    return world


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def publish(world: World, tags: int = 1, number: int = 1) -> FakePublisher:
    publisher = FakePublisher(number)
    world.session.publish_started(publisher)
    for _ in range(tags):
        world.session.audio(publisher, TAG)
    await settle()
    return publisher


def test_audio_flows_from_the_publisher_to_speech_to_text() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world, tags=3)
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(), story)
    assert bytes(world.stt.received) == TAG_PCM * 3
    assert world.states == [LIVE, DRAINING, ENDED]
    assert world.session.audio_bytes_received == 3 * len(TAG.payload)
    assert world.decoder.has_run
    assert not world.decoder.is_running


def test_a_final_is_stored_before_it_is_shown() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("hello", final=False))
        world.stt.emit(heard("hello there", final=True))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(), story)
    assert [each for each in world.order if each in ("shown", "stored")] == [
        "shown",
        "stored",
        "shown",
    ]
    assert [row.text for row in world.stored] == ["hello there"]
    assert [transcript.rev for transcript in world.shown] == [1, 2]


def test_finals_that_come_while_it_drains_are_kept() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.stt.trailing = [heard("last words", final=True)]
        world.session.stop()

    assert [row.text for row in play(World(), story).stored] == ["last words"]


def test_nothing_stays_draft_when_the_session_ends() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("cut off", final=False))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    world = play(World(), story)
    assert [row.finalized_by for row in world.stored] == [FinalizedBy.END]


def test_viewers_hear_of_the_end_after_the_last_final_is_shown_and_stored() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("cut off", final=False))
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    order = play(World(), story).order
    assert order[-5:] == ["draining", "stored", "shown", "settled", "ended"]


def test_a_draft_without_final_is_finalised_after_five_seconds() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.emit(heard("forgotten", final=False))
        await asyncio.sleep(4.9)
        assert world.stored == []
        await asyncio.sleep(0.2)
        assert [row.finalized_by for row in world.stored] == [FinalizedBy.TIMEOUT]
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    assert len(play(World(), story).stored) == 1


def test_a_publisher_that_comes_back_within_the_grace_continues_the_session() -> None:
    async def story(world: World) -> None:
        first = await publish(world)
        world.session.publish_ended(first, PublishEnd.LOST)
        await asyncio.sleep(30)
        second = await publish(world, tags=2, number=2)
        world.session.publish_ended(second, PublishEnd.CLEAN)

    world = play(World(), story)
    assert world.states == [LIVE, RECONNECTING, LIVE, DRAINING, ENDED]
    # One clock: 0.1 s, thirty seconds of silence, 0.2 s.
    assert len(world.stt.received) / 32_000 == pytest.approx(30.3, abs=0.11)
    assert world.session.publishes == 2


def test_a_dead_link_noticed_late_costs_the_session_clock_nothing() -> None:
    async def story(world: World) -> None:
        first = await publish(world)
        await asyncio.sleep(15)  # no audio, and nobody knows yet
        world.session.publish_ended(first, PublishEnd.LOST)
        await asyncio.sleep(5)
        second = await publish(world, tags=0, number=2)
        await asyncio.sleep(3)  # egress mixes before it sends
        world.session.audio(second, TAG)
        await settle()
        world.session.publish_ended(second, PublishEnd.CLEAN)

    # Each tag of the world is 100 ms long and arrives when it is over.
    assert len(play(World(), story).stt.received) / 32_000 == pytest.approx(23.2, abs=0.11)


def test_a_take_over_that_takes_its_time_costs_the_session_clock_nothing() -> None:
    async def story(world: World) -> None:
        first = await publish(world)
        world.session.publish_ended(first, PublishEnd.TAKEN_OVER)
        second = await publish(world, tags=0, number=2)
        await asyncio.sleep(3)
        world.session.audio(second, TAG)
        await settle()
        world.session.publish_ended(second, PublishEnd.CLEAN)

    assert len(play(World(), story).stt.received) / 32_000 == pytest.approx(3.2, abs=0.11)


def test_silence_does_not_overtake_what_the_decoder_still_holds() -> None:
    async def story(world: World) -> None:
        world.decoder.held = 2.0
        first = await publish(world)
        world.session.publish_ended(first, PublishEnd.LOST)
        await asyncio.sleep(2)
        assert bytes(world.stt.received) == TAG_PCM
        world.decoder.held = 0.0
        await asyncio.sleep(0.2)
        assert len(world.stt.received) > len(TAG_PCM)
        world.session.stop()

    play(World(), story)


def test_a_publisher_that_returns_while_the_decoder_is_stuck_costs_the_clock_nothing() -> None:
    async def story(world: World) -> None:
        world.decoder.held = 0.5
        first = await publish(world)
        world.session.publish_ended(first, PublishEnd.LOST)
        await asyncio.sleep(4)
        second = await publish(world, number=2)
        # What the decoder holds comes out first, then silence, then the new audio.
        assert world.decoder.skipped_s == pytest.approx(3.5, abs=0.1)
        world.session.publish_ended(second, PublishEnd.CLEAN)

    play(World(), story)


def test_audio_that_is_lost_at_the_end_is_told() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.decoder.lose()
        await settle()
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    assert play(World(), story).gaps == [AudioGap(0.1, 0.2, "the audio did not arrive")]


def test_a_publisher_that_comes_as_the_idle_time_out_strikes_is_kept() -> None:
    async def story(world: World) -> None:
        loop = asyncio.get_running_loop()
        publisher = FakePublisher()
        loop.call_at(600, world.session.publish_started, publisher)
        await asyncio.sleep(601)
        assert world.session.state is LIVE
        assert world.session.failure is None
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    play(World(Waits(idle_timeout_s=600)), story)


def test_a_publisher_that_does_not_come_back_ends_the_session() -> None:
    async def story(world: World) -> None:
        world.session.publish_ended(await publish(world), PublishEnd.LOST)
        began_at = asyncio.get_running_loop().time()
        await world.session.wait_ended()
        assert asyncio.get_running_loop().time() - began_at == pytest.approx(35, abs=0.2)

    assert play(World(), story).states == [LIVE, RECONNECTING, DRAINING, ENDED]


def test_a_taken_over_publisher_is_no_longer_heard_and_ends_nothing() -> None:
    async def story(world: World) -> None:
        first = await publish(world)
        world.session.publish_ended(first, PublishEnd.TAKEN_OVER)
        second = await publish(world, number=2)
        world.session.audio(first, TAG)
        world.session.publish_ended(first, PublishEnd.LOST)
        assert world.session.state is LIVE
        world.session.publish_ended(second, PublishEnd.CLEAN)

    world = play(World(), story)
    assert bytes(world.stt.received) == TAG_PCM * 2


def test_stopping_hangs_up_on_the_publisher() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.session.stop()
        world.session.stop()
        assert publisher.closed_with is PublishEnd.STOPPED

    assert play(World(), story).states == [LIVE, DRAINING, ENDED]


def test_a_session_nobody_publishes_to_can_be_stopped() -> None:
    async def story(world: World) -> None:
        await settle()
        world.session.stop()

    world = play(World(), story)
    assert world.said == [(ENDED, "stopped")]
    assert not world.decoder.has_run


def test_a_session_nobody_publishes_to_expires() -> None:
    async def story(world: World) -> None:
        await world.session.wait_ended()

    world = play(World(Waits(idle_timeout_s=600)), story)
    assert world.said == [(ENDED, "no publisher came")]


def test_a_decoder_that_does_not_stay_alive_fails_the_session_and_keeps_what_was_heard() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        world.stt.trailing = [heard("so far", final=True)]
        world.decoder.fail(DecoderError("FFmpeg ended 4 times"))
        await world.session.wait_ended()
        assert publisher.closed_with is PublishEnd.STOPPED

    world = play(World(), story)
    assert world.session.failure == "the audio cannot be decoded: FFmpeg ended 4 times"
    assert [row.text for row in world.stored] == ["so far"]
    assert world.said[-1] == (ENDED, world.session.failure)


def test_a_refusal_by_the_provider_is_told_to_viewers() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.stt.fail(SttRejected("HTTP 401: gladia user not found"))
        await world.session.wait_ended()

    world = play(World(), story)
    assert world.states == [LIVE, DRAINING, ENDED]
    assert "gladia user not found" in world.said[-1][1]


def test_an_unexpected_failure_stays_inside_the_session() -> None:
    async def story(world: World) -> None:
        await publish(world)
        world.stt.emit(heard("so far", final=False))
        world.stt.fail(RuntimeError("a bug"))
        await world.session.wait_ended()

    world = play(World(), story)
    assert world.states[-1] is ENDED
    assert world.session.failure is not None
    assert [row.text for row in world.stored] == ["so far"]


def test_gaps_and_the_state_of_speech_to_text_reach_viewers() -> None:
    gap = AudioGap(1.0, 4.5, "stt unavailable")

    async def story(world: World) -> None:
        await publish(world)
        world.stt.emit(SttStatus(available=False, reason="speech-to-text lost"))
        world.stt.emit(gap)
        world.session.stop()

    world = play(World(), story)
    assert (LIVE, "speech-to-text lost") in world.said
    assert world.gaps == [gap]


def test_speakers_reported_before_the_delayed_audio_are_not_forgotten() -> None:
    async def story(world: World) -> None:
        await settle()
        world.session.report_speaker(ALICE)
        await asyncio.sleep(0.2)
        await publish(world)
        world.session.report_speaker(ALICE)
        world.stt.emit(heard("hello", final=True))
        world.session.stop()

    assert play(World(), story).stored[0].speaker == "Alice"


def test_speech_that_leads_to_nothing_is_noticed() -> None:
    async def story(world: World) -> None:
        publisher = await publish(world)
        loop = asyncio.get_running_loop()
        assert not world.session.is_unheard(loop.time())
        await asyncio.sleep(31)
        world.session.tally.last_speech_at = loop.time()
        assert world.session.is_unheard(loop.time())
        world.stt.emit(heard("at last", final=True))
        assert not world.session.is_unheard(loop.time())
        world.session.publish_ended(publisher, PublishEnd.CLEAN)

    play(World(), story)


def test_cancelling_a_session_still_finalises_what_was_shown() -> None:
    world = World()

    async def main() -> None:
        task = asyncio.ensure_future(world.session.run())
        await settle()
        await publish(world)
        world.stt.emit(heard("cut off", final=False))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(main())
    assert [row.text for row in world.stored] == ["cut off"]
    assert world.session.state is ENDED
    assert world.decoder.has_run
    assert not world.decoder.is_running

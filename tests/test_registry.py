import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import pytest
from structlog.testing import capture_logs

from realtime_core.access import rtmp_key
from realtime_core.capacity import Capacity
from realtime_core.errors import RequestError, SttRejected
from realtime_core.metrics import Metrics
from realtime_core.model import PublishEnd, SessionOptions, SessionRecord, SessionState
from realtime_core.registry import Registry, Rules
from realtime_core.rtmp.server import PublishRequest, Refusal
from realtime_core.session import Session
from tests.fakes import TAG, TAG_PCM, FakePublisher, World, heard
from tests.virtual_time import in_virtual_time

SECRET = "s" * 32


class House:
    """A registry whose sessions are worlds of fakes."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.worlds: dict[str, World] = {}
        self.epochs: list[str] = []
        self.events: list[str] = []
        self.registry = Registry(
            build=self._build,
            opened=lambda session: self.events.append(f"opened {session.slug}"),
            closed=lambda session: self.events.append(f"closed {session.slug}"),
            metrics=Metrics(),
            rules=rules or Rules(),
        )

    def _build(self, record: SessionRecord) -> Session:
        self.epochs.append(record.epoch)
        world = self.worlds[record.slug] = World(record=record)
        return world.session

    def value(self, metric: str, **labels: str) -> float | None:
        return self.registry.metrics.registry.get_sample_value(metric, labels)


class FakePublish(FakePublisher):
    def __init__(self, slug: str) -> None:
        super().__init__()
        self.slug = slug
        self.args: Mapping[str, str] = MappingProxyType({})


def request(slug: str = "weekly", **args: str) -> PublishRequest:
    return PublishRequest(slug=slug, app="live", args=args, peer="127.0.0.1")


def play(house: House, story: Callable[[Registry], Awaitable[None]]) -> House:
    async def main() -> None:
        await story(house.registry)
        await house.registry.drain(60)

    in_virtual_time(main())
    return house


def publish(registry: Registry, slug: str = "weekly") -> FakePublish:
    made = FakePublish(slug)
    registry.post_publish(made)  # type: ignore[arg-type]
    return made


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def test_starting_a_running_session_returns_it() -> None:
    async def story(registry: Registry) -> None:
        first, is_new = await registry.start("weekly")
        again, is_new_again = await registry.start("weekly")
        assert first is again
        assert (is_new, is_new_again) == (True, False)

    assert play(House(), story).events == ["opened weekly", "closed weekly"]


@pytest.mark.parametrize("slug", ["", "-a", "a b", "../etc", "a" * 129, "ü", "a\n"])
def test_a_bad_slug_starts_nothing(slug: str) -> None:
    async def story(registry: Registry) -> None:
        with pytest.raises(RequestError) as caught:
            await registry.start(slug)
        assert (caught.value.status, caught.value.code) == (400, "invalid_slug")

    assert play(House(), story).events == []


def test_past_the_limit_start_says_so() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("one")
        with pytest.raises(RequestError) as caught:
            await registry.start("two")
        assert (caught.value.status, caught.value.code) == (503, "too_many_sessions")

    play(House(Rules(max_sessions=1)), story)


def full() -> Capacity:
    capacity = Capacity(least_free_bytes=1)
    capacity.has_free(0)
    return capacity


def test_a_full_process_refuses_to_start_and_says_when_to_ask_again() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("one")
        registry.capacity = full()
        with pytest.raises(RequestError) as caught:
            await registry.start("two")
        refused = caught.value
        assert (refused.status, refused.code, refused.retry_after_s) == (503, "overloaded", 10)

    house = play(House(), story)
    assert house.value("session_starts_refused_total", reason="overloaded") == 1


def test_a_full_process_still_finds_the_sessions_that_run() -> None:
    async def story(registry: Registry) -> None:
        first, _ = await registry.start("one")
        registry.capacity = full()
        again, is_new = await registry.start("one")
        assert (again is first, is_new) == (True, False)
        assert registry.pre_publish(request("one")) is None

    play(House(), story)


def test_a_full_process_starts_no_session_for_a_publish() -> None:
    async def story(registry: Registry) -> None:
        registry.capacity = full()
        assert registry.pre_publish(request()) is Refusal.BUSY
        assert publish(registry).closed_with is PublishEnd.STOPPED

    assert play(House(Rules(auto_start=True)), story).events == []


def test_a_full_process_goes_on_with_the_sessions_of_the_one_before() -> None:
    async def story(registry: Registry) -> None:
        registry.capacity = full()
        registry.restore([SessionRecord("one", "e", SessionOptions(), created_at=0.0)])
        assert registry.find("one").epoch == "e"

    play(House(), story)


def test_a_publish_nobody_started_is_refused() -> None:
    async def story(registry: Registry) -> None:
        assert registry.pre_publish(request()) is Refusal.UNKNOWN_STREAM

    play(House(), story)


def test_with_auto_start_a_publish_starts_its_session() -> None:
    async def story(registry: Registry) -> None:
        assert registry.pre_publish(request()) is None
        publish(registry)
        assert registry.find("weekly").state is SessionState.LIVE

    play(House(Rules(auto_start=True)), story)


def test_a_publish_that_lost_its_session_meanwhile_is_hung_up_on() -> None:
    async def story(registry: Registry) -> None:
        assert publish(registry).closed_with is PublishEnd.STOPPED

    assert play(House(), story).events == []


def test_a_publish_needs_the_key_when_there_is_a_secret() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("weekly")
        assert registry.pre_publish(request(key="wrong")) is Refusal.UNAUTHORIZED
        # Without the key an unknown slug looks the same as a known one.
        assert registry.pre_publish(request("unknown")) is Refusal.UNAUTHORIZED
        assert registry.pre_publish(request(key=rtmp_key(SECRET, "weekly"))) is None

    play(House(Rules(rtmp_key_secret=SECRET)), story)


def test_audio_reaches_its_session_only() -> None:
    async def story(registry: Registry) -> None:
        for slug in ("one", "two"):
            await registry.start(slug)
        publish(registry, "one")
        publisher = publish(registry, "two")
        await settle()
        registry.audio(publisher, TAG)  # type: ignore[arg-type]
        await settle()

    house = play(House(), story)
    assert bytes(house.worlds["one"].stt.received) == b""
    assert bytes(house.worlds["two"].stt.received) == TAG_PCM


def test_one_failing_session_is_nobody_elses() -> None:
    async def story(registry: Registry) -> None:
        for slug in ("one", "two"):
            await registry.start(slug)
            publish(registry, slug)
        await settle()
        house.worlds["one"].stt.fail(SttRejected("no credit"))
        await settle()
        assert [session.slug for session in registry] == ["two"]
        assert registry.find("two").state is SessionState.LIVE

    house = House()
    play(house, story)
    assert house.value("sessions_ended_total", outcome="failed") == 1
    assert house.value("sessions_ended_total", outcome="suspended") == 1


def test_stopping_waits_for_the_drain_and_forgets_the_session() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("weekly")
        publish(registry)
        await settle()
        house.worlds["weekly"].stt.trailing = [heard("last words", final=True)]
        session = await registry.stop("weekly")
        assert session.tally.finals == 1
        with pytest.raises(RequestError) as caught:
            registry.find("weekly")
        assert caught.value.status == 404

    house = House()
    play(house, story)


def test_starting_while_it_drains_waits_and_begins_anew() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("weekly")
        publish(registry)
        await settle()
        registry.find("weekly").stop()
        session, is_new = await registry.start("weekly")
        assert is_new
        assert session.state is SessionState.WAITING_FOR_EGRESS

    house = House()
    play(house, story)
    assert len(set(house.epochs)) == 2


def test_a_stopped_session_that_is_not_gone_yet_is_not_handed_out() -> None:
    async def story(registry: Registry) -> None:
        first, _ = await registry.start("weekly")
        first.stop()  # nobody published: it is over at once, and its task has not run
        second, is_new = await registry.start("weekly")
        assert is_new
        assert second.state is SessionState.WAITING_FOR_EGRESS

    play(House(), story)


def test_while_it_drains_a_publisher_is_told_to_come_back() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("weekly")
        publish(registry)
        await settle()
        registry.find("weekly").stop()
        assert registry.pre_publish(request()) is Refusal.BUSY

    play(House(), story)


def test_nothing_starts_once_it_shuts_down() -> None:
    async def story(registry: Registry) -> None:
        await registry.drain(1)
        with pytest.raises(RequestError) as caught:
            await registry.start("weekly")
        assert caught.value.code == "shutting_down"
        assert registry.pre_publish(request()) is Refusal.SHUTTING_DOWN

    play(House(Rules(auto_start=True)), story)


def test_a_session_that_does_not_drain_is_ended_at_the_deadline() -> None:
    async def main() -> None:
        await house.registry.start("weekly")
        publish(house.registry)
        await settle()
        world = house.worlds["weekly"]
        world.stt.end = lambda: None  # type: ignore[method-assign]  # never drains
        world.stt.emit(heard("cut off", final=False))
        await house.registry.drain(20)
        assert asyncio.get_running_loop().time() == pytest.approx(20, abs=1)
        assert [row.text for row in world.stored] == ["cut off"]

    house = House()
    in_virtual_time(main())
    assert len(house.registry) == 0


def test_a_shutdown_suspends_sessions_and_lets_those_that_end_end() -> None:
    async def story(registry: Registry) -> None:
        for slug in ("one", "two", "three"):
            await registry.start(slug)
            publish(registry, slug)
        await settle()
        registry.find("two").stop()
        await registry.drain(60)
        assert house.worlds["one"].session.is_suspended
        assert not house.worlds["two"].session.is_suspended

    house = House()
    play(house, story)
    assert house.value("sessions_ended_total", outcome="suspended") == 2
    assert house.value("sessions_ended_total", outcome="ended") == 1


def test_a_shutdown_ends_sessions_that_the_next_process_would_not_know() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("weekly")
        publish(registry)
        await settle()
        await registry.drain(60)

    house = House(Rules(keeps_sessions=False))
    play(house, story)
    assert house.worlds["weekly"].states[-1] is SessionState.ENDED
    assert house.value("sessions_ended_total", outcome="ended") == 1


def test_what_an_earlier_process_left_is_gone_on_with() -> None:
    live = SessionRecord("weekly", "e1", was_published=True, seq=41)
    waiting = SessionRecord("daily", "e2")

    async def story(registry: Registry) -> None:
        registry.restore([live, waiting])
        await settle()
        assert {session.slug: session.state for session in registry} == {
            "weekly": SessionState.RECONNECTING,
            "daily": SessionState.WAITING_FOR_EGRESS,
        }
        assert registry.pre_publish(request()) is None
        session, is_new = await registry.start("weekly")
        assert (session.epoch, is_new) == ("e1", False)

    house = play(House(), story)
    assert house.events[:2] == ["opened weekly", "opened daily"]
    assert house.value("sessions_restored_total") == 2


def test_gauges_count_sessions_by_state() -> None:
    async def story(registry: Registry) -> None:
        await registry.start("one")
        await registry.start("two")
        publish(registry, "two")
        await settle()
        await asyncio.sleep(40)
        registry.refresh_metrics()
        assert house.value("sessions", state="waiting_for_egress") == 1
        assert house.value("sessions", state="live") == 1
        assert house.value("quietest_session_seconds") == pytest.approx(40, abs=1)

    house = House()
    play(house, story)


def test_speech_without_transcript_is_warned_of_once() -> None:
    async def story(registry: Registry) -> None:
        watch = asyncio.ensure_future(registry.watch())
        await registry.start("weekly")
        publish(registry)
        await settle()
        session = registry.find("weekly")
        with capture_logs() as logs:
            for _ in range(60):
                session.tally.last_speech_at = asyncio.get_running_loop().time()
                await asyncio.sleep(1)
        watch.cancel()
        assert [line["event"] for line in logs] == ["No transcript although speech arrives"]

    play(House(), story)

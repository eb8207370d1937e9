import asyncio
import json
from itertools import pairwise

import pytest

from realtime_core.errors import RequestError
from realtime_core.hub import wire
from realtime_core.hub.crowd import SLICE
from realtime_core.hub.replay import Entry, Lack, Older
from realtime_core.hub.rooms import FAREWELLS, Hub, Listener
from realtime_core.hub.wire import CloseCode
from realtime_core.metrics import Metrics
from realtime_core.model import AudioGap, SessionState
from tests.hub.examples import FakeListener, draft, final

_is_a_listener: type[Listener] = FakeListener

LIMIT = 2_000


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def hub(metrics: Metrics) -> Hub:
    hub = Hub(metrics, viewer_buffer_bytes=LIMIT, history_size=3)
    hub.open("weekly", "e1", SessionState.LIVE)
    return hub


def joined(hub: Hub, *, since: int | None = None, epoch: str | None = None) -> FakeListener:
    listener = FakeListener()
    hub.join("weekly", listener, since=since, epoch=epoch)
    return listener


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_everyone_in_the_room_gets_the_same_message(hub: Hub, metrics: Metrics) -> None:
    hub.open("other", "e2", SessionState.LIVE)
    first, second, elsewhere = joined(hub), joined(hub), FakeListener()
    hub.join("other", elsewhere)
    assert hub.publish(draft(1)) == 2
    assert hub.publish(final(2, rev=2)) == 2
    assert first.messages == second.messages
    assert [m["isFinal"] for m in first.of_type("transcript")] == [False, True]
    assert elsewhere.of_type("transcript") == []
    assert count(metrics, "transcript_drafts_total") == 1
    assert count(metrics, "transcript_finals_total") == 1
    assert metrics.ws_broadcast_loop.count == metrics.ingest_broadcast_latency.count == 2


async def test_latency_counts_from_when_the_transcript_came_in(hub: Hub, metrics: Metrics) -> None:
    hub.publish(final(1))  # it came in at 0 of the loop's clock
    assert metrics.ingest_broadcast_latency.total_s == pytest.approx(
        asyncio.get_running_loop().time(), abs=1
    )


async def test_the_first_message_says_where_the_session_stands(hub: Hub) -> None:
    hub.publish(final(1))
    hub.publish(draft(2, utterance="u2"))
    hub.status("weekly", SessionState.RECONNECTING, "publisher lost")
    (ready,) = joined(hub).messages
    assert (ready["type"], ready["state"], ready["epoch"]) == ("ready", "reconnecting", "e1")
    assert ready["seq"] == 2
    assert [m["utteranceId"] for m in ready["history"]] == ["u1"]
    assert [m["utteranceId"] for m in ready["drafts"]] == ["u2"]
    assert "recovered" not in ready


async def test_a_returning_viewer_gets_what_it_missed(hub: Hub, metrics: Metrics) -> None:
    for seq in (1, 2, 3):
        hub.publish(final(seq, utterance=f"u{seq}"))
    (ready,) = joined(hub, since=1, epoch="e1").messages
    assert ready["recovered"] is True
    assert [m["seq"] for m in ready["history"]] == [2, 3]
    (ready,) = joined(hub, since=1, epoch="another").messages
    assert ready["recovered"] is False
    assert [m["seq"] for m in ready["history"]] == [1, 2, 3]
    for recovered in ("true", "false"):
        assert count(metrics, "viewer_resumes_total", recovered=recovered) == 1


async def test_status_and_gap_reach_viewers(hub: Hub) -> None:
    viewer = joined(hub)
    hub.status("weekly", SessionState.RECONNECTING, "publisher lost")
    hub.gap("weekly", AudioGap(1.0, 2.0, "stt unavailable"))
    assert [m["type"] for m in viewer.messages[1:]] == ["status", "gap"]
    assert viewer.messages[1]["reason"] == "publisher lost"


async def test_a_slow_viewer_loses_drafts_and_then_its_connection(
    hub: Hub, metrics: Metrics
) -> None:
    quick, slow = joined(hub), joined(hub)
    slow.frozen = True
    for seq in range(1, 21):
        hub.publish(draft(seq, rev=seq))
    assert hub.viewers("weekly") == 2
    dropped = count(metrics, "viewer_dropped_messages_total")
    assert 10 < dropped < 20
    assert hub.publish(final(21, rev=21)) == 1
    assert slow.closed_with is CloseCode.TOO_SLOW
    assert len(quick.of_type("transcript")) == 21
    assert count(metrics, "viewers_slow_total") == 1
    assert count(metrics, "viewers") == hub.viewers("weekly") == 1


async def test_a_slow_viewer_costs_its_limit_and_one_frame(hub: Hub) -> None:
    slow = joined(hub)
    slow.frozen = True
    largest = len(wire.frame(wire.transcript_message(final(99), sent_at_ms=10**12).encode()))
    for seq in range(1, 99):
        hub.publish(final(seq, utterance=str(seq)))
    assert slow.closed_with is CloseCode.TOO_SLOW
    assert slow.most_buffered <= LIMIT + largest


async def test_a_message_larger_than_the_limit_reaches_those_who_keep_up(hub: Hub) -> None:
    viewer = joined(hub)
    for seq in (1, 2):
        assert hub.publish(final(seq, "x" * 2 * LIMIT, utterance=str(seq))) == 1
    assert len(viewer.of_type("transcript")) == 2


async def test_a_viewer_that_catches_up_in_time_stays(hub: Hub) -> None:
    viewer = joined(hub)
    viewer.frozen = True
    for seq in range(1, 11):
        hub.publish(draft(seq, rev=seq))
    viewer.read()
    hub.publish(final(11, rev=11))
    viewer.read()
    assert viewer.closed_with is None
    assert viewer.messages[-1]["isFinal"]


async def test_a_long_history_does_not_make_a_newcomer_slow(hub: Hub) -> None:
    for seq in (1, 2, 3):
        hub.publish(final(seq, "long " * 500, utterance=str(seq)))
    newcomer = FakeListener()
    newcomer.frozen = True
    hub.join("weekly", newcomer)
    assert newcomer.buffered_bytes() > 3 * LIMIT
    hub.publish(final(4, utterance="4"))
    newcomer.read()
    assert [m.get("seq") for m in newcomer.messages] == [3, 4]


async def test_a_status_that_does_not_fit_hangs_up_too(hub: Hub) -> None:
    slow = joined(hub)
    slow.frozen = True
    for seq in range(1, 21):
        hub.publish(draft(seq, rev=seq))
    hub.status("weekly", SessionState.DRAINING, "x" * LIMIT)
    assert slow.closed_with is CloseCode.TOO_SLOW


async def test_a_closed_session_tells_its_viewers_and_is_forgotten(
    hub: Hub, metrics: Metrics
) -> None:
    viewer = joined(hub)
    hub.close("weekly")
    assert viewer.messages[-1] | {"reason": ""} == {
        "type": "status",
        "sessionSlug": "weekly",
        "state": "ended",
        "reason": "",
    }
    assert viewer.closed_with is CloseCode.NORMAL
    assert count(metrics, "viewers") == hub.viewers("weekly") == 0
    assert hub.publish(final(1)) == 0
    with pytest.raises(RequestError) as caught:
        joined(hub)
    assert (caught.value.status, caught.value.code) == (404, "unknown_session")


async def test_a_large_crowd_is_told_the_end_and_hung_up_on_in_turns(
    hub: Hub, metrics: Metrics
) -> None:
    viewers = [joined(hub) for _ in range(2 * SLICE)]
    hub.publish(final(1))
    hub.close("weekly")
    assert hub.viewers("weekly") == 0
    seen = []
    while count(metrics, "viewers"):
        await asyncio.sleep(0)
        seen.append(sum(viewer.closed_with is CloseCode.NORMAL for viewer in viewers))
    assert all(after - before <= FAREWELLS for before, after in pairwise(seen))
    assert seen[-1] == 2 * SLICE
    for viewer in viewers:
        assert [m["type"] for m in viewer.messages] == ["ready", "transcript", "status"]


async def test_who_leaves_before_it_is_hung_up_on_is_forgotten(hub: Hub, metrics: Metrics) -> None:
    viewers = [joined(hub) for _ in range(2 * SLICE)]
    hub.close("weekly")
    hub.open("weekly", "e2", SessionState.LIVE)
    newcomer = joined(hub)
    for viewer in viewers:
        hub.leave("weekly", viewer)
    for _ in range(3):
        await asyncio.sleep(0)
    assert count(metrics, "viewers") == hub.viewers("weekly") == 1
    assert viewers[-1].closed_with is newcomer.closed_with is None
    assert hub.publish(final(1)) == 1


async def test_at_a_shutdown_everybody_is_hung_up_on_at_once(hub: Hub) -> None:
    viewers = [joined(hub) for _ in range(2 * SLICE)]
    hub.publish(final(1))
    hub.close("weekly", CloseCode.SHUTTING_DOWN)
    assert {viewer.closed_with for viewer in viewers} == {CloseCode.SHUTTING_DOWN}
    assert all(len(viewer.of_type("transcript")) == 1 for viewer in viewers)


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "in the middle"])
async def test_a_shutdown_lets_everybody_hear_the_end_of_a_session(hub: Hub, is_late: bool) -> None:
    viewers = [joined(hub) for _ in range(5 * SLICE)]
    if not is_late:
        hub.is_closing = True
    hub.publish(final(1))
    hub.close("weekly")
    if is_late:
        await asyncio.sleep(0)
        hub.is_closing = True
        hub.finish()
    for viewer in viewers:
        assert [m["type"] for m in viewer.messages] == ["ready", "transcript", "status"]
    assert {viewer.closed_with for viewer in viewers} == {CloseCode.NORMAL}
    await asyncio.sleep(0)  # what was to be done in later turns finds nothing to do


async def test_a_pass_is_over_and_counted_when_the_last_viewer_was_written_to(
    hub: Hub, metrics: Metrics
) -> None:
    for _ in range(2 * SLICE):
        joined(hub)
    hub.publish(final(1))
    passes = (metrics.ws_broadcast_loop, metrics.ingest_broadcast_latency)
    assert [each.count for each in passes] == [0, 0]
    await asyncio.sleep(0)
    assert [each.count for each in passes] == [1, 1]


async def test_an_end_that_was_told_is_not_told_again(hub: Hub) -> None:
    viewer = joined(hub)
    hub.status("weekly", SessionState.ENDED, "stopped")
    hub.close("weekly")
    hub.close("weekly")
    assert len(viewer.of_type("status")) == 1


async def test_opening_again_changes_nothing_in_the_same_epoch(hub: Hub) -> None:
    hub.publish(final(1))
    hub.open("weekly", "e1", SessionState.WAITING_FOR_EGRESS)
    (ready,) = joined(hub).messages
    assert (ready["state"], ready["seq"]) == ("live", 1)


async def test_another_epoch_is_opened_only_after_the_last_was_closed(hub: Hub) -> None:
    hub.publish(final(7))
    with pytest.raises(AssertionError, match="another epoch"):
        hub.open("weekly", "e2", SessionState.WAITING_FOR_EGRESS)
    hub.close("weekly")
    hub.open("weekly", "e2", SessionState.WAITING_FOR_EGRESS)
    (ready,) = joined(hub).messages
    assert (ready["epoch"], ready["seq"], ready["history"]) == ("e2", 0, [])


async def test_a_session_that_goes_on_goes_on_numbering(hub: Hub) -> None:
    hub.open("daily", "e7", SessionState.RECONNECTING, seq=41)
    viewer = FakeListener()
    hub.join("daily", viewer, since=41, epoch="e7")
    (ready,) = viewer.messages
    assert (ready["seq"], ready["recovered"], ready["history"]) == (41, True, [])


async def test_what_the_table_has_is_given_with_what_the_room_holds(hub: Hub) -> None:
    hub.open("daily", "e7", SessionState.LIVE, seq=41)
    assert hub.lack("daily", since=7, epoch="e7") == Lack("e7", after=7, to=41, given=41)
    viewer = FakeListener()
    found = Older("e7", 0, 41, [Entry("u1", 40, 1, True, b'{"utteranceId":"u1"}')])
    hub.join("daily", viewer, since=7, epoch="e7", older=found)
    (ready,) = viewer.messages
    assert (ready["recovered"], ready["history"]) == (True, [{"utteranceId": "u1"}])


async def test_of_what_others_post_our_table_knows_nothing(hub: Hub) -> None:
    hub.publish_payload("weekly", posted(seq=9))
    assert hub.lack("weekly", since=1, epoch="e1") is None
    with pytest.raises(RequestError):
        hub.lack("unknown")


async def test_a_session_that_a_shutdown_closes_tells_its_viewers_to_come_back(hub: Hub) -> None:
    viewer = joined(hub)
    hub.close("weekly", CloseCode.SHUTTING_DOWN)
    assert viewer.messages[-1]["state"] == "live"  # it goes on in the next process
    assert viewer.closed_with is CloseCode.SHUTTING_DOWN


async def test_a_viewer_that_asks_again_is_told_again_and_counted_once(
    hub: Hub, metrics: Metrics
) -> None:
    viewer = joined(hub)
    hub.join("weekly", viewer)
    assert len(viewer.of_type("ready")) == 2
    assert count(metrics, "viewers") == hub.viewers("weekly") == 1
    assert hub.publish(final(1)) == 1


async def test_leaving_twice_counts_once(hub: Hub, metrics: Metrics) -> None:
    viewer = joined(hub)
    hub.leave("weekly", viewer)
    hub.leave("weekly", viewer)
    hub.leave("unknown", viewer)
    assert count(metrics, "viewers") == 0
    assert hub.publish(final(1)) == 0


async def test_nobody_listens_to_what_is_not_open(hub: Hub) -> None:
    hub.status("unknown", SessionState.LIVE, "")
    hub.gap("unknown", AudioGap(0, 1, ""))
    assert hub.viewers("unknown") == 0


async def test_what_we_post_to_ourselves_is_in_our_table(metrics: Metrics) -> None:
    hub = Hub(metrics, posts_are_ours=True)
    hub.open("weekly", "e7", SessionState.LIVE, seq=8)
    hub.publish_payload("weekly", posted(seq=9))
    assert hub.lack("weekly") is not None


async def test_while_the_service_shuts_down_a_session_that_is_not_open_may_be_elsewhere(
    hub: Hub,
) -> None:
    hub.is_closing = True
    for ask in (hub.lack, lambda slug: hub.join(slug, FakeListener())):
        with pytest.raises(RequestError) as refusal:
            ask("unknown")
        assert (refusal.value.status, refusal.value.code) == (503, "shutting_down")


def posted(**fields: object) -> bytes:
    message = json.loads(wire.transcript_message(final(1), sent_at_ms=5).encode())
    return json.dumps({k: v for k, v in (message | fields).items() if v is not ...}).encode()


async def test_a_posted_transcript_reaches_the_room(hub: Hub, metrics: Metrics) -> None:
    viewer = joined(hub)
    assert hub.publish_payload("weekly", posted()) == 1
    assert viewer.messages[-1] == json.loads(posted())
    assert count(metrics, "transcript_finals_total") == 0  # whoever posted it counts it


async def test_a_transcript_posted_twice_is_shown_once(hub: Hub) -> None:
    viewer = joined(hub)
    assert [hub.publish_payload("weekly", posted()) for _ in range(2)] == [1, 0]
    assert len(viewer.of_type("transcript")) == 1


async def test_what_is_posted_without_numbers_is_numbered(hub: Hub) -> None:
    viewer = joined(hub)
    hub.publish(final(1, utterance="ours"))
    hub.publish_payload("weekly", posted(seq=..., rev=..., isFinal=False))
    hub.publish_payload("weekly", posted(seq=..., rev=...))
    assert [(m["seq"], m["rev"]) for m in viewer.of_type("transcript")] == [(1, 1), (2, 1), (3, 2)]


async def test_numbers_never_go_back_when_a_sender_begins_anew(hub: Hub) -> None:
    viewer = joined(hub)
    hub.publish_payload("weekly", posted(seq=1))
    hub.publish_payload("weekly", posted(seq=2, utteranceId="u2"))
    hub.publish_payload("weekly", posted(seq=1, utteranceId="u3"))
    assert [m["seq"] for m in viewer.of_type("transcript")] == [1, 2, 3]


async def test_what_is_posted_for_another_session_is_refused(hub: Hub) -> None:
    with pytest.raises(RequestError) as caught:
        hub.publish_payload("weekly", posted(sessionSlug="other"))
    assert caught.value.field == "sessionSlug"
    assert hub.publish_payload("unknown", posted(sessionSlug="unknown")) == 0

"""The listener on real sockets: good peers, bad peers, and their neighbours."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest
import uvloop
from structlog.testing import capture_logs

from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp.limits import Limits
from realtime_core.rtmp.listening import open_listeners
from realtime_core.rtmp.reasons import CloseReason
from realtime_core.rtmp.server import Publish, Refusal, RtmpServer
from tests.eventually import eventually
from tests.rtmp.hosts import RecordingHost
from tests.rtmp.peer import peer
from tests.rtmp.vectors import (
    ASC,
    HANDSHAKE,
    NULL,
    START,
    command,
    control,
    frame,
    full,
    header,
    set_chunk_size,
    text,
)

LOOPBACK = ("127.0.0.1", "::1")
QUICK = Limits(
    refusal_least_s=0.02, refusal_most_s=0.03, refusal_spacing_s=0.02, linger_s=0.3, leave_s=0.3
)
FCUNPUBLISH = command("FCUnpublish", 0, NULL, text("k"))


class Listening:
    """A server on loopback, its host and its metrics."""

    def __init__(self, limits: Limits, max_connections: int) -> None:
        self.host, self.metrics = RecordingHost(), Metrics()
        self.server = RtmpServer(
            self.host,
            self.metrics,
            port=0,
            addresses=LOOPBACK,
            limits=limits,
            max_connections=max_connections,
        )

    @property
    def port(self) -> int:
        return self.server.port

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def closed(self, reason: CloseReason) -> float:
        return self.value("rtmp_connections_closed_total", reason=reason.value)

    async def until_closed(self, reason: CloseReason, times: int = 1) -> None:
        await eventually(lambda: self.closed(reason) >= times)


@asynccontextmanager
async def listening(limits: Limits = QUICK, max_connections: int = 512) -> AsyncIterator[Listening]:
    here = Listening(limits, max_connections)
    async with here.server:
        yield here
    assert here.value("rtmp_connections") == 0
    assert here.value("rtmp_publishers") == 0
    assert not here.server.publishes


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_publish_from_begin_to_clean_end(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with listening() as here, peer(here.port) as one:
            await one.publish("weekly?key=secret")
            one.play(100)
            tags = await here.host.until_tags(101)
            assert [tag.timestamp_ms for tag in tags[1:]] == list(range(0, 2300, 23))
            one.say(FCUNPUBLISH)
            await here.host.until("done_publish")
            (publish,) = here.host.publishes
            assert here.host.calls == [
                ("pre_connect",),
                ("post_connect", "live"),
                ("pre_publish", "weekly"),
                ("post_publish", publish.id),
                ("done_publish", publish.id, PublishEnd.CLEAN),
            ]
            assert publish.args == {"key": "secret"}
            await one.until_hung_up_on()
            assert one.last_status() == "NetStream.Unpublish.Success"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_busy_server_keeps_no_frame_that_comes_alone(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with listening() as here, peer(here.port) as one:
            here.server.gatherer.turn(on=True)
            await one.publish("weekly")
            one.play(40)
            await here.host.until_tags(41)
            one.say(full(4, 40 * 23, frame(372, 40)))
            await here.host.until_tags(42)
            one.say(FCUNPUBLISH)
            await here.host.until("done_publish")
            assert here.host.ends == [PublishEnd.CLEAN]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_of_a_peer_that_sends_much_at_once_and_leaves_nothing_is_lost(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with listening() as here, peer(here.port) as one:
            await one.publish("weekly")
            one.play(500)  # read in shares, the end of the stream behind them
            one.leave()
            await here.host.until("done_publish")
            (publish,) = here.host.publishes
            assert len(here.host.tags[publish.id]) == 501
            assert here.host.ends == [PublishEnd.LOST]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_s15_the_newest_publisher_wins(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with listening() as here, peer(here.port) as old, peer(here.port, "::1") as new:
            await old.publish("weekly")
            old.play(10)
            await new.publish("weekly")
            new.play(1)
            old.play(1000)  # it has not read yet that it was replaced
            await old.until_hung_up_on()
            first, second = here.host.publishes
            assert here.host.calls[-3:] == [
                ("pre_publish", "weekly"),
                ("done_publish", first.id, PublishEnd.TAKEN_OVER),
                ("post_publish", second.id),
            ]
            assert old.last_status() == "NetStream.Publish.BadName"
            assert here.server.publishes == {"weekly": second}
            assert here.value("rtmp_takeovers_total") == 1
            assert len(await here.host.until_tags(2)) == 2

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


async def test_peers_of_both_families_come_to_one_port() -> None:
    async with listening() as here, peer(here.port) as four, peer(here.port, "::1") as six:
        await four.publish("four")
        await six.publish("six")
        assert [p.peer.rpartition(":")[0] for p in here.host.publishes] == ["127.0.0.1", "[::1]"]


async def test_address_of_a_missing_family_is_left_out() -> None:
    with capture_logs() as logs:
        (only,) = open_listeners(["2001:db8::1", "127.0.0.1"], 0)
    only.close()
    assert [line["address"] for line in logs] == ["2001:db8::1"]


async def test_no_address_at_all_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        open_listeners(["2001:db8::1"], 0)


async def test_taken_port_is_an_error() -> None:
    async with listening() as here:
        with pytest.raises(OSError, match="in use"):
            open_listeners(LOOPBACK, here.port)


async def test_s13_reset_loses_the_publish_once() -> None:
    async with listening() as here, peer(here.port) as one:
        await one.publish("weekly")
        one.play(1)
        await here.host.until_tags(2)
        one.reset()
        await here.host.until("done_publish")
        await here.until_closed(CloseReason.PEER_RESET)
    assert here.host.ends == [PublishEnd.LOST]


class HostOfAHastyPeer(RecordingHost):
    """Its peer sends its last words and resets the connection during the first audio."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = socket.socket()
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def audio(self, publish: Publish, tag: AudioTag) -> None:
        super().audio(publish, tag)
        if tag.is_config:
            self.peer.sendall(full(4, 0, frame(372)) * 20 + FCUNPUBLISH)
            self.peer.close()  # with replies unread, which makes it a reset


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_last_words_before_a_reset_are_read(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        host = HostOfAHastyPeer()
        async with RtmpServer(host, Metrics(), port=0, addresses=["127.0.0.1"]) as server:
            host.peer.connect(("127.0.0.1", server.port))
            ping = control(4, b"\x00\x06" + bytes(4))  # so that there is something to write
            host.peer.sendall(START)
            await host.until("post_publish")
            host.peer.sendall(ping + full(4, 0, ASC))
            host.peer.setblocking(False)
            await host.until("done_publish")
        assert host.ends == [PublishEnd.CLEAN]
        assert len(host.tags[host.publishes[0].id]) == 21

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


async def test_leaving_in_mid_publish_loses_it() -> None:
    async with listening() as here, peer(here.port) as one:
        await one.publish("weekly")
        one.leave()
        await here.host.until("done_publish")
    assert here.host.ends == [PublishEnd.LOST]
    assert here.closed(CloseReason.PEER_CLOSED) == 1


async def test_s14_leaving_before_publish_ends_nothing() -> None:
    async with listening() as here, peer(here.port) as one:
        one.say(HANDSHAKE)
        one.leave()
        await here.until_closed(CloseReason.PEER_CLOSED)
    assert here.host.calls == []


async def test_half_open_peer_is_given_up() -> None:
    async with listening(Limits(idle_s=0.05)) as here, peer(here.port) as one:
        await one.publish("weekly")
        one.play(1)
        await one.until_hung_up_on()
    assert here.host.ends == [PublishEnd.LOST]
    assert here.closed(CloseReason.IDLE_TIMEOUT) == 1


async def test_silence_after_the_handshake_is_given_up() -> None:
    async with listening(Limits(publish_s=0.05)) as here, peer(here.port) as one:
        one.say(HANDSHAKE)
        await one.until_hung_up_on()
        assert here.closed(CloseReason.PUBLISH_TIMEOUT) == 1


async def test_slow_handshake_is_given_up() -> None:
    async with listening(Limits(handshake_s=0.2)) as here, peer(here.port) as one:
        for byte in HANDSHAKE[:20]:
            one.say(bytes([byte]))
            await asyncio.sleep(0.001)
        await one.until_hung_up_on()
        assert here.closed(CloseReason.HANDSHAKE_TIMEOUT) == 1


async def test_200_idle_sockets_are_closed_and_hurt_nobody() -> None:
    async with listening(Limits(handshake_s=0.3)) as here, AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(peer(here.port)) for _ in range(200)]
        neighbour = await stack.enter_async_context(peer(here.port))
        await neighbour.publish("neighbour")
        neighbour.play(500)
        assert len(await here.host.until_tags(501)) == 501
        await asyncio.gather(*(one.until_hung_up_on() for one in idle))
        await here.until_closed(CloseReason.HANDSHAKE_TIMEOUT, 200)
        assert here.host.ends == []


async def test_16_megabytes_are_refused_at_their_header_and_cost_nothing() -> None:
    async with listening() as here, peer(here.port) as one:
        await one.publish("weekly")
        before = psutil.Process().memory_info().rss
        one.say(set_chunk_size(0x7FFFFFFF) + header(0, 4, 0, 0xFFFFFF))
        await one.until_hung_up_on()
        with contextlib.suppress(ConnectionError):
            for _ in range(16):
                one.say(bytes(1024))
        assert psutil.Process().memory_info().rss - before < 4_000_000
        assert here.closed(CloseReason.MESSAGE_TOO_LARGE) == 1


async def test_messages_in_the_making_are_bounded() -> None:
    begun = b"".join(header(0, csid, 0, 1_000_000) + bytes(999_999) for csid in range(64, 104))
    async with listening() as here, peer(here.port) as one, peer(here.port) as neighbour:
        await one.publish("weekly")
        before = psutil.Process().memory_info().rss
        one.say(set_chunk_size(999_999) + begun)
        await one.until_hung_up_on()
        await neighbour.publish("neighbour")
        assert psutil.Process().memory_info().rss - before < 16_000_000
        assert here.closed(CloseReason.TOO_MUCH_UNFINISHED) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_s12_garbage_ends_only_its_own_connection(seed: int) -> None:
    garbage = random.Random(seed).randbytes(8000)
    async with listening(Limits(publish_s=0.1)) as here:
        async with peer(here.port) as neighbour, peer(here.port) as bad:
            await neighbour.publish("neighbour")
            bad.say(HANDSHAKE + garbage)
            await bad.until_hung_up_on()
            neighbour.play(10)
            await here.host.until_tags(11)
        assert here.closed(CloseReason.INTERNAL_ERROR) == 0


async def test_s10_web_browser_is_hung_up_on() -> None:
    async with listening() as here, peer(here.port) as one:
        one.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await one.until_hung_up_on() == b""
        assert here.closed(CloseReason.NOT_RTMP) == 1


async def test_more_connections_than_allowed_are_hung_up_on() -> None:
    async with listening(max_connections=2) as here, AsyncExitStack() as stack:
        first = await stack.enter_async_context(peer(here.port))
        await first.publish("first")
        await stack.enter_async_context(peer(here.port))
        third = await stack.enter_async_context(peer(here.port))
        assert await third.until_hung_up_on() == b""
        assert here.closed(CloseReason.TOO_MANY_CONNECTIONS) == 1
        first.play(1)
        await here.host.until_tags(2)


@pytest.mark.parametrize("refusal", Refusal)
async def test_refusal_is_said_after_a_pause(refusal: Refusal) -> None:
    async with listening() as here, peer(here.port) as one:
        here.host.refusal = refusal
        began = asyncio.get_running_loop().time()
        assert str(await one.refused("weekly")).startswith("NetStream.Publish.")
        assert asyncio.get_running_loop().time() - began >= QUICK.refusal_least_s
        assert here.value("rtmp_refusals_total", reason=refusal.value) == 1
    assert [call[0] for call in here.host.calls] == ["pre_connect", "post_connect", "pre_publish"]


async def test_s4_s5_bad_names_never_reach_the_host() -> None:
    async with listening() as here:
        for key in ("", "?key=1", "../../../../etc/x?token=1", "a" * 129, "\ufffd"):
            async with peer(here.port) as one:
                assert await one.refused(key) == "NetStream.Publish.BadName"
        assert here.host.requests == []
        assert here.value("rtmp_refusals_total", reason="bad_name") == 5


async def test_refusals_on_one_slug_are_spaced() -> None:
    limits = Limits(refusal_least_s=0.0, refusal_most_s=0.0, refusal_spacing_s=0.05, linger_s=0.1)
    async with listening(limits) as here, AsyncExitStack() as stack:
        here.host.refusal = Refusal.UNKNOWN_STREAM
        peers = [await stack.enter_async_context(peer(here.port)) for _ in range(5)]
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(one.refused("weekly") for one in peers))
        assert asyncio.get_running_loop().time() - began >= 4 * 0.05


async def test_two_publishers_cannot_replace_each_other_for_ever() -> None:
    async with listening() as here, AsyncExitStack() as stack:
        for _ in range(6):
            one = await stack.enter_async_context(peer(here.port))
            await one.publish("weekly")
        last = await stack.enter_async_context(peer(here.port))
        assert await last.refused("weekly") == "NetStream.Publish.BadName"
        assert here.value("rtmp_takeovers_total") == 5
        assert here.value("rtmp_refusals_total", reason="busy") == 1
        assert here.server.publishes == {"weekly": here.host.publishes[-1]}


@pytest.mark.parametrize("end", PublishEnd)
async def test_host_may_end_a_publish_any_number_of_times(end: PublishEnd) -> None:
    async with listening() as here, peer(here.port) as one:
        await one.publish("weekly")
        (publish,) = here.host.publishes
        publish.close(end)
        publish.close(PublishEnd.LOST)
        assert here.host.ends == [end]
        await one.until_hung_up_on()
        assert str(one.last_status()).startswith("NetStream.")
        publish.close(end)
    assert here.host.ends == [end]


HOOKS = ["pre_connect", "post_connect", "pre_publish", "post_publish", "audio", "done_publish"]


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_failing_hook_ends_one_connection(hook: str) -> None:
    async with listening() as here, peer(here.port) as neighbour, peer(here.port) as one:
        await neighbour.publish("neighbour")
        with here.host.failing(hook), capture_logs() as logs:
            one.ask("weekly")
            one.play(1)
            one.say(FCUNPUBLISH)
            await one.until_hung_up_on()
        assert any(line["log_level"] == "error" for line in logs)
        neighbour.play(3)
        await eventually(lambda: len(here.host.tags[here.host.publishes[0].id]) == 4)
        began = [call[0] for call in here.host.calls].count("post_publish") - 1
        assert len(here.host.ends) == began


async def test_server_that_stops_ends_its_publishers_and_returns() -> None:
    async with AsyncExitStack() as stack:
        async with listening() as here:
            one, idle, leaving = [
                await stack.enter_async_context(peer(here.port)) for _ in range(3)
            ]
            await leaving.publish("leaving")
            leaving.say(FCUNPUBLISH)
            await here.host.until("done_publish")
            await one.publish("weekly")
            idle.say(HANDSHAKE[:9])
        await one.until_hung_up_on()
        assert one.last_status() == "NetStream.Failed"
        assert here.host.ends == [PublishEnd.CLEAN, PublishEnd.STOPPED]


async def test_stopped_listener_keeps_its_publishers() -> None:
    async with listening() as here, peer(here.port) as one, peer(here.port) as late:
        await one.publish("weekly")
        late.say(HANDSHAKE)
        await eventually(lambda: here.value("rtmp_connections") == 2)
        await here.server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", here.port)
        one.play(5)
        await here.host.until_tags(6)
        assert here.host.ends == []


async def test_a_connection_from_before_the_stop_may_not_publish() -> None:
    async with listening() as here, peer(here.port) as late:
        late.say(HANDSHAKE[:1])
        await eventually(lambda: here.value("rtmp_connections") == 1)
        await here.server.stop_listening()
        late.ask("weekly", already_said=1)
        await late.until_hung_up_on()
        assert here.value("rtmp_refusals_total", reason="shutting_down") == 1


async def test_what_is_ignored_is_logged() -> None:
    async with listening() as here, peer(here.port) as one:
        with capture_logs() as logs:
            await one.publish("weekly")
            one.say(command("FCSubscribe", 7, NULL) + full(4, 0, b"\x91Opus" + bytes(9)))
            one.play(1)
            await here.host.until_tags(2)
    said = {(line["log_level"], line.get("command"), line.get("codec")) for line in logs}
    assert {("debug", "FCSubscribe", None), ("warning", None, "Opus")} <= said


async def test_what_is_read_is_counted_and_no_key_is_logged() -> None:
    with capture_logs() as logs:
        async with listening() as here, peer(here.port) as one:
            await one.publish("weekly?key=topsecret")
            one.play(10)
            one.say(full(6, 0, frame(200), type_id=9))
            await here.host.until_tags(11)
            one.leave()
            await here.host.until("done_publish")
    assert here.value("rtmp_messages_total", kind="audio") == 11
    assert here.value("rtmp_messages_total", kind="video") == 1
    assert here.value("rtmp_received_bytes_total") > 10 * 372
    events = [line["event"] for line in logs if line["log_level"] == "info"]
    assert events == [
        "RTMP listening", "RTMP client connecting", "RTMP stream connecting",
        "RTMP connection closed",
    ]  # fmt: skip
    assert "topsecret" not in repr(logs)

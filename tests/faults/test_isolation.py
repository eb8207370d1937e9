"""One session's failure is nobody else's (promise 6)."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import structlog
import uvloop

from tests.eventually import eventually
from tests.faults.speaking import speech
from tests.faults.ward import ENOUGH, HEALTHY, Figures, Ward, in_background, ward_of
from tests.rtmp.peer import peer
from tests.rtmp.vectors import CONNECT, CREATE, HANDSHAKE, publish
from tests.web.live_service import upgrade_request

pytestmark = [
    pytest.mark.alone, pytest.mark.ffmpeg, pytest.mark.slow, pytest.mark.timeout(120),
]  # fmt: skip

UTTERANCE_S = PAUSE_S = 0.4
SLACK_S = 0.3
"""Far above what a busy machine adds to a median, far below what waiting for anything would."""

log = structlog.get_logger()


# What can go wrong beside the healthy sessions. Each is a block in which it does.


@asynccontextmanager
async def nothing(ward: Ward, slug: str) -> AsyncIterator[None]:
    """A third session that is well, so that all phases cost the machine about the same."""
    async with ward.speaking(slug):
        yield


@asynccontextmanager
async def a_decoder_that_crashes_again_and_again(ward: Ward, slug: str) -> AsyncIterator[None]:
    async def crash() -> None:
        while True:
            await asyncio.sleep(0.1)
            for each in ward.sick_decoders():
                with suppress(psutil.NoSuchProcess):
                    each.kill()

    async with ward.speaking(slug), in_background(crash()):
        yield


@asynccontextmanager
async def a_decoder_that_stands_still(ward: Ward, slug: str) -> AsyncIterator[None]:
    async with ward.speaking(slug):
        await eventually(ward.sick_decoders)
        for each in ward.sick_decoders():
            each.suspend()
        yield


@asynccontextmanager
async def a_provider_that_refuses(ward: Ward, slug: str) -> AsyncIterator[None]:
    await ward.fault(slug, "refuse_post", status=503)
    async with ward.speaking(slug):
        yield


@asynccontextmanager
async def a_provider_that_hangs_up(ward: Ward, slug: str) -> AsyncIterator[None]:
    await ward.fault(slug, "cut", after_bytes=3200)
    async with ward.speaking(slug):
        yield


@asynccontextmanager
async def a_provider_that_freezes(ward: Ward, slug: str) -> AsyncIterator[None]:
    await ward.fault(slug, "freeze", after_bytes=3200)
    async with ward.speaking(slug):
        yield


@asynccontextmanager
async def publishers_that_talk_garbage(ward: Ward, slug: str) -> AsyncIterator[None]:
    async def talk_garbage() -> None:
        while True:
            async with peer(ward.service.rtmp_port) as one:
                await one.publish(slug)
                one.say(ward.said.messages(0, 20) + bytes(range(256)) * 400)
                await one.until_hung_up_on()

    await ward.start(slug)
    async with in_background(talk_garbage()):
        yield


@asynccontextmanager
async def a_publisher_that_floods(ward: Ward, slug: str) -> AsyncIterator[None]:
    await ward.start(slug)
    head = HANDSHAKE + CONNECT + CREATE + publish(slug)
    flood = multiprocessing.get_context("spawn").Process(
        target=pour, args=(ward.service.rtmp_port, head, ward.said.messages(0, 2000))
    )
    await asyncio.to_thread(flood.start)
    try:
        yield
    finally:
        flood.kill()
        await asyncio.to_thread(flood.join)


def pour(port: int, head: bytes, audio: bytes) -> None:
    """Publish as fast as it goes, until killed."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.sendall(head)
        heard = b""
        while b"Publish.Start" not in heard:
            heard += peer.recv(65_536)
        while True:
            peer.sendall(audio)


@asynccontextmanager
async def publishers_that_half_close(ward: Ward, slug: str) -> AsyncIterator[None]:
    await ward.start(slug)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            one = await stack.enter_async_context(peer(ward.service.rtmp_port))
            await one.publish(slug)
            one.say(ward.said.messages(0, 20))
            one.half_close()
        yield


@asynccontextmanager
async def viewers_that_freeze(ward: Ward, slug: str) -> AsyncIterator[None]:
    """They watch a healthy session."""
    writers = []
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", ward.service.port, limit=1)
        writer.write(upgrade_request(f"sessionSlug={HEALTHY[0]}"))
        writers.append(writer)
    async with ward.speaking(slug):
        yield
    for writer in writers:
        writer.transport.abort()


SICKNESSES: tuple[Callable[[Ward, str], AbstractAsyncContextManager[None]], ...] = (
    nothing,
    a_decoder_that_crashes_again_and_again,
    a_decoder_that_stands_still,
    a_provider_that_refuses,
    a_provider_that_hangs_up,
    a_provider_that_freezes,
    publishers_that_talk_garbage,
    a_publisher_that_floods,
    publishers_that_half_close,
    viewers_that_freeze,
)


def test_what_goes_wrong_in_one_session_leaves_the_latency_of_the_others_unchanged(
    ffmpeg: str, tmp_path: Path
) -> None:
    said = speech(ffmpeg, 440, 550, 660, each_s=UTTERANCE_S, pause_s=PAUSE_S)

    async def main() -> dict[str, Figures]:
        async with ward_of(said, tmp_path) as ward, ward.healthy():
            figures = {each.__name__: await measured(each, ward) for each in SICKNESSES}
            finals = [ward.finals(slug) for slug in HEALTHY]
        for ended_at_s in finals:  # and none of their utterances is missing
            pauses_s = [later - earlier for earlier, later in pairwise(ended_at_s)]
            assert max(pauses_s) < 1.5 * (UTTERANCE_S + PAUSE_S)
        return figures

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in production
        figures = runner.run(main())
    assert {n: f for n, f in figures.items() if f.utterances < ENOUGH} == {}
    usual_s = figures["nothing"].median_s
    assert {n: f for n, f in figures.items() if f.median_s > usual_s + SLACK_S} == {}


async def measured(
    sickness: Callable[[Ward, str], AbstractAsyncContextManager[None]], ward: Ward
) -> Figures:
    ward.look_at_decoders()
    async with sickness(ward, sickness.__name__):
        figures = await ward.measured()
    log.info("Measured", beside=sickness.__name__, figures=figures)
    return figures

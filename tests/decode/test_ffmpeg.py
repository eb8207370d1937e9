"""What only a decoder with a process of its own has to withstand."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.starts import StartGate
from realtime_core.errors import DecoderError
from realtime_core.metrics import Metrics
from tests.decode.aac import Reading, Recording, feed, is_silent, offset, read, rest
from tests.eventually import eventually

pytestmark = pytest.mark.ffmpeg

Make = Callable[..., Reading]
SECOND_BYTES = 32_000
SAMPLE_BYTES = 2


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(ffmpeg: str, metrics: Metrics) -> Make:
    def make(
        program: str = ffmpeg,
        *,
        retries: int = 3,
        stall_s: float = 20.0,
        queue_s: float = 30.0,
        starts: StartGate | None = None,
    ) -> Reading:
        return Reading(
            FfmpegDecoder(
                program,
                metrics,
                session="weekly",
                retries=retries,
                retry_delay_s=0.01,
                queue_s=queue_s,
                stall_s=stall_s,
                starts=starts,
            )
        )

    return make


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = psutil.Process().children(recursive=True)  # those of other tests in this process
    yield
    assert [e for e in psutil.Process().children(recursive=True) if e not in before] == []


async def child() -> psutil.Process:
    """The process of the only decoder, once it is FFmpeg and not yet what starts it."""
    children: list[psutil.Process] = []

    def runs() -> bool:
        children[:] = [each for each in psutil.Process().children() if is_ffmpeg(each)]
        return bool(children)

    await eventually(runs)
    return children[0]


def is_ffmpeg(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "ffmpeg" in process.exe()
    except psutil.Error:
        return False


def program(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def assert_whole(pcm: bytes, sweep: Recording) -> None:
    """Nothing is missing, nothing twice, and everything in its place to the sample."""
    assert abs(len(pcm) - len(sweep.sound)) <= SAMPLE_BYTES
    for at in range(3_000, 158_000, 9_000):
        assert abs(offset(pcm, sweep.sound, at, most=3)) <= 1


@pytest.mark.parametrize("which", ["found", "embedded"])
async def test_the_pcm_is_what_ffmpeg_makes_of_the_file(
    make: Make, ffmpeg: str, embedded_ffmpeg: str, sweep: Recording, metrics: Metrics, which: str
) -> None:
    async with make(ffmpeg if which == "found" else embedded_ffmpeg) as decoder:
        feed(decoder, sweep)
        pcm = await rest(decoder)
    assert_whole(pcm, sweep)
    if which == "found":
        assert pcm == sweep.sound
    assert value(metrics, "ffmpeg_starts_total") == 1
    assert value(metrics, "ffmpeg_exits_total", outcome="asked") == 1


async def test_pcm_follows_its_frame_at_once(make: Make, sweep: Recording) -> None:
    waits_s = []
    async with make() as decoder:
        feed(decoder, sweep.cut(0, 1))
        pcm = await read(decoder, 1)
        assert sweep.place(1) - len(pcm) // SAMPLE_BYTES <= 17
        for tag in sweep.tags[2:30]:
            begin = time.perf_counter()
            decoder.feed(tag)
            pcm += await read(decoder, 1)
            waits_s.append(time.perf_counter() - begin)
    assert pcm == sweep.sound[: len(pcm)]
    assert sorted(waits_s)[len(waits_s) // 2] < 0.1


async def test_a_killed_ffmpeg_is_replaced_and_no_audio_is_missing(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make() as decoder:
        feed(decoder, sweep.cut(0, 100))
        pcm = await read(decoder, SECOND_BYTES)
        (await child()).kill()
        feed(decoder, sweep.cut(100, 432))
        pcm += await rest(decoder)
    assert_whole(pcm, sweep)
    assert value(metrics, "ffmpeg_restarts_total") == 1
    assert value(metrics, "ffmpeg_exits_total", outcome="crashed") == 1
    assert value(metrics, "audio_dropped_seconds_total", stage="decoder") == 0


async def test_frames_that_a_killed_ffmpeg_took_along_are_decoded_again(
    make: Make, sweep: Recording
) -> None:
    async with make() as decoder:
        feed(decoder, sweep.cut(0, 100))
        pcm = await read(decoder, SECOND_BYTES)
        process = await child()
        process.suspend()
        feed(decoder, sweep.cut(100, 200))
        assert isinstance(decoder.decoder, FfmpegDecoder)
        intake = decoder.decoder._intake
        await eventually(lambda: intake.taken_s > 2)
        process.kill()
        feed(decoder, sweep.cut(200, 432))
        pcm += await rest(decoder)
    assert_whole(pcm, sweep)


@pytest.mark.slow
async def test_a_stopped_ffmpeg_is_noticed_and_no_audio_is_missing(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make(stall_s=1.0) as decoder:
        feed(decoder, sweep.cut(0, 100))
        pcm = await read(decoder, SECOND_BYTES)
        (await child()).suspend()
        feed(decoder, sweep.cut(100, 432))
        pcm += await rest(decoder)
    assert_whole(pcm, sweep)
    assert value(metrics, "ffmpeg_exits_total", outcome="stalled") >= 1


@pytest.mark.slow
async def test_an_ffmpeg_without_audio_is_not_stalled(make: Make, metrics: Metrics) -> None:
    async with make(stall_s=0.1) as decoder:
        process = await child()
        await asyncio.sleep(0.5)  # that nothing happens in this time is what is tested
        assert process.is_running()
        assert await rest(decoder) == b""
    assert value(metrics, "ffmpeg_exits_total", outcome="asked") == 1


async def test_restarts_are_used_up(make: Make, sweep: Recording, metrics: Metrics) -> None:
    with capture_logs() as logs:
        async with make("/bin/false", retries=2) as decoder:
            feed(decoder, sweep.cut(0, 10))
            with pytest.raises(DecoderError, match="3 times"):
                await rest(decoder)
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert [(line["returncode"], line["failures"]) for line in warnings] == [(1, 1), (1, 2), (1, 3)]
    assert value(metrics, "ffmpeg_starts_total") == 3
    assert value(metrics, "ffmpeg_restarts_total") == 2
    assert value(metrics, "ffmpeg_exits_total", outcome="crashed") == 3


@pytest.mark.slow
async def test_restarts_start_over_after_a_process_that_ran_well(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make(retries=1) as decoder:
        for _ in range(3):
            feed(decoder, sweep)
            await read(decoder, 10 * SECOND_BYTES)
            (await child()).kill()
        await rest(decoder)
    assert value(metrics, "ffmpeg_restarts_total") == 3


async def test_a_program_that_cannot_be_started_is_reported(make: Make) -> None:
    with capture_logs() as logs:
        async with make("/nowhere/ffmpeg", retries=0) as decoder:
            with pytest.raises(DecoderError):
                await rest(decoder)
    assert "/nowhere/ffmpeg" in logs[-1]["stderr"]


async def test_what_ffmpeg_says_is_logged_and_our_environment_is_not_in_it(
    make: Make, sweep: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    complaining = program(tmp_path / "ffmpeg", "#!/bin/sh\n/usr/bin/env >&2\nkill -9 $$\n")
    with capture_logs() as logs:
        async with make(complaining, retries=0) as decoder:
            feed(decoder, sweep.cut(0, 1))
            with pytest.raises(DecoderError):
                await rest(decoder)
    assert "LC_ALL=C" in logs[-1]["stderr"]
    assert "DATABASE_URL" not in logs[-1]["stderr"]


async def test_a_frame_that_kills_every_ffmpeg_costs_itself_and_not_the_session(
    make: Make, ffmpeg: str, sweep: Recording, metrics: Metrics, tmp_path: Path
) -> None:
    vulnerable = program(
        tmp_path / "ffmpeg",
        f"#!{sys.executable} -IS\n"
        "import os, subprocess, sys\n"
        f"real = subprocess.Popen([{ffmpeg!r}, *sys.argv[1:]], stdin=subprocess.PIPE)\n"
        "poisoned = False\n"
        "while not poisoned and (text := os.read(0, 65536)):\n"
        "    before, poisoned, _ = text.partition(b'POISON')\n"
        "    real.stdin.write(before); real.stdin.flush()\n"
        "real.stdin.close(); sys.exit(real.wait() or 3 * bool(poisoned))\n",
    )
    poisoned = (*sweep.frames[100:110], b"\xaf\x01POISON", *sweep.frames[111:432])
    async with make(vulnerable) as decoder:
        feed(decoder, sweep.cut(0, 100))
        pcm = await read(decoder, 2 * sweep.place(99))
        feed(decoder, replace(sweep, frames=poisoned))
        pcm += await rest(decoder)
    dropped_s = value(metrics, "audio_dropped_seconds_total", stage="decoder")
    assert 0 < dropped_s < 0.5
    assert abs(len(pcm) - len(sweep.sound)) <= SAMPLE_BYTES
    assert is_silent(pcm, sweep.place(110) + 2, sweep.place(111))
    assert abs(offset(pcm, sweep.sound, sweep.place(130))) <= 1


async def test_garbage_without_end_keeps_neither_memory_nor_what_follows(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    garbage = replace(sweep, frames=(b"\xaf\x01" + bytes(range(256)),) * 400)
    async with make(queue_s=2.0) as decoder:
        feed(decoder, sweep.cut(0, 10))
        pcm = await read(decoder, 2 * sweep.place(9))
        for tag in garbage.tags[1:]:
            decoder.feed(tag)
            await asyncio.sleep(0)
        assert value(metrics, "decoder_queue_seconds") <= 2 * 2.0
        for tag in sweep.tags[101:181]:
            decoder.feed(tag)
            await asyncio.sleep(0)
        pcm += await rest(decoder)
    assert len(pcm) // SAMPLE_BYTES == pytest.approx(sweep.place(490), abs=16)
    moved = pcm[2 * (sweep.place(410) - sweep.place(100)) :]
    assert abs(offset(moved, sweep.sound, sweep.place(150), most=48)) <= 48


@pytest.mark.slow
async def test_twenty_that_start_together_take_turns_and_lose_nothing(
    ffmpeg: str, sweep: Recording, metrics: Metrics
) -> None:
    gate, starting = StartGate(2, patience_s=9), list[int]()

    async def session(number: int) -> bytes:
        async with Reading(
            FfmpegDecoder(ffmpeg, metrics, session=str(number), starts=gate)
        ) as decoder:
            feed(decoder, sweep.cut(0, 100))
            pcm = await read(decoder, 1)
            starting.append(gate.starting)
            return pcm + await rest(decoder)

    sounds = await asyncio.gather(*map(session, range(20)))
    assert {len(pcm) // SAMPLE_BYTES for pcm in sounds} == {sweep.place(100)}
    assert all(offset(pcm, sweep.sound, at) == 0 for pcm in sounds for at in (3_000, 30_000))
    assert value(metrics, "audio_dropped_seconds_total", stage="decoder") == 0
    assert max(starting) <= 2
    assert value(metrics, "ffmpeg_start_wait_seconds_count") == 20
    assert value(metrics, "ffmpeg_start_wait_seconds_sum") > 0
    assert gate.starting == 0


async def test_a_replacement_waits_for_its_turn_and_what_is_fed_meanwhile_is_kept(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    gate = StartGate(1, patience_s=60)
    async with make(starts=gate) as decoder:
        feed(decoder, sweep.cut(0, 100))
        pcm = await read(decoder, SECOND_BYTES)
        place = await gate.enter()
        (await child()).kill()
        await eventually(lambda: value(metrics, "ffmpeg_restarts_total"))
        feed(decoder, sweep.cut(100, 432))
        assert value(metrics, "ffmpeg_starts_total") == 1
        place.leave()
        pcm += await rest(decoder)
    assert_whole(pcm, sweep)
    assert value(metrics, "ffmpeg_starts_total") == 2


async def test_a_session_that_leaves_while_it_waits_gives_its_turn_to_another(
    make: Make, sweep: Recording
) -> None:
    gate = StartGate(1, patience_s=60)
    place = await gate.enter()
    async with make(starts=gate) as leaves:
        feed(leaves, sweep)
        await asyncio.sleep(0)
    place.leave()
    async with make(starts=gate) as stays:
        feed(stays, sweep)
        assert_whole(await rest(stays), sweep)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20, 60])
async def test_being_cancelled_at_any_moment_leaves_no_process(
    make: Make, sweep: Recording, turns: int
) -> None:
    async def session() -> None:
        async with make() as decoder:
            feed(decoder, sweep)
            async for _pcm in decoder.pcm():
                pass

    task = asyncio.create_task(session())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_being_cancelled_in_mid_stream_leaves_no_process(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with asyncio.timeout(10), make() as decoder:
        feed(decoder, sweep)
        await read(decoder, SECOND_BYTES)
    assert value(metrics, "ffmpeg_exits_total", outcome="asked") == 1
    assert value(metrics, "decoder_queue_seconds") == 0
    assert await rest(decoder) is not None  # pcm() ends

"""What a session may expect of a decoder, whichever it is."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.inprocess import InprocessDecoder
from realtime_core.decode.locate import find
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag, Silence, seconds_of
from tests.decode.aac import (
    GARBAGE,
    Reading,
    Recording,
    feed,
    is_silent,
    loudest,
    offset,
    record,
    rest,
)

pytestmark = pytest.mark.ffmpeg

MILLISECOND = 16
WHOLE_S = 432 * 1024 / 44_100


Make = Callable[[float], Reading]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    return find()


@pytest.fixture(params=["ffmpeg", "inprocess"])
def make(request: pytest.FixtureRequest, ffmpeg: str, metrics: Metrics) -> Make:
    def make(queue_s: float) -> Reading:
        if request.param == "inprocess":
            return Reading(InprocessDecoder(metrics, session="weekly", queue_s=queue_s))
        return Reading(FfmpegDecoder(ffmpeg, metrics, session="weekly", queue_s=queue_s))

    return make


@pytest.fixture(scope="module")
def sweep(ffmpeg: str) -> Recording:
    return record(ffmpeg)


@pytest.fixture(scope="module")
def silence(ffmpeg: str) -> Recording:
    return record(ffmpeg, seconds=2, volume=0)


@pytest.fixture(scope="module")
def mono(ffmpeg: str) -> Recording:
    return record(ffmpeg, rate=48_000, channels=1, seconds=5)


@pytest.fixture(scope="module")
def core(ffmpeg: str) -> Recording:
    """What is inside HE-AAC."""
    return record(ffmpeg, rate=22_050, seconds=3)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_all_that_is_fed_comes_out(make: Make, sweep: Recording, metrics: Metrics) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep)
        assert decoder.queued_s == pytest.approx(WHOLE_S, abs=1e-4)
        assert value(metrics, "decoder_queue_seconds") == pytest.approx(WHOLE_S, abs=1e-4)
        pcm = await rest(decoder)
        assert decoder.queued_s == 0
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S, abs=1e-4)
    assert [offset(pcm, sweep.sound, at) for at in (3_000, 80_000, 150_000)] == [0, 0, 0]
    assert value(metrics, "audio_received_bytes_total") == sum(len(t.payload) for t in sweep.tags)
    assert value(metrics, "audio_decoded_bytes_total") == len(pcm)
    assert value(metrics, "decoder_queue_seconds") == 0


async def test_pcm_comes_before_the_end_and_in_whole_samples(make: Make, sweep: Recording) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep.cut(0, 5))
        got = b""
        async for pcm in decoder.pcm():
            assert len(pcm) % 2 == 0
            got += pcm
            if seconds_of(len(got)) > 0.114:  # five frames less what the resampler keeps
                break
        assert decoder.queued_s < 0.002


async def test_a_publisher_that_comes_back_goes_on_in_the_same_stream(
    make: Make, sweep: Recording
) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep.cut(0, 200))
        feed(decoder, sweep.cut(200, 432))  # the configuration again, and the clock from 0
        pcm = await rest(decoder)
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S, abs=1e-4)
    assert offset(pcm, sweep.sound, sweep.place(210)) == 0


async def test_a_publisher_that_comes_back_brings_nothing_of_the_sound_before(
    make: Make, sweep: Recording, silence: Recording
) -> None:
    async with make(10) as decoder:
        feed(decoder, sweep.cut(0, 20))
        feed(decoder, silence.cut(5, 40))
        decoder.end()
        pcm = await rest(decoder)
    assert loudest(pcm, sweep.place(19), sweep.place(20)) > 10_000
    assert loudest(pcm, sweep.place(20), sweep.place(55)) <= 1  # a resampler's last digit


async def test_audio_that_the_publisher_left_out_is_silence_of_its_length(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make(30) as decoder:
        for tag in (*sweep.tags[:101], *sweep.tags[201:]):
            decoder.feed(tag)
        pcm = await rest(decoder)
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S, abs=0.001)
    assert is_silent(pcm, sweep.place(100) + 100, sweep.place(200) - 100)
    assert abs(offset(pcm, sweep.sound, sweep.place(90))) <= 1
    assert abs(offset(pcm, sweep.sound, sweep.place(210))) <= MILLISECOND
    missing_s = value(metrics, "audio_dropped_seconds_total", stage="publisher")
    assert missing_s == pytest.approx(100 * 1024 / 44_100, abs=0.001)


async def test_what_is_skipped_is_silence_before_the_frame_that_comes_next(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep.cut(0, 200))
        decoder.feed(sweep.tags[0])
        decoder.skip(2)
        assert decoder.queued_s == pytest.approx(sweep.place(200) / 16_000 + 2, abs=1e-4)
        for tag in sweep.tags[201:]:
            decoder.feed(tag)
        decoder.end()
        decoder.skip(5)
        pieces = [pcm async for pcm in decoder.pcm()]
    pcm, silences = b"".join(pieces), [each for each in pieces if isinstance(each, Silence)]
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S + 2, abs=1e-4)
    assert seconds_of(sum(map(len, silences))) == pytest.approx(2, abs=0.001)
    assert abs(offset(pcm, sweep.sound, sweep.place(90))) <= 1
    assert abs(offset(pcm[2 * 32_000 :], sweep.sound, sweep.place(210))) <= MILLISECOND
    assert value(metrics, "audio_dropped_seconds_total", stage="publisher") == 0


async def test_a_clock_that_jumps_is_told_once_a_publish_and_shifts_nothing(
    make: Make, sweep: Recording
) -> None:
    jumps_ms = [0] * 10 + [100_000] * 10 + [0] * 10
    with capture_logs() as logs:
        async with make(30) as decoder:
            for _ in range(2):
                config, *frames = sweep.tags[:31]
                decoder.feed(config)
                for tag, jump_ms in zip(frames, jumps_ms, strict=True):
                    decoder.feed(replace(tag, timestamp_ms=tag.timestamp_ms + jump_ms))
            pcm = await rest(decoder)
    assert [line["event"] for line in logs].count("Publisher's clock jumped") == 2
    assert len(pcm) // 2 == pytest.approx(sweep.place(60), abs=1)


async def test_silence_in_the_place_of_audio_says_so(make: Make, sweep: Recording) -> None:
    async with make(30) as decoder:
        for tag in (*sweep.tags[:101], *sweep.tags[201:]):
            decoder.feed(tag)
        decoder.end()
        silences = [pcm async for pcm in decoder.pcm() if isinstance(pcm, Silence)]
    assert seconds_of(sum(map(len, silences))) == pytest.approx(100 * 1024 / 44_100, abs=0.001)


async def test_the_form_of_the_audio_may_change(
    make: Make, sweep: Recording, mono: Recording
) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep.cut(0, 100))
        feed(decoder, mono)
        feed(decoder, sweep.cut(100, 200))
        pcm = await rest(decoder)
    begin, after = sweep.place(100), sweep.place(100) + mono.place(len(mono.frames))
    assert len(pcm) // 2 == pytest.approx(after + sweep.place(100), abs=3 * MILLISECOND)
    assert abs(offset(pcm[begin * 2 :], mono.sound, 20_000)) <= MILLISECOND
    moved = pcm[(after - begin) * 2 :]
    # FFmpeg loses the millisecond in its resampler at each change.
    assert abs(offset(moved, sweep.sound, sweep.place(150))) <= 3 * MILLISECOND


async def test_what_cannot_be_decoded_takes_its_time_all_the_same(
    make: Make, sweep: Recording
) -> None:
    frames = (*sweep.frames[:100], *[GARBAGE] * 50, *sweep.frames[150:])
    async with make(30) as decoder:
        feed(decoder, replace(sweep, frames=frames))
        pcm = await rest(decoder)
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S, abs=0.001)
    assert is_silent(pcm, sweep.place(102), sweep.place(149))
    assert abs(offset(pcm, sweep.sound, sweep.place(160))) <= MILLISECOND


async def test_nothing_but_garbage_is_silence(make: Make, sweep: Recording) -> None:
    async with make(30) as decoder:
        feed(decoder, replace(sweep, frames=(GARBAGE,) * 43))
        pcm = await rest(decoder)
    assert len(pcm) // 2 == sweep.place(43)
    assert not any(pcm)


async def test_too_much_audio_leaves_silence_of_the_same_length(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    async with make(4) as decoder:
        feed(decoder, sweep)
        # What had to go leaves silence, which is to come as well.
        assert decoder.queued_s == pytest.approx(WHOLE_S, abs=1e-4)
        assert value(metrics, "decoder_queue_seconds") == pytest.approx(4, abs=0.03)
        pcm = await rest(decoder)
    assert seconds_of(len(pcm)) == pytest.approx(WHOLE_S, abs=1e-4)
    dropped_s = value(metrics, "audio_dropped_seconds_total", stage="decoder")
    assert dropped_s == pytest.approx(WHOLE_S - 4, abs=0.03)
    assert is_silent(pcm, 0, round(dropped_s * 16_000))
    assert abs(offset(pcm, sweep.sound, round(dropped_s * 16_000) + 1_000)) <= 1


async def test_empty_frames_and_those_before_a_configuration_are_nothing(
    make: Make, sweep: Recording
) -> None:
    async with make(30) as decoder:
        for tag in sweep.tags[1:10]:
            decoder.feed(tag)
        feed(decoder, replace(sweep, frames=(b"\xaf\x01", *sweep.frames[:20], b"\xaf\x01", b"")))
        pcm = await rest(decoder)
    assert len(pcm) // 2 == pytest.approx(sweep.place(20), abs=1)


async def test_a_configuration_that_is_none_leaves_the_one_before(
    make: Make, sweep: Recording
) -> None:
    async with make(30) as decoder:
        feed(decoder, sweep.cut(0, 10))
        decoder.feed(AudioTag(b"\xaf\x00\xff", 0, is_config=True))
        for tag in sweep.tags[11:21]:
            decoder.feed(tag)
        pcm = await rest(decoder)
    assert len(pcm) // 2 == pytest.approx(sweep.place(20), abs=1)


async def test_high_efficiency_audio_lasts_as_long_as_its_core(make: Make, core: Recording) -> None:
    # Type 5 (SBR): core of 22.05 kHz, output of 44.1 kHz, then the core's own type.
    config = b"\xaf\x00" + (0b00101_0111_0010_0100_00010_000 << 7).to_bytes(4)
    async with make(30) as decoder:
        feed(decoder, replace(core, config=config))
        pcm = await rest(decoder)
    assert len(pcm) // 2 == pytest.approx(core.place(len(core.frames)), abs=MILLISECOND)


async def test_no_audio_is_no_pcm_and_no_error(make: Make, sweep: Recording) -> None:
    async with make(30) as decoder:
        assert await rest(decoder) == b""
    async with make(30) as decoder:
        decoder.feed(sweep.tags[0])
        assert await rest(decoder) == b""


async def test_leaving_without_an_end_leaves_nothing_behind(
    make: Make, sweep: Recording, metrics: Metrics
) -> None:
    before = asyncio.all_tasks()
    async with make(30) as decoder:
        feed(decoder, sweep)
        await asyncio.sleep(0)  # it runs
    decoder.feed(sweep.tags[1])
    assert asyncio.all_tasks() == before
    assert value(metrics, "decoder_queue_seconds") == 0


async def test_what_takes_the_pcm_may_fail_and_who_feeds_does_not_notice(
    make: Make, sweep: Recording
) -> None:
    decoder = make(30).decoder
    came: list[bytes] = []

    def refuse(pcm: bytes) -> None:
        came.append(pcm)
        raise LookupError("not mine")

    running = asyncio.create_task(decoder.run(refuse))
    while not running.done():
        for tag in sweep.tags[:50]:
            decoder.feed(tag)
        await asyncio.sleep(0.01)
    with pytest.raises(LookupError):
        await running
    assert len(came) == 1


async def test_a_backlog_leaves_the_loop_to_others_in_between(
    ffmpeg: str, sweep: Recording, metrics: Metrics
) -> None:
    decoder = InprocessDecoder(metrics, session="weekly", queue_s=30)
    for tag in sweep.tags[:201]:
        decoder.feed(tag)
    decoder.end()
    turns = came = 0

    def count(pcm: bytes) -> None:
        nonlocal came
        came += len(pcm)

    running = asyncio.create_task(decoder.run(count))
    while not running.done():
        turns += came > 0
        await asyncio.sleep(0)
    await running
    assert turns >= 200 / 20 - 1
    assert came // 2 == sweep.place(200)

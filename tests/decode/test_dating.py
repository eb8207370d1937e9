"""Both decoders date a sound alike, and both by what the encoder put before it.

The sound is a click each half second. Encoders begin with a frame of their own making, the
priming: 1024 samples of FFmpeg's, 21 to 23 ms. FLV does not tell how long it is, so no
decoder takes it off, and every time is late by as much; but alike, and for good.
"""

import array
from collections.abc import Sequence
from dataclasses import replace

import pytest

from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.inprocess import InprocessDecoder
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag
from tests.decode.aac import GARBAGE, Decoder, Reading, Recording, record, rest

pytestmark = pytest.mark.ffmpeg

CLICKS = "if(lt(mod(t+0.25,0.5),0.002),1,0)"  # at 0.25 s, 0.75 s, …
MIDDLE_S = 0.001
SECONDS = 4
PRIMING = 1024
SBR_DELAY = 481  # samples of the core that its decoder is late by
ALIKE_S, TRUE_S = 0.001, 0.002
A_FRAME_S = 0.0235
FORMS = [(44_100, 2), (44_100, 1), (48_000, 2), (48_000, 1)]
# AudioSpecificConfig of type 5: a core of 22.05 kHz, 44.1 kHz after SBR, then the core's type.
HIGH_EFFICIENCY = b"\xaf\x00" + (0b00101_0111_0010_0100_00010_000 << 7).to_bytes(4)


def clicks(ffmpeg: str, rate: int, channels: int) -> Recording:
    return record(ffmpeg, rate=rate, channels=channels, seconds=SECONDS, volume=0.9, signal=CLICKS)


def click_times(*starts: float) -> list[float]:
    """Where the clicks are in recordings that begin at these times."""
    return [start + 0.25 + MIDDLE_S + at / 2 for start in starts for at in range(2 * SECONDS)]


def heard_s(pcm: bytes, at_s: float) -> float:
    """Return where the click is that belongs there; fails when there is none."""
    samples = array.array("h", pcm)
    first = max(0, round((at_s - 0.1) * 16_000))
    near = [abs(each) for each in samples[first : first + 3_200]]
    highest = max(near)
    assert highest > 3_000, "there is no click"
    loud = [at for at, height in enumerate(near) if height > highest / 2]
    return (first + (loud[0] + loud[-1]) / 2) / 16_000


async def late_by_s(
    decoder: Decoder, tags: Sequence[AudioTag | float], times: list[float]
) -> list[float]:
    """Feed tags, skipping where there are seconds; return how late each click came out."""
    async with Reading(decoder) as reading:
        for each in tags:
            if isinstance(each, AudioTag):
                reading.feed(each)
            else:
                reading.skip(each)
        pcm = await rest(reading)
    return [heard_s(pcm, at_s) - at_s for at_s in times]


async def both(
    ffmpeg: str, tags: Sequence[AudioTag | float], times: list[float]
) -> tuple[list[float], list[float]]:
    metrics = Metrics()
    return (
        await late_by_s(FfmpegDecoder(ffmpeg, metrics, session="a", queue_s=30), tags, times),
        await late_by_s(InprocessDecoder(metrics, session="b", queue_s=30), tags, times),
    )


def assert_alike(
    lates: tuple[list[float], list[float]],
    priming_s: float,
    *,
    alike_s: float = ALIKE_S,
) -> None:
    for ffmpeg_s, inprocess_s in zip(*lates, strict=True):
        assert ffmpeg_s == pytest.approx(inprocess_s, abs=alike_s)
        assert inprocess_s == pytest.approx(priming_s, abs=TRUE_S)


@pytest.mark.parametrize(("rate", "channels"), FORMS)
async def test_every_form_of_audio_is_late_by_the_priming(
    ffmpeg: str, rate: int, channels: int
) -> None:
    tags = clicks(ffmpeg, rate, channels).tags
    assert_alike(await both(ffmpeg, tags, click_times(0)), PRIMING / rate)


async def test_high_efficiency_audio_is_late_by_its_decoder_as_well(ffmpeg: str) -> None:
    core = replace(clicks(ffmpeg, 22_050, 2), config=HIGH_EFFICIENCY)
    late_s = (PRIMING + SBR_DELAY) / 22_050
    assert_alike(await both(ffmpeg, core.tags, click_times(0)), late_s)


async def test_a_change_of_form_moves_nothing(ffmpeg: str) -> None:
    first, second = clicks(ffmpeg, 48_000, 2), clicks(ffmpeg, 44_100, 1)
    start = len(first.frames) * 1024 / 48_000
    tags = [*first.tags, *second.tags]
    one = await both(ffmpeg, tags, click_times(0))
    assert_alike(one, PRIMING / 48_000)
    after = await both(ffmpeg, tags, click_times(start))
    assert_alike(after, PRIMING / 44_100, alike_s=0.003)


async def test_a_corrupt_frame_in_the_middle_moves_nothing(ffmpeg: str) -> None:
    whole = clicks(ffmpeg, 44_100, 2)
    frames = (*whole.frames[:53], GARBAGE, *whole.frames[54:])  # at 1.23 s, where it is silent
    tags = replace(whole, frames=frames).tags
    assert_alike(await both(ffmpeg, tags, click_times(0)), PRIMING / 44_100, alike_s=0.002)


async def test_a_corrupt_frame_at_the_start_moves_what_follows_by_no_more_than_itself(
    ffmpeg: str,
) -> None:
    whole = clicks(ffmpeg, 44_100, 2)
    tags = replace(whole, frames=(GARBAGE, *whole.frames[1:])).tags
    lates = await both(ffmpeg, tags, click_times(0))
    assert_alike(lates, PRIMING / 44_100, alike_s=A_FRAME_S)


async def test_what_is_skipped_moves_the_next_clicks_by_its_length(ffmpeg: str) -> None:
    first, second = clicks(ffmpeg, 44_100, 2), clicks(ffmpeg, 44_100, 2)
    start = len(first.frames) * 1024 / 44_100 + 1.7
    tags: list[AudioTag | float] = [*first.tags, second.tags[0], 1.7, *second.tags[1:]]
    assert_alike(await both(ffmpeg, tags, click_times(0, start)), PRIMING / 44_100)

import math
import random
from array import array

import pytest

from bench.load.ear import SAMPLE_RATE_HZ, TONES_HZ, Beep, Ear
from bench.load.sound import ADTS_HEADER_BYTES, FRAMES, Sound, decode, find_ffmpeg


def _tone(frequency_hz: float, seconds: float = 0.1) -> bytes:
    count = round(seconds * SAMPLE_RATE_HZ)
    angles = (2 * math.pi * frequency_hz * n / SAMPLE_RATE_HZ for n in range(count))
    return array("h", [round(12_000 * math.sin(angle)) for angle in angles]).tobytes()


def _quiet(seconds: float) -> bytes:
    count = round(seconds * SAMPLE_RATE_HZ)
    random_bytes = random.Random(1).randbytes(count)
    return array("h", [(byte - 128) * 4 for byte in random_bytes]).tobytes()


def _heard(pcm: bytes, piece: int) -> list[Beep]:
    """Feed in pieces; a beep's ``at`` is where the piece with its onset begins."""
    ear = Ear()
    starts = range(0, len(pcm), piece)
    return [beep for start in starts for beep in ear.hear(pcm[start : start + piece], start)]


@pytest.mark.parametrize("piece", [1, 7, 682, 3_200, 1_000_000])
def test_every_tone_is_told_from_the_others_however_the_audio_is_cut(piece: int) -> None:
    pcm = b"".join(_quiet(0.3) + _tone(frequency_hz) for frequency_hz in TONES_HZ) + _quiet(0.3)
    assert [beep.tone for beep in _heard(pcm, piece)] == list(range(8))


def test_a_beep_is_dated_by_the_piece_that_holds_its_first_loud_sample() -> None:
    # 400 Hz passes the threshold with its second sample after zero.
    onset = len(_quiet(0.5)) + 2 * 2
    pcm = _quiet(0.5) + _tone(400) + _quiet(0.2)
    assert _heard(pcm, onset) == [Beep(0, onset)]
    assert _heard(pcm, onset + 2) == [Beep(0, 0)]


@pytest.mark.parametrize(
    "torn",
    [
        _tone(600, 0.05),  # its beginning or end was lost
        _tone(600, 0.04) + _quiet(0.02) + _tone(600, 0.04),
        _tone(650),
        _tone(2_000),
    ],
)
def test_a_torn_beep_is_counted_and_not_taken_for_another(torn: bytes) -> None:
    ear = Ear()
    assert ear.hear(torn + _quiet(0.5), 0) == []
    assert ear.torn == 1


def test_quiet_noise_is_no_beep() -> None:
    ear = Ear()
    assert ear.hear(_quiet(2.0), 0) == []
    assert ear.torn == 0


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_the_loop_is_eight_seconds_with_a_beep_of_its_own_tone_in_each(beeps: Sound) -> None:
    assert len(beeps.frames) == FRAMES
    assert list(beeps.onsets.values()) == list(range(8))
    apart = [
        later - sooner for sooner, later in zip(beeps.onsets, [*beeps.onsets][1:], strict=False)
    ]
    assert set(apart) == {46, 47}  # a second is 46.875 frames


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_frames_are_as_large_as_speech_at_128_kbit_a_second(beeps: Sound) -> None:
    assert sum(map(len, beeps.frames)) / 8 == pytest.approx(16_000, rel=0.05)
    assert min(map(len, beeps.frames)) > 128  # never fewer than two chunks


@pytest.mark.ffmpeg
@pytest.mark.slow
def test_the_loop_repeats_without_a_seam_and_without_a_sample_too_many(beeps: Sound) -> None:
    pcm = decode(find_ffmpeg(), [adts(frame) for frame in [*beeps.frames] * 3])
    assert len(pcm) == 3 * 8 * 2 * SAMPLE_RATE_HZ
    assert [beep.tone for beep in _heard(pcm, 640)] == list(range(8)) * 3


def adts(frame: bytes) -> bytes:
    """Put the header back: MPEG-4 AAC-LC, 48 kHz, stereo, no checksum."""
    length = len(frame) + ADTS_HEADER_BYTES
    return bytes.fromhex("fff14c80") + (length << 13 | 0x1FFC).to_bytes(3, "big") + frame

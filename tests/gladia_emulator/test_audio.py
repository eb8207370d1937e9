from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gladia_emulator.audio import A_LAW, MU_LAW, AudioDecoder, Resampler, WavHeader

FORMATS = st.tuples(
    st.sampled_from(["wav/pcm", "wav/alaw", "wav/ulaw"]),
    st.sampled_from([8, 16, 24, 32]),
    st.sampled_from([8000, 16000, 32000, 44100, 48000]),
    st.integers(1, 3),
)


def decode(decoder: AudioDecoder, pieces: list[bytes]) -> list[bytes]:
    """Return each channel's samples."""
    runs = [decoder.feed(piece) for piece in pieces]
    return [b"".join(run) for run in zip(*runs, strict=True)]


@given(FORMATS, st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_slicing_changes_nothing(
    form: tuple[str, int, int, int], data: bytes, cuts: list[int]
) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    assert decode(AudioDecoder(*form), pieces) == decode(AudioDecoder(*form), [data])


@pytest.mark.parametrize(
    ("depth", "data", "samples"),
    [
        (8, bytes([0, 128, 255]), [-32768, 0, 32512]),
        (16, b"\x01\x00\xff\xff", [1, -1]),
        (24, b"\xff\x01\x00\x00\xff\xff", [1, -1]),
        (32, b"\xff\xff\x01\x00\x00\x00\xff\xff", [1, -1]),
    ],
)
def test_depths_become_sixteen_bits(depth: int, data: bytes, samples: list[int]) -> None:
    (pcm,) = AudioDecoder("wav/pcm", depth, 16000, 1).feed(data)
    assert array("h", pcm).tolist() == samples


def test_companding_follows_g711() -> None:
    assert [MU_LAW[code] for code in (0x00, 0x80, 0xFF, 0x7F)] == [-32124, 32124, 0, 0]
    assert [A_LAW[code] for code in (0x2A, 0xAA, 0x55, 0xD5)] == [-32256, 32256, -8, 8]


def test_companding_is_monotonic() -> None:
    assert list(MU_LAW[0x80:]) == sorted(MU_LAW[0x80:], reverse=True)
    assert len(set(A_LAW)) == 256


def test_channels_are_taken_apart() -> None:
    data = array("h", [1, -1, 2, -2, 3, -3]).tobytes()
    left, right = AudioDecoder("wav/pcm", 16, 16000, 2).feed(data)
    assert (array("h", left).tolist(), array("h", right).tolist()) == ([1, 2, 3], [-1, -2, -3])


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 1), (32000, 1), (44100, 2), (48000, 1)])
def test_other_rates_last_as_long(rate: int, seconds: int) -> None:
    ramp = array("h", [n * 1000 // rate for n in range(rate * seconds)])
    out = array("h", Resampler(rate).feed(ramp.tobytes()))
    assert len(out) == 16_000 * seconds
    assert all(abs(value - n * 1000 // 16_000) <= 1 for n, value in enumerate(out))


HEADER = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20) + b"data\x10\0\0\0"


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_wav_header_is_stripped(piece: int) -> None:
    header, stream = WavHeader(), HEADER + b"samples"
    out = [header.strip(stream[at : at + piece]) for at in range(0, len(stream), piece)]
    assert b"".join(out) == b"samples"


@pytest.mark.parametrize("stream", [b"RIFX....data....", b"\0\0RIFF", b"RIFF" + bytes(5_000)])
def test_what_only_looks_like_a_header_is_audio(stream: bytes) -> None:
    assert WavHeader().strip(stream) == stream

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.decode.asc import RATES_HZ, frame_duration_s


def packed(*fields: tuple[int, int]) -> bytes:
    """Pack (value, width) pairs, padded with zeros to whole bytes."""
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8)


@pytest.mark.parametrize(
    ("config", "samples", "rate_hz"),
    [
        ("1210", 1024, 44_100),  # low complexity, stereo, as FFmpeg and LiveKit write it
        ("121056e500", 1024, 44_100),  # with FFmpeg's note that there is no SBR
        ("1188", 1024, 48_000),
        ("1408", 1024, 16_000),
        ("1214", 960, 44_100),
        ("2b920800", 1024, 22_050),  # HE-AAC: 2048 samples at 44 100 Hz
        ("eb8a0800", 1024, 22_050),  # HE-AAC v2
        ("f8e85000", 480, 44_100),  # enhanced low delay, an escaped type
    ],
)
def test_known_configurations(config: str, samples: int, rate_hz: int) -> None:
    assert frame_duration_s(bytes.fromhex(config)) == samples / rate_hz


@given(st.sampled_from(RATES_HZ), st.booleans(), st.integers(0, 7))
def test_a_rate_may_be_an_index_or_written_out(rate_hz: int, short: bool, channels: int) -> None:
    samples = 960 if short else 1024
    after = ((channels, 4), (short, 1))
    by_index = packed((2, 5), (RATES_HZ.index(rate_hz), 4), *after)
    written_out = packed((2, 5), (15, 4), (rate_hz, 24), *after)
    assert frame_duration_s(by_index) == frame_duration_s(written_out) == samples / rate_hz


@given(st.sampled_from([5, 29]), st.sampled_from(range(6, 12)))
def test_spectral_band_replication_does_not_change_how_long_a_frame_lasts(
    kind: int, core_rate: int
) -> None:
    plain = packed((2, 5), (core_rate, 4), (2, 4), (0, 3))
    doubled = packed((kind, 5), (core_rate, 4), (2, 4), (core_rate - 3, 4), (2, 5), (0, 3))
    assert frame_duration_s(doubled) == frame_duration_s(plain)


@pytest.mark.parametrize(
    "config", ["", "12", "16f8", "7a00000000", "7f8000000000", "f94840", "ffff"]
)
def test_what_is_not_aac_is_refused(config: str) -> None:
    with pytest.raises(ValueError, match=r"cut short|Hz|not AAC"):
        frame_duration_s(bytes.fromhex(config))


@given(st.binary(max_size=40))
def test_any_bytes_give_a_sensible_duration_or_a_value_error(config: bytes) -> None:
    try:
        duration_s = frame_duration_s(config)
    except ValueError:
        return
    assert 0.005 <= duration_s <= 0.14

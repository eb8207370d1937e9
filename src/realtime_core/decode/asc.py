"""AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1): how long a frame lasts. Pure."""

from __future__ import annotations

RATES_HZ = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050),
    *(16_000, 12_000, 11_025, 8_000, 7_350),
)
EXPLICIT_RATE = 15

TYPE_ESCAPE = 31
SBR, PS = 5, 29
LOW_DELAY, ENHANCED_LOW_DELAY = 23, 39
# The types whose own configuration begins with frameLengthFlag.
WITH_FRAME_LENGTH = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23, 39})


def frame_duration_s(config: bytes) -> float:
    """Return how long each AAC frame under this AudioSpecificConfig lasts, in seconds.

    SBR, signalled or not, doubles both the rate and the samples of a frame, so the core's
    two numbers give the same time.

    Raises:
        ValueError: The configuration is cut short, or is not one of AAC.
    """
    bits = _Bits(config)
    kind, rate_hz = _object_type(bits), _rate_hz(bits)
    bits.take(4)  # channels
    if kind in (SBR, PS):
        _rate_hz(bits)  # the rate after SBR
        kind = _object_type(bits)
    if kind not in WITH_FRAME_LENGTH:
        raise ValueError(f"audio object type {kind} is not AAC")
    return _frame_samples(kind, short=bits.take(1) == 1) / rate_hz


def _frame_samples(kind: int, *, short: bool) -> int:
    if kind in (LOW_DELAY, ENHANCED_LOW_DELAY):
        return 480 if short else 512
    return 960 if short else 1024


def _object_type(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == TYPE_ESCAPE else kind


def _rate_hz(bits: _Bits) -> int:
    index = bits.take(4)
    rate_hz = bits.take(24) if index == EXPLICIT_RATE else (*RATES_HZ, 0, 0)[index]
    if not RATES_HZ[-1] <= rate_hz <= RATES_HZ[0]:
        raise ValueError(f"sample rate index {index} gives {rate_hz} Hz")
    return rate_hz


class _Bits:
    """Bytes read bit by bit, highest first."""

    def __init__(self, text: bytes) -> None:
        self._number, self._left = int.from_bytes(text), len(text) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("AudioSpecificConfig is cut short")
        return self._number >> self._left & (1 << count) - 1

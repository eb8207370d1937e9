"""From the formats a client may send to 16-bit, 16 kHz, one stream per channel. Pure.

Fed in pieces of any size; half a sample waits for its other half. Rates other than 16 kHz are
resampled by taking the nearest earlier sample, which is enough for an emulator.
"""

from __future__ import annotations

from array import array

RATE_HZ = 16_000
BYTES_PER_SAMPLE = 2

RIFF, DATA = b"RIFF", b"data"
LONGEST_HEADER_BYTES = 4_096


def seconds_of(samples: int) -> float:
    """Return how long so many samples last at 16 kHz."""
    return samples / RATE_HZ


class AudioDecoder:
    """Turns one session's bytes into samples, a stream for each channel."""

    def __init__(self, encoding: str, bit_depth: int, rate_hz: int, channels: int) -> None:
        self._encoding, self._bit_depth = encoding, bit_depth
        self._channels = channels
        width = bit_depth // 8 if encoding == "wav/pcm" else 1
        self._frame_bytes = width * channels
        self._plain = encoding == "wav/pcm" and bit_depth == 16 and channels == 1
        self._resamplers = [Resampler(rate_hz) for _ in range(channels)]
        self._header = WavHeader()
        self._carry = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the samples they complete, one run for each channel."""
        data = self._carry + self._header.strip(data)
        whole = len(data) - len(data) % self._frame_bytes
        data, self._carry = data[:whole], data[whole:]
        if self._plain:
            return [self._resamplers[0].feed(data)]
        samples = self._samples(data)
        return [
            resampler.feed(samples[channel :: self._channels].tobytes())
            for channel, resampler in enumerate(self._resamplers)
        ]

    def _samples(self, data: bytes) -> array[int]:
        if self._encoding != "wav/pcm":
            table = A_LAW if self._encoding == "wav/alaw" else MU_LAW
            return array("h", [table[byte] for byte in data])
        if self._bit_depth == 8:  # the only depth that WAV stores unsigned
            return array("h", [(byte - 128) << 8 for byte in data])
        return array("h", _upper_half(data, self._bit_depth // 8))


class WavHeader:
    """Takes a WAV header off the start of a stream, if there is one."""

    def __init__(self) -> None:
        self._held: bytes | None = b""

    def strip(self, data: bytes) -> bytes:
        """Return ``data`` without what belongs to a header; it may hold back the first bytes."""
        if self._held is None:
            return data
        held = self._held + data
        if not held.startswith(RIFF[: len(held)]) or len(held) > LONGEST_HEADER_BYTES:
            self._held = None
            return held
        body = held.find(DATA) + len(DATA) + 4  # behind the name stands the length
        found = body > len(DATA) + 4 and len(held) >= body
        self._held = None if found else held
        return held[body:] if found else b""


class Resampler:
    """Brings 16-bit samples of any rate to 16 kHz."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._taken = self._given = 0

    def feed(self, pcm: bytes) -> bytes:
        """Take whole samples and return those due at 16 kHz."""
        if self._rate_hz == RATE_HZ:
            return pcm
        samples = array("h", pcm)
        last = self._taken + len(samples)
        until = -(-last * RATE_HZ // self._rate_hz)
        picked = [
            samples[number * self._rate_hz // RATE_HZ - self._taken]
            for number in range(self._given, until)
        ]
        self._taken, self._given = last, until
        return array("h", picked).tobytes()


def _upper_half(data: bytes, width: int) -> bytes:
    upper = bytearray(len(data) // width * BYTES_PER_SAMPLE)
    upper[0::2] = data[width - 2 :: width]
    upper[1::2] = data[width - 1 :: width]
    return bytes(upper)


def _mu_law(code: int) -> int:
    # ITU-T G.711: inverted bits, sign, three bits of exponent, four of mantissa, bias 33.
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def _a_law(code: int) -> int:
    # ITU-T G.711: every second bit inverted; the first segment is linear.
    code ^= 0x55
    exponent, magnitude = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude += 8 if exponent == 0 else 0x108
    magnitude <<= max(exponent - 1, 0)
    return magnitude if code & 0x80 else -magnitude


MU_LAW = tuple(_mu_law(code) for code in range(256))
A_LAW = tuple(_a_law(code) for code in range(256))

"""Finding beeps in decoded audio, exact to the sample. Pure.

The same ear listens where the sound is made and where it arrives, so that "the onset" is the
same sample on both sides. It looks at the high byte of each sample only: slicing and
translating bytes costs a microsecond for a chunk, a loop over the samples twenty.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE_HZ = 16_000
TONES_HZ = tuple(range(400, 1_200, 100))
"""A beep is known by its tone: the n-th of a publish has the (n mod 8)-th."""

BEEP_S = 0.1
THRESHOLD = 0x0800
"""Above the noise and an encoder's pre-echo (-24 dB of full scale), below any beep."""

# The edges of a beep are smeared by the codec, so the tone is taken from its middle.
TONE_FROM, TONE_TO = SAMPLE_RATE_HZ // 100, SAMPLE_RATE_HZ * 9 // 100
REST_UNTIL = SAMPLE_RATE_HZ // 5
TONE_S = (TONE_TO - TONE_FROM) / SAMPLE_RATE_HZ
PIECES = 8
"""Each eighth of the middle has to be loud; else the beep is torn."""

_LOUD = bytes(THRESHOLD >> 8 <= high < 256 - (THRESHOLD >> 8) for high in range(256))
_BELOW_ZERO = bytes(high >= 128 for high in range(256))
_UPWARDS = b"\x01\x00"


@dataclass(frozen=True, slots=True)
class Beep:
    """A beep that was heard whole.

    Attributes:
        tone: Its index in :data:`TONES_HZ`.
        at: What was said of the chunk that held its first loud sample.
    """

    tone: int
    at: int


class Ear:
    """Listens to one stream of signed 16-bit little-endian mono at 16 kHz, in pieces.

    Attributes:
        torn: Beeps of which a part was missing.
    """

    def __init__(self) -> None:
        self._odd = b""
        self._highs = b""
        self._onset_at: int | None = None
        self.torn = 0

    def hear(self, pcm: bytes, at: int) -> list[Beep]:
        """Take the next piece, of any length; return the beeps that it made whole.

        Args:
            at: Anything that tells this piece from others: a time, a number.
        """
        highs = self._high_bytes(pcm)
        found: list[Beep] = []
        while highs:
            highs = self._wait(highs, at) if self._onset_at is None else self._gather(highs, found)
        return found

    def _high_bytes(self, pcm: bytes) -> bytes:
        if self._odd:
            pcm = self._odd + pcm
        self._odd = pcm[-1:] if len(pcm) % 2 else b""
        return pcm[1::2]

    def _wait(self, highs: bytes, at: int) -> bytes:
        """Look for an onset; return what has to be looked at again."""
        onset = highs.translate(_LOUD).find(1)
        if onset < 0:
            return b""
        self._onset_at, self._highs = at, b""
        return highs[onset:]

    def _gather(self, highs: bytes, found: list[Beep]) -> bytes:
        """Collect a beep and the rest after it; return what lies behind."""
        assert self._onset_at is not None
        before = len(self._highs)
        self._highs += highs[: REST_UNTIL - before]
        if before < TONE_TO <= len(self._highs):
            tone = _tone(self._highs[TONE_FROM:TONE_TO])
            if tone is None:
                self.torn += 1
            else:
                found.append(Beep(tone, self._onset_at))
        if len(self._highs) == REST_UNTIL:
            self._onset_at = None
        return highs[REST_UNTIL - before :]


def _tone(highs: bytes) -> int | None:
    """Return which tone this is; None when it is none, or has holes."""
    loud, piece = highs.translate(_LOUD), len(highs) // PIECES
    if any(1 not in loud[start : start + piece] for start in range(0, len(highs), piece)):
        return None
    frequency_hz = highs.translate(_BELOW_ZERO).count(_UPWARDS) / TONE_S
    tone = round((frequency_hz - TONES_HZ[0]) / 100)
    fits = 0 <= tone < len(TONES_HZ) and abs(frequency_hz - TONES_HZ[tone]) <= 30
    return tone if fits else None

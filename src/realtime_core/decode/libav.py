"""libavcodec's AAC decoder and libavfilter's resampler, as PyAV gives them. Pure.

PyAV is an extra: it is imported where it is used, by those who have seen that it is there.
Not its `AudioResampler`, which hides a filter graph with a thread for each processor, and
asks it again for each frame whether there is more, which costs an exception.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

from realtime_core.decode.backlog import TAG_PREFIX_BYTES, Frame
from realtime_core.model import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from av import AudioCodecContext, AudioFrame

# What an ADTS header can say; eight channels (ISO/IEC 14496-3, 4.5.3) are at most 6144. C code that
# parses strangers' bytes in our process need not see more.
MOST_FRAME_BYTES = 8_191
PCM_FORM = f"sample_fmts=s16:sample_rates={SAMPLE_RATE_HZ}:channel_layouts=mono"


class Aac:
    """Decodes frames in a row, and is renewed where what they are changes."""

    def __init__(self) -> None:
        self._config = b""
        self._codec: AudioCodecContext | None = None
        self._form: tuple[int, str, str] | None = None
        self._resampler: _Resampler | None = None

    def decode(self, frame: Frame) -> bytes:
        """Return the PCM that is ready; the resampler keeps a millisecond.

        Raises:
            ValueError, FFmpegError: The frame, or its configuration, cannot be decoded.
        """
        from av import Packet

        if self._codec is None or frame.config != self._config:
            self._codec, self._config = _codec(frame.config), frame.config
        aac = frame.body[TAG_PREFIX_BYTES:]
        if not 0 < len(aac) <= MOST_FRAME_BYTES:  # an empty packet would mean the end
            raise ValueError(f"a frame of {len(aac)} bytes")
        decoded = self._codec.decode(Packet(aac))
        if not decoded:
            raise ValueError("no audio in the frame")
        if len(decoded) == 1:
            return self._resample(decoded[0])
        return b"".join(map(self._resample, decoded))

    def reset(self) -> bytes:
        """Forget what came before, and return the last of its PCM."""
        if self._codec is not None and self._codec.is_open:
            self._codec.flush_buffers()
        rest = self._resampler.finish() if self._resampler else b""
        self._form = self._resampler = None
        return rest

    def _resample(self, decoded: AudioFrame) -> bytes:
        form = (decoded.sample_rate, decoded.layout.name, decoded.format.name)
        if self._resampler is not None and form == self._form:
            return self._resampler.resample(decoded)
        rest = self._resampler.finish() if self._resampler else b""
        self._resampler, self._form = _Resampler(*form), form
        return rest + self._resampler.resample(decoded)


class _Resampler:
    """Any form of audio to 16-bit mono PCM at 16 kHz."""

    def __init__(self, rate_hz: int, layout: str, sample_format: str) -> None:
        from av.filter import Graph

        graph = Graph()
        graph.threads = 1  # or there is one for each processor
        self._source = graph.add_abuffer(
            sample_rate=rate_hz,
            layout=layout,
            format=sample_format,
            time_base=Fraction(1, rate_hz),
        )
        form = graph.add("aformat", PCM_FORM)
        self._sink = graph.add("abuffersink")
        graph.link_nodes(self._source, form, self._sink)
        graph.configure()
        self._graph = graph

    def resample(self, frame: AudioFrame) -> bytes:
        self._source.push(frame)
        return self._pull()

    def finish(self) -> bytes:
        """Return what it kept, after which it takes no more."""
        self._source.push(None)
        pieces = []
        while piece := self._pull():
            pieces.append(piece)
        return b"".join(pieces)

    def _pull(self) -> bytes:
        """Return the next piece. One frame gives at most one, and the first may give none."""
        from av.error import BlockingIOError, EOFError

        try:
            pcm = cast("AudioFrame", self._sink.pull())
        except (BlockingIOError, EOFError):
            return b""
        # A plane may be longer than its samples.
        return bytes(memoryview(pcm.planes[0])[: pcm.samples * BYTES_PER_SAMPLE])


def _codec(config: bytes) -> AudioCodecContext:
    from av import AudioCodecContext

    codec = AudioCodecContext.create("aac", "r")
    codec.extradata = config[TAG_PREFIX_BYTES:]
    return codec

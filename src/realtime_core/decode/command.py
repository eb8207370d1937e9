"""FFmpeg's arguments and environment. Pure.

Measured with FFmpeg 5.1 and 9.0: first PCM 3 to 8 ms after the first frame when FFmpeg
already runs, and nothing lost. `-fflags nobuffer` would lose the first frame, a larger
probe would hold the first seconds back.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from realtime_core.model import SAMPLE_RATE_HZ

# Not ours: no database address or key may reach a program that parses strangers' bytes.
ENVIRONMENT: Mapping[str, str] = MappingProxyType({"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"})

# Only what the work needs may be opened, however the input is crafted.
ALLOWED = ["-protocol_whitelist", "pipe", "-format_whitelist", "flv", "-codec_whitelist", "aac"]
# One stream of audio needs no pool of threads per core.
FRUGAL = ["-threads", "1", "-max_streams", "1"]
AT_ONCE = ["-f", "flv", "-probesize", "32", "-analyzeduration", "0"]
# Frames that cannot be decoded leave a hole in the timestamps; this fills it with silence,
# so that what follows keeps its time. 5 ms is above FLV's rounding and below the frames in use.
# Without holes the output is the same, byte for byte. It fills nothing before the first good
# frame of a process, nor where the form of the audio changes: what follows bad frames there
# comes too early by their length, and the silence for them at the end. `first_pts=0` would
# fill it, and would put in silence as long as the meeting at each change of form in it.
IN_TIME = f"aresample={SAMPLE_RATE_HZ}:async=1:min_hard_comp=0.005"
# Or it would exit with an error at the end when most frames were bad.
FORGIVING = ["-max_error_rate", "1"]
PCM = ["-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "s16le"]


def decode_command(ffmpeg: str) -> list[str]:
    """Return the command that decodes FLV on stdin to 16-bit mono PCM at 16 kHz on stdout."""
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning", "-filter_threads", "1"),
        *FORGIVING,
        *ALLOWED,
        *FRUGAL,
        *AT_ONCE,
        *("-i", "pipe:0", "-map", "0:a:0", "-vn", "-af", IN_TIME),
        *PCM,
        "pipe:1",
    ]

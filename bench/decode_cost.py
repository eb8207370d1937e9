"""What decoding costs this process: CPU per AAC frame, beside the least that the work can cost.

Twenty rooms of 44.1 kHz stereo, each frame at its own moment, a frame each 23 ms and room. For
the decoder in the process the least is the library's own calls; for the one with FFmpeg it is
a write to and a read from the pipes of the same FFmpegs. The pacing itself is taken off both.

Run: ``python bench/decode_cost.py`` (about 20 seconds; ``--json`` for one line of figures).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import structlog
import uvloop

from realtime_core.decode.backlog import Frame
from realtime_core.decode.command import decode_command
from realtime_core.decode.ffmpeg import FfmpegDecoder
from realtime_core.decode.flv import HEADER, FlvWriter
from realtime_core.decode.inprocess import InprocessDecoder
from realtime_core.decode.libav import Aac
from realtime_core.decode.locate import find
from realtime_core.decode.starts import StartGate
from realtime_core.metrics import Metrics
from realtime_core.model import AudioTag

ROOMS = 20
SECONDS = 3.0
FRAME_S = 1024 / 44_100
WARM_FRAMES = 2
FLV_HEADER_BYTES, TAG_HEADER_BYTES, TAG_LENGTH_BYTES = 13, 11, 4
TONE = "aevalsrc='0.3*sin(2*PI*(200+40*t)*t)+0.01*random(0)':s=44100:d=8"

Feed = Callable[[AudioTag], object]


class Decoder(Protocol):
    """What is measured."""

    def feed(self, tag: AudioTag) -> None:
        """Take a tag."""

    def end(self) -> None:
        """Take no more."""

    async def run(self, emit: Callable[[bytes], None]) -> None:
        """Emit PCM."""


def speech(ffmpeg: str) -> list[AudioTag]:
    """Return a configuration, and frames of 128 kbit/s stereo."""
    options = ["-f", "lavfi", "-i", TONE, "-ac", "2", "-c:a", "aac", "-b:a", "128k"]
    command = [ffmpeg, "-loglevel", "error", *options, "-f", "flv", "pipe:1"]
    flv = subprocess.run(command, capture_output=True, check=True).stdout
    config, *frames = bodies(flv)
    timed = enumerate(frames)
    tags = [AudioTag(body, round(at * FRAME_S * 1000), is_config=False) for at, body in timed]
    return [AudioTag(config, 0, is_config=True), *tags]


def bodies(flv: bytes) -> Iterator[bytes]:
    """Yield the bodies of the audio tags."""
    at = FLV_HEADER_BYTES
    while at < len(flv):
        begin = at + TAG_HEADER_BYTES
        end = begin + int.from_bytes(flv[at + 1 : at + 4])
        if flv[at] == 8:
            yield flv[begin:end]
        at = end + TAG_LENGTH_BYTES


async def paced(feeds: list[Feed], frames: list[AudioTag]) -> float:
    """Feed all rooms in turn, in time; return the CPU seconds of this thread."""
    loop = asyncio.get_running_loop()
    count = round(SECONDS / FRAME_S)
    began, began_s = loop.time(), time.thread_time()
    for number, tag in enumerate(frames[:count]):
        for room, feed in enumerate(feeds):
            due = began + (number + room / len(feeds)) * FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))
            feed(tag)
    await asyncio.sleep(FRAME_S)
    return time.thread_time() - began_s


async def measured(feeds: list[Feed], tags: list[AudioTag], warm: Callable[[], bool]) -> float:
    """Return the CPU seconds from when every room has given its first PCM."""
    for feed in feeds:
        for tag in tags[: 1 + WARM_FRAMES]:
            feed(tag)
    while not warm():  # noqa: ASYNC110 - other processes get warm, and do not tell
        await asyncio.sleep(0.01)
    return await paced(feeds, tags[1 + WARM_FRAMES :])


async def nothing(tags: list[AudioTag], ffmpeg: str) -> float:
    """Pace, and do nothing."""
    return await paced([lambda _tag: None] * ROOMS, tags[1 + WARM_FRAMES :])


async def bare_library(tags: list[AudioTag], ffmpeg: str) -> float:
    """Decode and resample, and throw it away."""
    heard = [0] * ROOMS

    def feed_of(room: int) -> Feed:
        aac, config = Aac(), tags[0].payload

        def feed(tag: AudioTag) -> None:
            if not tag.is_config:
                heard[room] += len(aac.decode(Frame(config, tag.payload, 0, 0)))

        return feed

    return await measured([feed_of(room) for room in range(ROOMS)], tags, lambda: all(heard))


async def bare_pipe(tags: list[AudioTag], ffmpeg: str) -> float:
    """Write to FFmpegs and read from them, and throw it away."""
    heard = [0] * ROOMS
    loop = asyncio.get_running_loop()

    def feed_of(room: int, given: int, gives: int) -> Feed:
        flv, config = FlvWriter(), tags[0].payload

        def read() -> None:
            heard[room] += len(os.read(gives, 65_536))

        loop.add_reader(gives, read)
        os.write(given, HEADER)
        prepared = {
            tag.timestamp_ms: flv.tags(config, tag.payload, 372)
            for tag in tags
            if not tag.is_config
        }
        return lambda tag: tag.is_config or os.write(given, prepared[tag.timestamp_ms])

    with ffmpegs(ffmpeg) as pipes:
        feeds = [feed_of(room, *pair) for room, pair in enumerate(pipes)]
        spent_s = await measured(feeds, tags, lambda: all(heard))
        for _, gives in pipes:
            loop.remove_reader(gives)
    return spent_s


@contextmanager
def ffmpegs(ffmpeg: str) -> Iterator[list[tuple[int, int]]]:
    """Run one for each room; yield the pipes to and from each."""
    command = decode_command(ffmpeg)
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(ROOMS)
    ]
    try:
        pairs = [(each.stdin, each.stdout) for each in running]
        pipes = [(given.fileno(), gives.fileno()) for given, gives in pairs if given and gives]
        for each in (pipe for pair in pipes for pipe in pair):
            os.set_blocking(each, False)
        yield pipes
    finally:
        for process in running:
            process.kill()
            process.communicate()


async def inprocess(tags: list[AudioTag], ffmpeg: str) -> float:
    """Decode with the decoder in the process."""
    metrics = Metrics()
    return await ours([InprocessDecoder(metrics, session=str(room)) for room in range(ROOMS)], tags)


async def with_ffmpeg(tags: list[AudioTag], ffmpeg: str) -> float:
    """Decode with an FFmpeg for each room."""
    metrics, starts = Metrics(), StartGate(2)
    rooms = [
        FfmpegDecoder(ffmpeg, metrics, session=str(room), starts=starts) for room in range(ROOMS)
    ]
    return await ours(rooms, tags)


async def ours(rooms: Sequence[Decoder], tags: list[AudioTag]) -> float:
    """Measure decoders whose PCM somebody takes."""
    heard = [0] * ROOMS

    def hear(room: int, pcm: bytes) -> None:
        heard[room] += len(pcm)

    async with asyncio.TaskGroup() as tasks:
        for room, decoder in enumerate(rooms):
            tasks.create_task(decoder.run(partial(hear, room)))
        spent_s = await measured([each.feed for each in rooms], tags, lambda: all(heard))
        for decoder in rooms:
            decoder.end()
    return spent_s


Work = Callable[[list[AudioTag], str], Coroutine[None, None, float]]
WORKS: dict[str, Work] = {
    "pacing": nothing,
    "bare library": bare_library,
    "in the process": inprocess,
    "bare pipes": bare_pipe,
    "with FFmpeg": with_ffmpeg,
}


def figures(rounds: int) -> dict[str, float]:
    """Return microseconds per frame, without the pacing, the least of all rounds."""
    ffmpeg = find()
    tags = speech(ffmpeg)
    frames = ROOMS * round(SECONDS / FRAME_S)
    spent_us = {name: float("inf") for name in WORKS}
    for _ in range(rounds):
        for name, work in WORKS.items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                us = runner.run(work(tags, ffmpeg)) * 1e6 / frames
            spent_us[name] = min(spent_us[name], us)
    pacing_us = spent_us.pop("pacing")
    return {name: us - pacing_us for name, us in spent_us.items()}


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    wanted = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    found = figures(wanted.rounds)
    if wanted.json:
        print(json.dumps({name: round(us, 1) for name, us in found.items()}))
        return
    for name, us in found.items():
        print(f"{name:15} {us:6.1f} µs a frame, {us / FRAME_S / 1e4:5.2f} % of a core a room")


if __name__ == "__main__":
    main()

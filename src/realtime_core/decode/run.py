"""One FFmpeg process at work: written to, read from, and watched."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from enum import Enum

from realtime_core.decode.flv import HEADER, FlvWriter
from realtime_core.decode.intake import Intake
from realtime_core.decode.outlet import Outlet
from realtime_core.model import seconds_of
from realtime_core.processes import Child

READ_BYTES = 16_000
# FFmpeg keeps less than a frame to itself; with this much inside it owes us PCM.
OWED_S = 0.2
LOOKS_PER_STALL = 10
# A process that gave this much ran well.
WELL_S = 10.0


class Outcome(Enum):
    """How a process ended, as the metric says it."""

    ASKED = "asked"
    CRASHED = "crashed"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended, and what to think of it.

    Attributes:
        ran_well: It decoded for a while, so what ended it is not there from the start.
        of_itself: Nobody killed it, so perhaps the audio did.
        last_words: The last lines of its stderr.
    """

    outcome: Outcome
    returncode: int | None = None
    ran_well: bool = False
    of_itself: bool = False
    last_words: str = ""


class Run:
    """Moves frames from ``intake`` through a process, and its PCM to ``outlet``."""

    def __init__(self, child: Child, intake: Intake, outlet: Outlet, stall_s: float) -> None:
        self._child, self._intake, self._outlet, self._stall_s = child, intake, outlet, stall_s
        self._gave_bytes = 0
        self._input_ended = self._output_ended = self._stalled = False

    async def work(self) -> None:
        """Return when the process gives nothing any more, wanted or not."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write(), name="ffmpeg/write")
            watching = tasks.create_task(self._watch(), name="ffmpeg/watch")
            await self._read()
            writing.cancel()
            watching.cancel()

    def ending(self) -> Ending:
        """Say how it ended; to be asked when the process is gone."""
        returncode = self._child.returncode
        return Ending(
            self._outcome(returncode),
            returncode,
            ran_well=seconds_of(self._gave_bytes) >= WELL_S,
            of_itself=not self._stalled and returncode not in (-signal.SIGKILL, -signal.SIGTERM),
            last_words=" | ".join(self._child.complaints.lines()),
        )

    def _outcome(self, returncode: int | None) -> Outcome:
        if self._stalled:
            return Outcome.STALLED
        if not self._output_ended:
            return Outcome.ASKED  # we left it, not it us
        # Without a single frame FFmpeg complains at the end of its input, and rightly so.
        done = returncode == 0 or self._intake.taken_s == 0
        return Outcome.ASKED if self._input_ended and done else Outcome.CRASHED

    async def _write(self) -> None:
        # Drained means in the pipe; what waits before it can still be dropped.
        if not self._child.stdin.is_closing():  # for uvloop refuses, once it is closed
            self._child.stdin.transport.set_write_buffer_limits(high=0)
        flv = FlvWriter()
        taking = await self._send(HEADER)
        while taking:
            if (frame := await self._intake.take()) is None:
                self._input_ended = True
                self._child.stdin.close()
                return
            taking = await self._send(flv.tags(frame.config, frame.body, frame.samples))

    async def _send(self, flv: bytes) -> bool:
        """Return whether FFmpeg takes more; if not, its output ends, which is where it is told."""
        stdin = self._child.stdin
        try:
            if not stdin.is_closing():
                stdin.write(flv)
                await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return False
        return not stdin.is_closing()

    async def _read(self) -> None:
        while output := await self._child.stdout.read(READ_BYTES):
            self._gave_bytes += len(output)
            for pcm in self._intake.receive(output):
                await self._outlet.put(pcm)
        self._output_ended = True

    async def _watch(self) -> None:
        """Kill a process that takes audio and shows no sign of life for so long."""
        quiet_looks, seen = 0, self._signs_of_life()
        while quiet_looks < LOOKS_PER_STALL:
            await asyncio.sleep(self._stall_s / LOOKS_PER_STALL)
            signs = self._signs_of_life()
            quiet = self._intake.taken_s > OWED_S and not self._outlet.is_full and signs == seen
            quiet_looks, seen = quiet_looks + 1 if quiet else 0, signs
        self._stalled = True
        self._child.signal_group(signal.SIGKILL)

    def _signs_of_life(self) -> tuple[int, int]:
        # Complaints count: frames that cannot be decoded give nothing else.
        return self._gave_bytes, self._child.complaints.received_bytes

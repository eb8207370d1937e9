"""One FFmpeg process at work: written to, read from, and watched."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from realtime_core.decode.inlet import Inlet
from realtime_core.decode.intake import Intake
from realtime_core.model import seconds_of
from realtime_core.processes import Child, Output

# FFmpeg keeps less than a frame to itself; with this much inside it owes us PCM.
OWED_S = 0.2
LOOKS_PER_STALL = 10
# FFmpeg writes frame by frame what it was given together. While it owes more than what it keeps,
# its next write is some 0.1 ms away, and what follows here is cheaper for both at once.
TOGETHER_S = 0.005
WITHIN_S = 0.002
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
    """Moves frames from ``intake`` through a process, and its PCM to ``emit``.

    No task stands between them: what is fed is written at once, and what is read handed on at
    once.

    Args:
        started: Called when the first PCM comes.

    Attributes:
        output: Takes what the process writes.
    """

    def __init__(
        self,
        intake: Intake,
        emit: Callable[[bytes], None],
        stall_s: float,
        started: Callable[[], None],
    ) -> None:
        self._intake, self._emit, self._stall_s = intake, emit, stall_s
        self._started = started
        self._inlet = Inlet(intake)
        self.output = Output(self._receive, self._ended)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._child: Child | None = None
        self._gave_bytes = 0
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._waiting: asyncio.TimerHandle | None = None
        self._output_ended = self._stalled = False

    async def work(self, child: Child) -> None:
        """Return when the process gives nothing any more, wanted or not.

        Raises:
            Exception: What ``emit`` raised.
        """
        self._child = child
        watching = asyncio.create_task(self._watch(child), name="ffmpeg/watch")
        try:
            self._inlet.open(child.stdin.transport)
            await self._over
        finally:
            watching.cancel()
            self._stop_waiting()
            self._inlet.close()
            await asyncio.wait({watching})
        self._output_ended = True

    def ending(self) -> Ending:
        """Say how it ended; to be asked when the process is gone."""
        assert self._child is not None, "it did not work"
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
        return Outcome.ASKED if self._inlet.has_ended and done else Outcome.CRASHED

    def _receive(self, output: bytes) -> None:
        if not self._gave_bytes:
            self._started()
        self._gave_bytes += len(output)
        self._pieces.append(output)
        self._pieces_bytes += len(output)
        if self._intake.held_s - seconds_of(self._pieces_bytes) < TOGETHER_S:
            self._hand_on()
        elif self._waiting is None:
            self._waiting = asyncio.get_running_loop().call_later(WITHIN_S, self._hand_on)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _hand_on(self) -> None:
        self._stop_waiting()
        output = b"".join(self._pieces)
        self._pieces.clear()
        self._pieces_bytes = 0
        if self._over.done():
            return
        try:
            for pcm in self._intake.receive(output):
                self._emit(pcm)
        except Exception as exc:  # noqa: BLE001 - work() raises it; no loop knows what to do
            self._over.set_exception(exc)

    def _ended(self) -> None:
        self._hand_on()
        if not self._over.done():
            self._over.set_result(None)

    async def _watch(self, child: Child) -> None:
        """Kill a process that takes audio and shows no sign of life for so long."""
        quiet_looks, seen = 0, self._signs_of_life(child)
        while quiet_looks < LOOKS_PER_STALL:
            await asyncio.sleep(self._stall_s / LOOKS_PER_STALL)
            signs = self._signs_of_life(child)
            quiet = self._intake.taken_s > OWED_S and signs == seen
            quiet_looks, seen = quiet_looks + 1 if quiet else 0, signs
        self._stalled = True
        child.signal_group(signal.SIGKILL)

    def _signs_of_life(self, child: Child) -> tuple[int, int]:
        # Complaints count: frames that cannot be decoded give nothing else.
        return self._gave_bytes, child.complaints.received_bytes

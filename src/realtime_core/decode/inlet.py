"""AAC on its way to FFmpeg: straight from who feeds it into the pipe, while that takes it."""

from __future__ import annotations

import asyncio

from realtime_core.decode.flv import HEADER, FlvWriter
from realtime_core.decode.intake import Intake

# What no longer fits the pipe waits in the intake, where it can still be dropped. So much, ten
# frames, may wait behind the pipe, so that a turn of the loop writes at once what it brought.
BEHIND_THE_PIPE_BYTES = 4_096


class Inlet(asyncio.Protocol):
    """Writes frames as FLV to the standard input of one process.

    Attributes:
        has_ended: All was written and the input closed.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake, self._flv = intake, FlvWriter()
        self._transport: asyncio.WriteTransport | None = None
        self._is_full = False
        self.has_ended = False

    def open(self, transport: asyncio.WriteTransport) -> None:
        """Write what there is, and from now on what is fed."""
        if transport.is_closing():  # the process has left; its output's end will tell
            return
        self._transport = transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=BEHIND_THE_PIPE_BYTES, low=0)
        transport.write(HEADER)
        self._intake.arrived = self._write
        self._write()

    def close(self) -> None:
        """Write nothing more."""
        self._transport = None
        self._intake.arrived = lambda: None

    def pause_writing(self) -> None:
        """The pipe is full."""
        self._is_full = True

    def resume_writing(self) -> None:
        """All of it is in the pipe."""
        self._is_full = False
        # Not at once: asyncio's transport forgets what is written here when it is closed here.
        asyncio.get_running_loop().call_soon(self._write)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave it at that: the process's output ends too, which is where it is told."""
        self._transport = None

    def _write(self) -> None:
        transport, take = self._transport, self._intake.take
        if transport is None or transport.is_closing():
            return
        while not self._is_full and (frame := take()) is not None:
            transport.write(self._flv.tags(frame.config, frame.body, frame.samples))
        if self._intake.is_over:
            self.has_ended = True
            transport.close()

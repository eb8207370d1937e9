"""A publisher that treats its sink as LiveKit Egress does; run by the system's Python.

On each error of the sink its bin goes to NULL and to PLAYING again, at once, while the
pipeline's clock goes on. Prints ``error`` for each error, and ``acked N`` when the server's
acknowledgements have moved.
"""

import sys

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # type: ignore[import-not-found]  # noqa: E402

SOURCE = (
    "audiotestsrc is-live=true samplesperbuffer=1024 ! audio/x-raw,rate=44100,channels=2"
    " ! avenc_aac ! flvmux streamable=true skip-backwards-streams=true latency=3000000000"
    " ! tee name=tee allow-not-linked=true"
)
SINK = (
    "queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000 leaky=downstream"
    " ! errorignore ! rtmp2sink name=sink async-connect=false async=false sync=false location={}"
)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Egress:
    def __init__(self, location: str) -> None:
        self._pipeline = Gst.parse_launch(SOURCE)
        self._bin = Gst.parse_bin_from_description(SINK.format(location), True)
        self._sink = self._bin.get_by_name("sink")
        self._pipeline.add(self._bin)
        self._pipeline.get_by_name("tee").link(self._bin)
        self._pad = self._bin.get_static_pad("sink").get_peer()
        self._block: int | None = None
        self._acked = 0
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._on_error)
        GLib.timeout_add(50, self._look_at_acknowledgements)

    def run(self) -> None:
        self._pipeline.set_state(Gst.State.PLAYING)
        GLib.MainLoop().run()

    def _on_error(self, _bus: object, _message: object) -> None:
        """Begin again, once the source waits: it would stop for good on a sink that is NULL."""
        if self._block is None:
            say("error")
            self._block = self._pad.add_probe(Gst.PadProbeType.BLOCK_DOWNSTREAM, self._on_blocked)

    def _on_blocked(self, _pad: object, _info: object) -> object:
        GLib.idle_add(self._begin_again)
        return Gst.PadProbeReturn.OK

    def _begin_again(self) -> bool:
        if self._block is not None:
            self._bin.set_state(Gst.State.NULL)
            self._bin.set_state(Gst.State.PLAYING)
            self._pad.remove_probe(self._block)
            self._block = None
        return False

    def _look_at_acknowledgements(self) -> bool:
        acked = self._sink.get_property("stats").get_value("out-bytes-acked")
        if acked != self._acked:
            self._acked = acked
            say(f"acked {acked}")
        return True


if __name__ == "__main__":
    Gst.init(None)
    Egress(sys.argv[1]).run()

"""One session with a crowd of viewers, over a real service and real WebSockets.

The service runs as a process of its own, untouched; a second process holds all viewers and
reads them; a third has five viewers in a small room beside; this one posts drafts to both
rooms as another service would. All share a clock. A viewer's latency runs from before the post
until its process has read the message; the time until the last viewer has it is that of the
webinar's slowest seat, the reading process's own work included, which is printed beside.

Rounds in which everybody reads alternate with rounds in which some have stopped reading, for
so long that all waits for them that may; each figure is the median of its rounds. In the end
comes a final, which those who stopped have no room for.

    python -m bench.crowd [--viewers 3000] [--frozen 30] [--rounds 3] [--seconds 3]

The last line is one line of JSON: latencies in milliseconds, memory in KB (PSS).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from bench.crowd_seats import free_port
from bench.crowd_stage import Poster, ask, loop_cpu_s, message, metrics, pss_kb, seats, service

WEBINAR, BESIDE = "webinar", "beside"
PER_SECOND, PER_SECOND_BESIDE = 3.3, 40.0
VIEWERS_BESIDE = 5
SETTLE_S = 1.0
# Together more than a viewer may have waiting.
FILL_MESSAGES, FILL_LETTERS, FILL_PAUSE_S = 12, 48_000, 0.35

Figures = dict[str, float]


def keep_posting(port: int, slug: str, per_second: float, seconds: float) -> int:
    """Post drafts for so long, the pauses between them at random; return how many."""
    poster, began, due, posted = Poster(port), time.monotonic(), 0.0, 0
    while due < seconds:
        time.sleep(max(began + due - time.monotonic(), 0))
        poster.post("broadcast", message(slug))
        posted += 1
        # Evenly paced, two rooms would meet at the same few moments again and again.
        due += random.uniform(0.5, 1.5) / per_second
    return posted


class Stage:
    """The service with two rooms, and what is played there."""

    def __init__(
        self, port: int, pid: int, crowd: subprocess.Popen[str], beside: subprocess.Popen[str]
    ) -> None:
        self._port, self._pid, self._crowd, self._beside = port, pid, crowd, beside

    def play(self, seconds: float) -> Figures:
        """Post to both rooms for so long; return what the viewers saw and the service took."""
        ask(self._crowd, "forget")
        ask(self._beside, "forget")
        with self._beside_posted(seconds):
            said = metrics(self._port)
            posted = keep_posting(self._port, WEBINAR, PER_SECOND, seconds)
        time.sleep(SETTLE_S)
        passes_s = metrics(self._port)["ws_broadcast_loop_seconds_sum"]
        crowd, beside = ask(self._crowd, "report"), ask(self._beside, "report")
        assert crowd["complete"] == posted, crowd
        return {
            **_named("everyViewer", crowd["everyViewerMs"]),
            **_named("lastViewer", crowd["lastViewerMs"]),
            **_named("beside", beside["everyViewerMs"]),
            "passMs": (passes_s - said["ws_broadcast_loop_seconds_sum"]) / posted * 1e3,
            "readerCores": crowd["readerCores"],
        }

    def play_alone(self, seconds: float) -> float:
        """Post to the crowd only; return the loop's processor time in ms per message."""
        before = loop_cpu_s(self._pid)
        posted = keep_posting(self._port, WEBINAR, PER_SECOND, seconds)
        time.sleep(SETTLE_S)
        return (loop_cpu_s(self._pid) - before) / posted * 1e3

    def round(self, seconds: float) -> Figures:
        return {**self.play(seconds), "loopCpuMs": self.play_alone(seconds / 2)}

    def freeze(self, viewers: int) -> int:
        """Have so many stop reading, and post until all waits for them that may; return that."""
        ask(self._crowd, f"freeze {viewers}")
        for _ in range(FILL_MESSAGES):
            Poster(self._port).post("broadcast", message(WEBINAR, letters=FILL_LETTERS))
            time.sleep(FILL_PAUSE_S)
        ask(self._crowd, "report")  # answered when what came before is read
        return int(metrics(self._port)["viewer_buffered_bytes"])

    def thaw(self) -> None:
        """Have all read again, until nothing waits."""
        while metrics(self._port)["viewer_buffered_bytes"]:
            ask(self._crowd, "thaw")
            time.sleep(0.1)

    @contextmanager
    def _beside_posted(self, seconds: float) -> Iterator[None]:
        work = (self._port, BESIDE, PER_SECOND_BESIDE, seconds)
        thread = threading.Thread(target=keep_posting, args=work)
        thread.start()
        yield
        thread.join()


def _named(whose: str, latencies_ms: Figures) -> Figures:
    return {f"{whose}Ms{name.capitalize()}": value for name, value in latencies_ms.items()}


def medians(rounds: list[Figures]) -> Figures:
    return {name: round(median(each[name] for each in rounds), 2) for name in rounds[0]}


def measure(viewers: int, frozen: int, rounds: int, seconds: float) -> dict[str, Any]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, service(port, folder) as pid:
        for slug in (WEBINAR, BESIDE):
            Poster(port).post("start", {"sessionSlug": slug})
        with seats(port, BESIDE, VIEWERS_BESIDE) as beside:
            ask(beside, "report")  # what is loaded once is not a viewer's
            time.sleep(SETTLE_S)
            empty_kb = pss_kb(pid)
            with seats(port, WEBINAR, viewers) as crowd:
                ask(crowd, "report")
                time.sleep(SETTLE_S)
                idle_kb = (pss_kb(pid) - empty_kb) / viewers
                seen = alternate(Stage(port, pid, crowd, beside), frozen, rounds, seconds)
                Poster(port).post("broadcast", message(WEBINAR, is_final=True))
                time.sleep(SETTLE_S)
                said = metrics(port)
    left = {"viewersHungUpOn": said["viewers_slow_total"], "viewersLeft": said["viewers"]}
    return {"viewers": viewers, "idleViewerKb": round(idle_kb, 2), **seen, **left}


def alternate(stage: Stage, frozen: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Play with everybody reading and with ``frozen`` who do not, in turns."""
    stage.play(1.0)  # what comes first is cold
    reading, stopped, held = [], [], []
    for _ in range(rounds):
        stage.thaw()
        reading.append(stage.round(seconds))
        held.append(stage.freeze(frozen))
        stopped.append(stage.round(seconds))
    return {
        "everybodyReads": medians(reading),
        "someDoNot": medians(stopped),
        "frozen": frozen,
        "heldForEachBytes": min(held) // max(frozen, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=3000)
    parser.add_argument("--frozen", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that a round takes")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.viewers, asked.frozen, asked.rounds, asked.seconds)))


if __name__ == "__main__":
    main()

"""One session with a crowd of viewers, over a real service and real WebSockets.

The service runs as a process of its own, untouched; a second process holds all viewers and
reads them; this one posts drafts as another service would. All three share a clock. A
viewer's latency runs from before the post until its process has read the message; the time
until the last viewer has it is that of the webinar's slowest seat, the reading process's own
work included, which is printed beside.

    python -m bench.crowd [--viewers 3000] [--seconds 4] [--per-second 3.3]

The last line is one line of JSON: latencies in milliseconds, memory in KB (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from bench.crowd_seats import free_port, read_line

SLUG, SECRET = "webinar", "crowd" * 8
READY_TIMEOUT_S = 30.0
SETTLE_S = 1.0
FILL_MESSAGES, FILL_LETTERS, FILL_PAUSE_S = (
    12,
    48_000,
    0.4,
)  # together more than a viewer may have waiting


def post(port: int, path: str, body: object) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/realtime/transcribe/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def draft(number: int, letters: int = 64) -> dict[str, object]:
    """Return a draft that says when it was sent; drafts of one utterance replace each other."""
    stamp = str(time.monotonic_ns())
    text = stamp.ljust(max(letters, len(stamp)), ".")
    return {
        "type": "transcript", "sessionSlug": SLUG, "utteranceId": "u1", "isFinal": False,
        "text": text, "speaker": "Alice Example", "speakerId": "alice:1", "ts": number,
        "startedAt": 12.34, "endedAt": 15.9, "language": "en", "confidence": 0.92,
    }  # fmt: skip


@contextmanager
def service(port: int, folder: str) -> Iterator[int]:
    """Run the service for a block; yield its process id."""
    settings = {
        "PORT": str(port), "RTMP_INTERNAL_PORT": str(free_port()), "DATABASE_URL": "none",
        "INTERNAL_SECRET": SECRET, "LOG_LEVEL": "warning", "DATA_DIR": folder,
        "GLADIA_API_URL": "http://127.0.0.1:9", "GLADIA_API_KEY": "none",
    }  # fmt: skip
    command = [sys.executable, "-m", "realtime_core", "serve"]
    with subprocess.Popen(command, env=os.environ | settings, cwd=folder) as process:
        try:
            wait_until_ready(port)
            yield process.pid
        finally:
            process.terminate()


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def seats(port: int, viewers: int) -> Iterator[subprocess.Popen[str]]:
    """Run the viewers' process for a block. It obeys lines, and answers each with a line."""
    command = [sys.executable, "-m", "bench.crowd_seats", str(port), SLUG, str(viewers)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], command: str) -> dict[str, Any]:
    assert process.stdin
    print(command, file=process.stdin, flush=True)
    assert process.stdout
    return cast(dict[str, Any], json.loads(read_line(process.stdout)))


def pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


class Webinar:
    """Drafts to all viewers, at a pace."""

    def __init__(self, port: int, pid: int, crowd: subprocess.Popen[str]) -> None:
        self._port, self._pid, self._crowd = port, pid, crowd
        self._numbers = count(1)

    def run(self, seconds: float, per_second: float) -> dict[str, Any]:
        """Post for so long; return what the viewers saw and what the service took for it."""
        ask(self._crowd, "forget")
        before, began = cpu_s(self._pid), time.monotonic()
        messages = int(seconds * per_second)
        for number in range(messages):
            time.sleep(max(began + number / per_second - time.monotonic(), 0))
            post(self._port, "broadcast", draft(next(self._numbers)))
        time.sleep(SETTLE_S)
        cores = (cpu_s(self._pid) - before) / (messages / per_second)
        return {"posted": messages, **ask(self._crowd, "report"), "serviceCores": round(cores, 3)}

    def fill(self) -> None:
        """Post so much that whoever does not read has all waiting that may wait."""
        for _ in range(FILL_MESSAGES):
            post(self._port, "broadcast", draft(next(self._numbers), FILL_LETTERS))
            time.sleep(FILL_PAUSE_S)
        ask(self._crowd, "report")  # answered when what came before is read
        time.sleep(SETTLE_S)


def measure(viewers: int, seconds: float, per_second: float) -> dict[str, Any]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, service(port, folder) as pid:
        post(port, "start", {"sessionSlug": SLUG})
        with seats(port, 20) as few:  # what is loaded once is not a viewer's
            ask(few, "report")
        time.sleep(SETTLE_S)
        empty_kb = pss_kb(pid)
        with seats(port, viewers) as crowd:
            ask(crowd, "report")
            time.sleep(SETTLE_S)
            idle_kb = pss_kb(pid)
            webinar = Webinar(port, pid, crowd)
            awake = webinar.run(seconds, per_second)
            ask(crowd, "freeze")
            webinar.fill()
            frozen = webinar.run(seconds, per_second)
            held = metric(port, "viewer_buffered_bytes")
            return {
                "viewers": viewers,
                "idleViewerKb": round((idle_kb - empty_kb) / viewers, 2),
                "emptyServiceKb": empty_kb,
                "crowd": awake,
                "crowdWithOneFrozen": frozen,
                "heldForTheFrozenBytes": int(held),
                "viewersLeft": int(metric(port, "viewers")),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=3000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--per-second", type=float, default=3.3)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.viewers, asked.seconds, asked.per_second)))


if __name__ == "__main__":
    main()

"""What ``bench.crowd`` plays on: the service, and processes of viewers, each with its orders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

from bench.crowd_seats import free_port, read_line

SECRET = "crowd" * 8
READY_TIMEOUT_S = 30.0


class Poster:
    """One kept connection on which transcripts and orders are posted."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"}

    def post(self, path: str, body: object) -> None:
        """Post, and wait for the answer."""
        path = f"/api/realtime/transcribe/{path}"
        self._connection.request("POST", path, json.dumps(body).encode(), self._headers)
        with self._connection.getresponse() as answer:
            answer.read()
            assert answer.status < 300, answer.status


def message(slug: str, *, letters: int = 64, is_final: bool = False) -> dict[str, object]:
    """Return a transcript that says when it was sent; those of one utterance replace each other."""
    stamp = str(time.monotonic_ns())
    return {
        "type": "transcript", "sessionSlug": slug, "utteranceId": "u1", "isFinal": is_final,
        "text": stamp.ljust(letters, "."), "speaker": "Alice Example", "speakerId": "alice:1",
        "ts": 1, "startedAt": 12.34, "endedAt": 15.9, "language": "en", "confidence": 0.92,
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
            _wait_until_ready(port)
            yield process.pid
        finally:
            process.terminate()


def _wait_until_ready(port: int) -> None:
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
def seats(port: int, slug: str, viewers: int) -> Iterator[subprocess.Popen[str]]:
    """Run a process of viewers for a block. It obeys lines, and answers each with a line."""
    command = [sys.executable, "-m", "bench.crowd_seats", str(port), slug, str(viewers)]
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


def loop_cpu_s(pid: int) -> float:
    """Return the processor time of the service's first thread, which is the event loop's."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def metrics(port: int) -> dict[str, float]:
    """Return what the service says of itself, but for what has labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#") and "{" not in line]
    return {name: float(value) for name, value, *_ in pairs}

"""A conversation to try the service with: Alice and Bob, ten turns, 53 seconds.

These functions read small files; call them where blocking is fine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says in one go.

    Attributes:
        identity: ``userId:sessionId``, as in reports of the active speaker.
        from_s: When the first sound of it is heard, in seconds since the file's start.
        to_s: When the last sound of it is heard, likewise.
        text: What is said, in English, with punctuation.
    """

    identity: str
    name: str
    from_s: float
    to_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Files:
    """Where the three files are: audio, turns as JSON, reference text."""

    conversation: Path
    turns: Path
    reference: Path


@contextmanager
def files() -> Iterator[Files]:
    """Yield the files' paths, for programs that want files; good within the block."""
    # Wheels are unpacked, so nothing has to be copied or cleaned up today.
    yield Files(conversation_path(), _FOLDER / "conversation.json", _FOLDER / "conversation.txt")


def conversation_path() -> Path:
    """Return where the audio is: AAC in MP4, 48 kHz, mono."""
    return _FOLDER / "conversation.m4a"


def turns() -> Sequence[Turn]:
    """Return who speaks when, in order; turns never overlap."""
    entries = json.loads((_FOLDER / "conversation.json").read_text("utf-8"))
    return tuple(
        Turn(each["identity"], each["name"], each["from"], each["to"], each["text"])
        for each in entries
    )


def reference_text() -> str:
    """Return what is said, one line per turn: what a recogniser is measured against."""
    return (_FOLDER / "conversation.txt").read_text("utf-8")

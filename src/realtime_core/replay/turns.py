"""What stands beside a recording: who speaks when, and what is said."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_core.errors import ConfigurationError

FORM = 'a JSON list of {"identity", "name", "from", "to"}, the last two in seconds'


@dataclass(frozen=True, slots=True)
class Turn:
    """One speaker's turn in a recording, in seconds from its start."""

    identity: str
    name: str
    from_s: float
    to_s: float


def read_turns(path: Path) -> list[Turn]:
    """Return the turns in a file; blocks.

    Raises:
        ConfigurationError: There is no such file, or something else is in it.
    """
    try:
        return parse_turns(read_text(path))
    except ValueError as exc:
        raise ConfigurationError(f"{path}: {exc}; it has to be {FORM}") from None


def read_text(path: Path) -> str:
    """Return what is in a text file; blocks.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"{path}: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not text in UTF-8") from None


def parse_turns(text: str) -> list[Turn]:
    """Return the turns that ``text`` lists; what else is said of a turn is ignored.

    Raises:
        ValueError: It is no list of turns; the text says what is wrong.
    """
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(entries, list):
        raise ValueError("not a list")
    return [_turn(number, entry) for number, entry in enumerate(entries, 1)]


def speaking(turns: Sequence[Turn], at_s: float) -> list[Turn]:
    """Return the turns that are under way."""
    return [turn for turn in turns if turn.from_s <= at_s < turn.to_s]


def _turn(number: int, entry: Any) -> Turn:
    try:
        who = (entry["identity"], entry["name"])
        from_s, to_s = float(entry["from"]), float(entry["to"])
    except KeyError as exc:
        raise ValueError(f"turn {number} has no {exc}") from None
    except (TypeError, ValueError):
        raise ValueError(f"turn {number} is malformed") from None
    if not all(isinstance(each, str) and each for each in who):
        raise ValueError(f"turn {number}: identity and name have to be text")
    if not (math.isfinite(to_s) and 0 <= from_s <= to_s):
        raise ValueError(f"turn {number} has to begin at 0 or later, and then to end")
    return Turn(*who, from_s, to_s)

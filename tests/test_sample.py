"""The sample conversation is what its papers say, and its times are those of its sound."""

from __future__ import annotations

import json
import shutil
import subprocess
from array import array
from itertools import pairwise

import imageio_ffmpeg
import pytest

from realtime_core import sample
from realtime_core.model import BYTES_PER_SECOND, SAMPLE_RATE_HZ, seconds_of

AUDIBLE = 500
EDGE_S = 0.05
"""AAC smears a sound by at most this much at its edges."""


def test_two_speakers_take_turns() -> None:
    names = [(turn.identity, turn.name) for turn in sample.turns()]
    assert set(names) == {("alice:1", "Alice"), ("bob:1", "Bob")}
    assert all(one != next_one for one, next_one in pairwise(names))
    assert 8 <= len(names) <= 10


def test_turns_are_in_order_with_pauses_between() -> None:
    turns = sample.turns()
    assert all(turn.from_s < turn.to_s for turn in turns)
    pauses = [later.from_s - earlier.to_s for earlier, later in pairwise(turns)]
    assert all(0.75 <= pause <= 1.25 for pause in pauses)


def test_the_reference_text_is_what_the_turns_say() -> None:
    assert sample.reference_text().splitlines() == [turn.text for turn in sample.turns()]


def test_programs_get_all_three_files() -> None:
    with sample.files() as files:
        assert files.conversation == sample.conversation_path()
        assert files.reference.read_text("utf-8") == sample.reference_text()
        assert len(json.loads(files.turns.read_text("utf-8"))) == len(sample.turns())


def test_the_file_is_small_enough_to_ship() -> None:
    assert sample.conversation_path().stat().st_size < 600_000


@pytest.fixture(scope="module", params=["installed", "embedded"])
def pcm(request: pytest.FixtureRequest) -> bytes:
    """The conversation, decoded by each FFmpeg that a user may have."""
    embedded = imageio_ffmpeg.get_ffmpeg_exe()
    installed = shutil.which("ffmpeg") or embedded
    program = embedded if request.param == "embedded" else installed
    arguments = ("-v", "error", "-i", str(sample.conversation_path()), "-ac", "1", "-ar")
    command = [program, *arguments, str(SAMPLE_RATE_HZ), "-f", "s16le", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.ffmpeg
def test_it_lasts_about_a_minute_and_ends_after_the_last_turn(pcm: bytes) -> None:
    length_s = seconds_of(len(pcm))
    assert 45 <= length_s <= 60
    assert sample.turns()[-1].to_s < length_s


@pytest.mark.ffmpeg
def test_there_is_sound_in_turns_and_silence_between(pcm: bytes) -> None:
    turns = sample.turns()
    for turn in turns:
        assert loudest(pcm, turn.from_s, turn.from_s + 0.3) > AUDIBLE
        assert loudest(pcm, turn.to_s - 0.3, turn.to_s) > AUDIBLE
    edges = [0.0, *(edge for turn in turns for edge in (turn.from_s, turn.to_s)), 60.0]
    for start_s, end_s in zip(edges[::2], edges[1::2], strict=True):
        assert loudest(pcm, start_s + EDGE_S, end_s - EDGE_S) < AUDIBLE


def loudest(pcm: bytes, start_s: float, end_s: float) -> int:
    start, end = (round(at * SAMPLE_RATE_HZ) * 2 for at in (start_s, end_s))
    assert start < len(pcm) <= 60 * BYTES_PER_SECOND
    return max(abs(value) for value in array("h", pcm[max(0, start) : end]))

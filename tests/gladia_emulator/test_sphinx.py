import asyncio
import io
import json
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from gladia_emulator import sphinx, sphinx_worker
from gladia_emulator.recognizer import Onset
from gladia_emulator.scripted import silence
from gladia_emulator.sphinx import RecognizerUnavailable, SphinxRecognizer
from gladia_emulator.sphinx_worker import ENDED, GREW, HEADER
from tests.gladia_emulator.client import BYTES_PER_SECOND, Client, quick

MEETING = Path(__file__).parents[1] / "data" / "sphinx_meeting.wav"
SENTENCE = "the meeting will begin on thursday morning"
WAV_HEADER_BYTES = 44
SPOKEN = silence(0.3) + MEETING.read_bytes()[WAV_HEADER_BYTES:] + silence(0.5)


@dataclass
class Segment:
    word: str
    start_frame: int
    end_frame: int
    prob: float


class FakeDecoder:
    """Hears one word for every request and notes the order of its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start_utt(self) -> None:
        self.calls.append("start")

    def end_utt(self) -> None:
        self.calls.append("end")

    def process_raw(self, pcm: bytes, no_search: bool, full_utt: bool) -> None:
        assert len(pcm) <= sphinx_worker.PIECE_BYTES
        self.calls.append("audio")

    def seg(self) -> list[Segment]:
        return [Segment("<s>", 0, 9, 1.0), Segment("two(2)", 10, 49, 0.25)]


def test_worker_answers_each_request_and_ends_with_its_input() -> None:
    requests = b"".join(HEADER.pack(kind, 4_000) + bytes(4_000) for kind in (GREW, ENDED, GREW))
    decoder, answers = FakeDecoder(), io.BytesIO()
    sphinx_worker.serve(decoder, io.BytesIO(requests), answers)
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    draft, final = [["two", 0.1, 0.5, 0.5]], [["two", 0.1, 0.5, 0.25]]
    assert lines == ["ready", draft, final, draft]
    assert decoder.calls == ["start", *["audio"] * 4, "end", "start", *["audio"] * 2]


def test_fillers_are_no_words() -> None:
    segments = [Segment(word, 0, 9, 1.0) for word in ("<sil>", "[NOISE]", "++UH++", "yes")]
    assert [row[0] for row in sphinx_worker.words_of(segments, True)] == ["yes"]
    assert sphinx_worker.words_of(None, True) == []


@pytest.mark.slow
async def test_real_speech_is_recognised_through_the_whole_emulator() -> None:
    async with (
        quick(recognizer="pocketsphinx", workers=1) as emulator,
        aiohttp.ClientSession() as http,
    ):
        client = Client(emulator, http)
        session = await client.start(endpointing=0.4)
        async with client.socket(session["url"]) as socket:
            await socket.say(SPOKEN)
            await socket.stop()
            assert await socket.until_closed() == 1000
    said = [each["utterance"] for each in socket.finals]
    text = " ".join(each["text"].strip() for each in said)
    assert SENTENCE in text
    assert len(socket.drafts) >= 3
    bounds = [0.2, said[0]["start"], said[0]["words"][1]["start"], said[-1]["end"]]
    bounds.append(len(SPOKEN) / BYTES_PER_SECOND)
    assert bounds == sorted(bounds)
    assert {each["id"] for each in socket.drafts} == {each["id"] for each in socket.finals}


@pytest.mark.slow
async def test_utterances_wait_for_a_worker_and_a_dead_one_is_replaced() -> None:
    onset = Onset(0, 0.0, 0.0)
    async with SphinxRecognizer(workers=1) as recognizer:
        async with recognizer.hear(onset) as hearing:
            worker = hearing._worker
            assert worker._process is not None
            waiting = asyncio.create_task(heard(recognizer))
            await hearing.grew(SPOKEN, 2.0)
            worker._process.kill()
            after = await hearing.ended(b"", 2.0)
            assert not waiting.done()
        assert SENTENCE in " ".join(word.text for word in after.words)
        assert SENTENCE in await waiting


@pytest.mark.slow
async def test_abandoned_utterance_does_not_leak_into_the_next() -> None:
    async with SphinxRecognizer(workers=1) as recognizer:
        async with recognizer.hear(Onset(0, 0.0, 0.0)) as hearing:
            await hearing.grew(SPOKEN[: len(SPOKEN) // 2], 1.0)
        assert SENTENCE in await heard(recognizer)


async def heard(recognizer: SphinxRecognizer) -> str:
    """Return the text of the spoken sentence."""
    async with recognizer.hear(Onset(0, 0.0, 0.0)) as hearing:
        final = await hearing.ended(SPOKEN, 2.0)
    return " ".join(word.text for word in final.words)


async def test_worker_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sphinx, "WORKER", "gladia_emulator.nothing")
    with pytest.raises(RecognizerUnavailable, match="did not start"):
        async with SphinxRecognizer(workers=2):
            raise AssertionError("it started")


async def test_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sphinx, "LIBRARY", "no_such_library")
    with pytest.raises(RecognizerUnavailable, match="pip install"):
        async with SphinxRecognizer():
            raise AssertionError("it started")

"""Make the sample conversation: ``python bench/make_sample.py [--measure]``.

Two espeak-ng voices take turns; FFmpeg makes one AAC file of it. Words, voices and speeds
were chosen for what pocketsphinx understands: ``--measure`` prints its word error rate for
each sentence of the finished file. Needs espeak-ng and FFmpeg, and is needed only when the
conversation is to change.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import wave
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "realtime_core" / "sample"
RATE_HZ = 22_050
"""What espeak-ng speaks at."""

LEAD_IN_S, LEAD_OUT_S = 1.0, 1.5
PAUSES_S = (0.8, 1.0, 1.2, 0.9, 1.1)
"""Silence between turns, one after another and over again."""

BREATH_S = 0.5
"""Silence between two sentences of a turn."""

AUDIBLE = 300
"""Samples beyond this are speech; espeak-ng pads what it speaks with silence."""

AAC = ("-c:a", "aac", "-b:a", "64k", "-ar", "48000", "-ac", "1")
REPEATABLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact")


@dataclass(frozen=True)
class Voice:
    """One speaker: who it is, and how espeak-ng is to sound."""

    identity: str
    name: str
    variant: str
    pitch: int


@dataclass(frozen=True)
class Turn:
    """What a speaker says in one go: sentences, each with its words per minute."""

    voice: Voice
    sentences: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        return " ".join(sentence for sentence, _ in self.sentences)


ALICE = Voice("alice:1", "Alice", "en-us+f5", 60)
BOB = Voice("bob:1", "Bob", "en-us+f2", 15)

SCRIPT = (
    Turn(ALICE, (("We have three things to talk about today.", 150),)),
    Turn(BOB, (("How many people will come to the meeting?", 160),)),
    Turn(
        ALICE,
        (
            ("About twenty people from five different countries.", 150),
            ("We will start on Monday morning at nine.", 150),
        ),
    ),
    Turn(BOB, (("Is there anything else we need to know?", 150),)),
    Turn(
        ALICE,
        (
            ("The new system is much better than the old one.", 150),
            ("It will cost about two hundred thousand dollars.", 160),
        ),
    ),
    Turn(BOB, (("The price went up five percent last month.", 150),)),
    Turn(
        ALICE,
        (
            ("We made more money this year than last year.", 160),
            ("We can talk about the money next time.", 160),
        ),
    ),
    Turn(BOB, (("That is a good idea but we need more time.", 140),)),
    Turn(ALICE, (("Do you have any other questions?", 160),)),
    Turn(
        BOB,
        (("No that is all for today.", 130), ("Thank you and see you next week.", 150)),
    ),
)


def main() -> None:
    """Write the audio, the turns and the reference text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="print pocketsphinx's errors, too")
    arguments = parser.parse_args()
    samples, turns = conversation()
    encode(samples, FOLDER / "conversation.m4a")
    lines = json.dumps(turns, indent=2) + "\n"
    (FOLDER / "conversation.json").write_text(lines, "utf-8")
    text = "".join(f"{turn.text}\n" for turn in SCRIPT)
    (FOLDER / "conversation.txt").write_text(text, "utf-8")
    print(f"{len(samples) / RATE_HZ:.1f} s, {len(SCRIPT)} turns")
    if arguments.measure:
        measure(turns)


def conversation() -> tuple[array[int], list[dict[str, object]]]:
    """Speak the script; return the samples and each turn with its times in seconds."""
    samples, turns = silence(LEAD_IN_S), []
    for number, turn in enumerate(SCRIPT):
        if number:
            samples += silence(PAUSES_S[number % len(PAUSES_S)])
        start_s = len(samples) / RATE_HZ
        samples += spoken(turn)
        end_s = len(samples) / RATE_HZ
        who = {"identity": turn.voice.identity, "name": turn.voice.name}
        turns.append(who | {"from": round(start_s, 2), "to": round(end_s, 2), "text": turn.text})
    return samples + silence(LEAD_OUT_S), turns


def spoken(turn: Turn) -> array[int]:
    """Speak a turn, with a breath between its sentences."""
    samples = array("h")
    for text, words_per_minute in turn.sentences:
        if samples:
            samples += silence(BREATH_S)
        samples += sentence(turn.voice, text, words_per_minute)
    return samples


def sentence(voice: Voice, text: str, words_per_minute: int) -> array[int]:
    """Speak one sentence, without the silence around it."""
    how = ("-v", voice.variant, "-p", str(voice.pitch), "-s", str(words_per_minute), "-g", "2")
    wav = subprocess.run(["espeak-ng", *how, "--stdout", text], check=True, capture_output=True)
    # The header of a stream cannot know the length; what follows its 44 bytes is the sound.
    samples = array("h", wav.stdout[44 : len(wav.stdout) // 2 * 2])
    loud = [at for at, sample in enumerate(samples) if abs(sample) > AUDIBLE]
    return samples[loud[0] : loud[-1] + 1]


def silence(length_s: float) -> array[int]:
    """Return so much digital silence."""
    return array("h", bytes(2 * round(length_s * RATE_HZ)))


def encode(samples: array[int], path: Path) -> None:
    """Write AAC in MP4, byte for byte the same from the same FFmpeg."""
    wav = io.BytesIO()
    with wave.open(wav, "wb") as writer:
        writer.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    outlet = (*AAC, *REPEATABLE, "-movflags", "+faststart", str(path))
    command = ["ffmpeg", "-v", "error", "-y", "-i", "pipe:0", *outlet]
    subprocess.run(command, input=wav.getvalue(), check=True)


def measure(turns: list[dict[str, object]]) -> None:
    """Print the word error rate of each turn and of the whole, as a stranger would hear them."""
    wrong = total = 0
    for turn, heard in zip(turns, recognised(turns), strict=True):
        wanted = words(str(turn["text"]))
        errors = distance(wanted, words(heard))
        wrong, total = wrong + errors, total + len(wanted)
        print(f"{errors / len(wanted):5.2f}  {turn['name']}: {' '.join(wanted)}  <  {heard}")
    print(f"{wrong / total:5.2f}  in all")


def recognised(turns: list[dict[str, object]]) -> Iterator[str]:
    """Yield what pocketsphinx makes of each turn of the finished file."""
    from pocketsphinx import Decoder  # only this needs it

    command = ["ffmpeg", "-v", "error", "-i", str(FOLDER / "conversation.m4a")]
    raw = ("-ac", "1", "-ar", "16000", "-f", "s16le", "-")
    pcm = subprocess.run([*command, *raw], check=True, capture_output=True).stdout
    decoder = Decoder(loglevel="FATAL")
    for turn in turns:
        start, end = (round(float(str(turn[at])) * 16_000) * 2 for at in ("from", "to"))
        decoder.start_utt()
        decoder.process_raw(pcm[max(0, start - 8_000) : end + 8_000], full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        yield hypothesis.hypstr if hypothesis else ""


def words(text: str) -> list[str]:
    """Return the words alone, in lower case."""
    return re.findall(r"[a-z']+", text.lower())


def distance(wanted: list[str], heard: list[str]) -> int:
    """Return how many words are wrong, missing or too many."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(wanted, heard)


if __name__ == "__main__":
    main()

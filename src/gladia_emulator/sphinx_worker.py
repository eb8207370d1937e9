"""The process that runs PocketSphinx: one decoder, one utterance at a time.

The library holds the interpreter's lock while it decodes, so it may not share a process with an
event loop. Requests come on standard input as a letter, a length and as many bytes of PCM; each
is answered with one line of JSON on standard output::

    G  audio of the open utterance  ->  the words so far
    E  the last of the audio        ->  the final words; the next request opens an utterance

The first line out says that the model is loaded. The end of the input ends the process.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from typing import Any, BinaryIO

HEADER = struct.Struct("<cI")
GREW, ENDED = b"G", b"E"
PIECE_BYTES = 3_200
FRAMES_PER_SECOND = 100

CEPSTRAL_MEAN = "49,1,-2.4,20,-17,1.4,-22,-2.7,-4.5,-2.6,11,-13,6.8"
"""Where the decoder's running estimate starts, which goes on over utterances. Measured after some
synthetic speech; from the library's own start it gets most of the first sentences wrong."""

VARIANT = re.compile(r"\(\d+\)$")  # the dictionary's second pronunciations: "the(2)"
FILLER = re.compile(r"[<\[+].*")  # <s>, <sil>, [NOISE], ++UH++

Row = tuple[str, float, float, float]


def words_of(segments: Any, confident: bool) -> list[Row]:
    """Return word, begin, end (seconds into the audio) and confidence of a decoder's segments."""
    rows: list[Row] = []
    for segment in segments or ():
        if not FILLER.match(segment.word):
            begin_s = segment.start_frame / FRAMES_PER_SECOND
            end_s = (segment.end_frame + 1) / FRAMES_PER_SECOND
            # Posteriors exist only once the utterance is over.
            share = min(max(segment.prob, 0.0), 1.0) if confident else 0.5
            rows.append((VARIANT.sub("", segment.word), begin_s, end_s, share))
    return rows


class Decoding:
    """The decoder and whether an utterance is open in it."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._open = False

    def take(self, kind: bytes, pcm: bytes) -> list[Row]:
        """Decode more audio and return the words so far, or the final ones."""
        if not self._open:
            self._decoder.start_utt()
        self._open = True
        for start in range(0, len(pcm), PIECE_BYTES):
            self._decoder.process_raw(pcm[start : start + PIECE_BYTES], False, False)
        if kind == ENDED:
            self._decoder.end_utt()
            self._open = False
        return words_of(self._decoder.seg(), confident=kind == ENDED)


def serve(decoder: Any, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    decoding = Decoding(decoder)
    _answer(answers, "ready")
    while len(header := requests.read(HEADER.size)) == HEADER.size:
        kind, length = HEADER.unpack(header)
        _answer(answers, decoding.take(kind, requests.read(length)))


def _answer(answers: BinaryIO, value: object) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


def main() -> None:
    """Load the model that comes with the library, and serve."""
    from pocketsphinx import Decoder  # an optional dependency, and slow to import

    serve(Decoder(loglevel="FATAL", cmninit=CEPSTRAL_MEAN), sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()

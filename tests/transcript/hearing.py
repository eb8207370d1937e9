"""What a provider says, in one line; and what viewers make of the answers."""

from collections.abc import Iterable

from realtime_core.model import FinalizedBy, SpeechHeard, Transcript, Word
from realtime_core.transcript.assembler import Assembler
from realtime_core.transcript.speakers import SpeakerTimeline

TIMEOUT_S = 5.0


def said(
    text: str,
    start_s: float = 10.0,
    end_s: float = 12.0,
    *,
    key: str = "00_00000000",
    session: str = "de0a341d-1b2c-4f6e",
    final: bool = False,
    words: Iterable[Word] = (),
    speaker: str | None = None,
) -> SpeechHeard:
    return SpeechHeard(
        session, key, text, final, start_s, end_s, received_at=0.0, words=tuple(words),
        speaker=speaker,
    )  # fmt: skip


def final(
    text: str,
    start_s: float = 10.0,
    end_s: float = 12.0,
    *,
    key: str = "00_00000000",
    session: str = "de0a341d-1b2c-4f6e",
) -> SpeechHeard:
    return said(text, start_s, end_s, key=key, session=session, final=True)


class Room:
    """An assembler, the two clocks in step, and a viewer who upserts what it is sent.

    The viewer checks what no message may ever break: numbering without gaps, and nothing
    but finals after a final.
    """

    def __init__(self, speakers: SpeakerTimeline | None = None) -> None:
        self.now = 100.0
        self.assembler = Assembler(
            "weekly", speakers or SpeakerTimeline(), draft_timeout_s=TIMEOUT_S
        )
        self.sent: list[Transcript] = []
        self.shown: dict[str, Transcript] = {}

    def hear(self, *messages: SpeechHeard) -> list[Transcript]:
        sent: list[Transcript] = []
        for heard in messages:
            sent += self._see(self.assembler.hear(heard, self.now, self.now))
        return sent

    def wait(self, seconds: float) -> list[Transcript]:
        """Let time pass; time-outs happen on the dot, as a timer would make them."""
        sent: list[Transcript] = []
        end = self.now + seconds
        while (due := self.assembler.due_at()) is not None and due <= end:
            self.now = max(self.now, due)
            sent += self._see(self.assembler.expire(self.now, self.now))
        self.now = end
        return sent

    def finish(self) -> list[Transcript]:
        return self._see(self.assembler.finish(self.now, self.now))

    def captions(self) -> list[tuple[str, FinalizedBy | None]]:
        """What a viewer reads, in the order of speech."""
        rows = sorted(self.shown.values(), key=lambda row: row.start_s)
        return [(row.text, row.finalized_by) for row in rows if row.text]

    def _see(self, transcripts: Iterable[Transcript]) -> list[Transcript]:
        seen = list(transcripts)
        for each in seen:
            before = self.shown.get(each.utterance_id)
            assert each.seq == len(self.sent) + 1
            assert each.rev == (before.rev + 1 if before else 1)
            assert each.is_final or not (before and before.is_final)
            assert each.is_final == (each.finalized_by is not None)
            self.sent.append(each)
            self.shown[each.utterance_id] = each
        return seen

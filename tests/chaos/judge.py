"""Compares what was spoken with what viewers saw and what the table holds. Pure.

An utterance is *expected* unless one of these excuses it; nothing else does, not the
speech-to-text, not the database, not the decoder:

- its publisher had no live connection at some time of it, or the connection broke within half
  a second after it: its audio never came, or only a part of it;
- the service was killed (SIGKILL), or asked a second time to end, while it was spoken or within
  two seconds after it: its audio died with the process. Speech-to-text is well at that moment: the
  storm sees to it.

Even then every draft that a viewer saw has to end in one final, and every final that a viewer
saw has to be in the table. The text of an expected utterance may be shorter than it was spoken
only when the emulator was told to keep its final back for longer than a draft is waited for.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.chaos.tape import Spoken
from tests.chaos.view import View

MATCHED_WITHIN_S = 30.0
"""How wrong a time may be for an utterance to be known by its frequency; a round lasts longer."""
OVERLAP_S = 0.2
"""By how much two halves of one utterance may overlap: its pieces are dated apart."""
SHIFTED_S = 0.15
"""A time that is further off is wrong; less is reported."""
WRONGS = ("lost", "doubled", "unended", "not_stored", "missed", "mangled", "strange", "shifted")
FREQUENCY = re.compile(r"^utterance f(\d{4})\b")


@dataclass(frozen=True, slots=True)
class Span:
    """A time at which something was wrong, in Unix seconds; ``slug`` None: for all sessions."""

    slug: str | None
    from_at: float
    to_at: float

    def touches(self, spoken: Spoken) -> bool:
        """Whether any of it was spoken then."""
        is_its = self.slug is None or self.slug == spoken.slug
        return is_its and self.from_at < spoken.end_at and spoken.start_at < self.to_at


@dataclass(frozen=True, slots=True)
class Final:
    """A final as the table, or a viewer, has it in the end. Moments are Unix times."""

    slug: str
    utterance_id: str
    rev: int
    seq: int
    text: str
    start_at: float
    end_at: float
    finalized_by: str = "stt"
    epoch: str = ""


@dataclass
class Evidence:
    """All that is known at the end of a run.

    Attributes:
        excuses: Times that excuse what was spoken then.
        withheld: Times at which finals were kept back on purpose.
        views: What each viewer saw.
    """

    spoken: Sequence[Spoken]
    rows: Sequence[Final]
    views: Sequence[View]
    excuses: Sequence[Span] = ()
    withheld: Sequence[Span] = ()


@dataclass
class Verdict:
    """What came out; each list says what is wrong in words.

    Attributes:
        shifts_s: How much too late each expected utterance is dated, as against the first of
            its session, which tells where the session's clock begins.
        latencies_s: From the end of each expected utterance to its final at a viewer.
    """

    expected: int = 0
    excused: int = 0
    seen: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)
    not_stored: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    mangled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    shifted: list[str] = field(default_factory=list)
    disorder: Counter[str] = field(default_factory=Counter)
    gaps: int = 0
    shifts_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    zeros_s: dict[str, float] = field(default_factory=dict)

    @property
    def wrongs(self) -> list[str]:
        """All that is wrong, kind by kind."""
        told = [f"{kind}: {each}" for kind in WRONGS for each in getattr(self, kind)]
        return told + [f"disorder: {what} ({count})" for what, count in self.disorder.items()]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.wrongs


def judge(evidence: Evidence) -> Verdict:
    """Compare."""
    verdict = Verdict()
    heard, strange = matched(evidence.spoken, evidence.rows)
    _judge_strange(evidence, strange, verdict)
    for spoken in evidence.spoken:
        _judge_utterance(evidence, spoken, heard[spoken], verdict)
    for view in evidence.views:
        _judge_view(evidence, view, verdict)
    gaps = {(view.slug, gap) for view in evidence.views for gap in view.gaps}
    verdict.gaps = len(gaps)
    return verdict


def matched(
    spoken: Iterable[Spoken], finals: Iterable[Final]
) -> tuple[Mapping[Spoken, list[Final]], list[Final]]:
    """Return the finals of each utterance, without those that take it back, and what is none."""
    by_sound: dict[tuple[str, int], list[Spoken]] = defaultdict(list)
    for each in spoken:
        by_sound[each.slug, each.frequency_hz].append(each)
    heard: dict[Spoken, list[Final]] = defaultdict(list)
    strange: list[Final] = []
    for final in finals:
        if not final.text:
            continue
        sound = FREQUENCY.match(final.text)
        known = by_sound[final.slug, int(sound[1])] if sound else []
        nearest = min(known, key=lambda each: abs(each.start_at - final.start_at), default=None)
        if nearest is None or abs(nearest.start_at - final.start_at) > MATCHED_WITHIN_S:
            strange.append(final)
        else:
            heard[nearest].append(final)
    return heard, strange


def _judge_utterance(
    evidence: Evidence, spoken: Spoken, finals: Sequence[Final], verdict: Verdict
) -> None:
    verdict.doubled += [
        f"{_told(spoken)} as {one.utterance_id} and {other.utterance_id}"
        for one, other in doubles(finals)
    ]
    if _is_excused(evidence, spoken):
        verdict.excused += 1
        return
    verdict.expected += 1
    if not finals:
        verdict.lost.append(_told(spoken))
        return
    verdict.stored += 1
    names = {final.utterance_id for final in finals}
    came_at = [v.first_at[n] for v in evidence.views for n in names & v.first_at.keys()]
    verdict.seen += any(names & view.seen.keys() for view in evidence.views)
    verdict.latencies_s += [min(came_at) - spoken.end_at] if came_at else []
    if any(final.text == spoken.text for final in finals):
        _judge_time(spoken, finals[0].start_at, verdict)
    elif not any(span.touches(spoken) for span in evidence.withheld):
        texts = " | ".join(f"{final.text} ({final.finalized_by})" for final in finals)
        verdict.mangled.append(f"{_told(spoken)} became {texts}")


def _judge_time(spoken: Spoken, start_at: float, verdict: Verdict) -> None:
    late_s = start_at - spoken.start_at
    shift_s = late_s - verdict.zeros_s.setdefault(spoken.slug, late_s)
    verdict.shifts_s.append(shift_s)
    if abs(shift_s) > SHIFTED_S:
        verdict.shifted.append(f"{_told(spoken)} by {shift_s:.2f} s")


def doubles(finals: Sequence[Final]) -> Iterator[tuple[Final, Final]]:
    """Yield the finals of one utterance that stand for the same time of it."""
    ordered = sorted(finals, key=lambda final: final.start_at)
    for one, other in pairwise(ordered):
        if other.start_at < one.end_at - OVERLAP_S:
            yield one, other


def _judge_strange(evidence: Evidence, strange: Iterable[Final], verdict: Verdict) -> None:
    broken = [each for each in evidence.spoken if _is_excused(evidence, each)]
    for final in strange:
        # A piece of a broken utterance may be too short, or too torn, to be recognised.
        piece = Span(final.slug, final.start_at - OVERLAP_S, final.end_at + OVERLAP_S)
        if not any(piece.touches(each) for each in broken):
            verdict.strange.append(
                f"{final.slug} {final.utterance_id} at {final.start_at:.2f}: {final.text}"
            )


def _is_excused(evidence: Evidence, spoken: Spoken) -> bool:
    return any(span.touches(spoken) for span in evidence.excuses)


def _judge_view(evidence: Evidence, view: View, verdict: Verdict) -> None:
    rows = {row.utterance_id: row for row in evidence.rows if row.slug == view.slug}
    for name, (rev, text) in view.seen.items():
        row = rows.get(name)
        if row is None or row.rev < rev or (row.rev == rev and row.text != text):
            verdict.not_stored.append(f"{view.slug} {name} rev {rev}: {text}")
    open_still = (view.drafted - rows.keys()) | (view.drafts.keys() if view.is_over else set())
    verdict.unended += [f"{view.slug} {name}" for name in sorted(open_still)]
    verdict.missed += [
        f"{view.slug} {row.utterance_id} seq {row.seq} of {view.seq}: {row.text}"
        for row in rows.values()
        if row.epoch in ("", view.epoch)
        and view.whole_after < row.seq <= (view.seq or 0)
        and view.seen.get(row.utterance_id, (0, ""))[0] < row.rev
    ]
    verdict.disorder += view.faults
    spoken = [each for each in evidence.spoken if each.slug == view.slug]
    for each, finals in matched(spoken, _on_screen(view, rows))[0].items():
        verdict.doubled += [
            f"{_told(each)} on a screen as {one.utterance_id} and {other.utterance_id}"
            for one, other in doubles(finals)
        ]


def _on_screen(view: View, rows: Mapping[str, Final]) -> list[Final]:
    # The table tells where the session clock begins; what it lacks is told elsewhere.
    zeros = [rows[name].start_at - s.start_s for name, s in view.finals.items() if name in rows]
    zero_at = zeros[0] if zeros else 0.0
    return [
        Final(view.slug, name, s.rev, s.seq, s.text, zero_at + s.start_s, zero_at + s.end_s)
        for name, s in view.finals.items()
    ]


def _told(spoken: Spoken) -> str:
    length_s = spoken.end_at - spoken.start_at
    return f"{spoken.slug} f{spoken.frequency_hz:04d} at {spoken.start_at:.2f} for {length_s:.1f} s"

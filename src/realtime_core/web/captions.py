"""Stored finals as caption files: WebVTT, SubRip, plain text and JSON. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from html import escape
from typing import Any
from urllib.parse import quote

from realtime_core.model import FinalRow

LEAST_CUE_S = 0.5
"""How long a cue is shown at least: players skip those without extent, readers shorter ones."""


class CaptionFormat(Enum):
    """What a transcript can be had as; the value is the one of ``?format=``."""

    JSON = "json"
    VTT = "vtt"
    SRT = "srt"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class _Cue:
    """A row on one line, in whole milliseconds since the origin."""

    row: FinalRow
    start_ms: int
    end_ms: int
    speaker: str
    text: str


def render(
    rows: Sequence[FinalRow], caption_format: CaptionFormat, *, origin: float | None = None
) -> tuple[str, str]:
    """Return content type and body of the captions; the body is to be encoded in UTF-8.

    One cue per utterance, in the order of speech; rows whose text is empty were retracted
    and are left out. What began before the origin is shown from 0 on.

    Args:
        origin: Unix seconds that the captions count from, as a rule the session's start;
            None means the beginning of the first utterance.
    """
    shown = sorted((row for row in rows if _line(row.text)), key=lambda row: row.started_at)
    if origin is None:
        origin = shown[0].started_at if shown else 0.0
    cues = [_cue(row, origin) for row in shown]
    match caption_format:
        case CaptionFormat.JSON:
            return "application/json; charset=utf-8", _json(cues)
        case CaptionFormat.VTT:
            return "text/vtt; charset=utf-8", _vtt(cues)
        case CaptionFormat.SRT:
            return "application/x-subrip; charset=utf-8", _srt(cues)
        case CaptionFormat.TXT:
            return "text/plain; charset=utf-8", _txt(cues)


def _vtt(cues: Sequence[_Cue]) -> str:
    blocks = ["WEBVTT", *(_vtt_cue(cue) for cue in cues)]
    return "\n\n".join(blocks) + "\n"


def _vtt_cue(cue: _Cue) -> str:
    # Quoted, an id holds neither spaces nor "-->", and different ids stay different.
    cue_id = quote(cue.row.utterance_id, safe=":~")
    times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
    # ">" is escaped too, so that no "-->" is left in the text and no name ends its tag.
    text = escape(cue.text, quote=False)
    speaker = escape(cue.speaker, quote=False)
    spoken = f"<v {speaker}>{text}</v>" if speaker else text
    return "\n".join([*([cue_id] if cue_id else []), times, spoken])


def _srt(cues: Sequence[_Cue]) -> str:
    return "\n".join(_srt_cue(number, cue) for number, cue in enumerate(cues, start=1))


def _srt_cue(number: int, cue: _Cue) -> str:
    times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
    # SubRip has no escapes; some players take any line with an arrow for a line of times.
    return f"{number}\n{times}\n{_named(cue).replace('-->', '→')}\n"


def _txt(cues: Sequence[_Cue]) -> str:
    # Whole seconds are cut, not rounded: nobody speaks before the time that is shown.
    return "".join(f"[{_clock(cue.start_ms, '.')[:-4]}] {_named(cue)}\n" for cue in cues)


def _json(cues: Sequence[_Cue]) -> str:
    # Cue by cue: one call for all of them would keep every other thread waiting.
    items = ", ".join(json.dumps(_json_cue(cue), ensure_ascii=False) for cue in cues)
    return f'{{"transcripts": [{items}]}}'


def _json_cue(cue: _Cue) -> dict[str, Any]:
    """Return a row with the names of the protocol's ``transcript``.

    ``startedAt``, ``endedAt`` and the words count seconds from the origin; the same moments
    of the day have names that end in ``Time``.
    """
    row = cue.row
    return {
        "sessionSlug": row.session_slug,
        "epoch": row.epoch,
        "utteranceId": row.utterance_id,
        "text": row.text,
        "isFinal": True,
        "speaker": row.speaker,
        "speakerId": row.speaker_id,
        "seq": row.seq,
        "rev": row.rev,
        "startedAt": cue.start_ms / 1000,
        "endedAt": cue.end_ms / 1000,
        "startedAtTime": _iso(row.started_at),
        "endedAtTime": _iso(row.ended_at),
        "receivedAtTime": _iso(row.received_at),
        "language": row.language,
        "confidence": row.confidence,
        "speakerConfidence": row.speaker_confidence,
        "finalizedBy": row.finalized_by.value,
        "words": list(_json_words(cue)),
        **_json_speakers(row),
    }


def _json_speakers(row: FinalRow) -> dict[str, Any]:
    if not row.speakers:
        return {}
    return {
        "speakers": [
            {"id": each.speaker_id, "name": each.speaker, "share": each.share}
            for each in row.speakers
        ]
    }


def _json_words(cue: _Cue) -> Iterator[dict[str, Any]]:
    """Yield the words on the captions' clock.

    A row keeps them on the session clock and does not know where that began; but an
    utterance begins with its first word.
    """
    words = cue.row.words
    shift_s = cue.start_ms / 1000 - min((word.start_s for word in words), default=0.0)
    for word in words:
        yield {
            "word": word.text,
            "start": round(word.start_s + shift_s, 3),
            "end": round(word.end_s + shift_s, 3),
            "confidence": word.confidence,
            "speakerId": word.speaker_id,
        }


def _cue(row: FinalRow, origin: float) -> _Cue:
    start_ms = _milliseconds(row.started_at - origin)
    end_ms = max(_milliseconds(row.ended_at - origin), start_ms + round(LEAST_CUE_S * 1000))
    return _Cue(row, start_ms, end_ms, _line(row.speaker), _line(row.text))


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000)) if math.isfinite(seconds) else 0


def _line(text: str) -> str:
    """Return the text on one line: an empty line would end a cue, and NUL ends files."""
    return " ".join(text.replace("\0", "").split())


def _named(cue: _Cue) -> str:
    return f"{cue.speaker}: {cue.text}" if cue.speaker else cue.text


def _clock(milliseconds: int, point: str) -> str:
    """Return ``HH:MM:SS.mmm``, with more digits for the hours where they are needed."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{thousandths:03}"


def _iso(unix_s: float) -> str:
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

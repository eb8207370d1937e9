"""A final as bytes of the journal, and as columns of the table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from realtime_core.model import FinalizedBy, FinalRow, SpeakerShare, Word

COLUMNS: Mapping[str, str] = {
    "session_slug": "text",
    "epoch": "text",
    "utterance_id": "text",
    "rev": "int",
    "seq": "bigint",
    "text": "text",
    "speaker": "text",
    "speaker_id": "text",
    "speaker_confidence": "real",
    "language": "text",
    "confidence": "real",
    "words": "jsonb",
    "finalized_by": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "received_at": "timestamptz",
    "speakers": "jsonb",
}
"""The columns we write, in order, with their types; each is a field of ``FinalRow``."""


class StoredRun(NamedTuple):
    """One run of a session, as it is stored.

    Attributes:
        began_at: When its first final that has a text began, in Unix seconds; None when all
            were retracted.
    """

    epoch: str
    began_at: float | None


class _StoredWord(msgspec.Struct, omit_defaults=True):
    """A word in the column ``words``: the same names as on the WebSocket."""

    word: str
    start: float
    end: float
    confidence: float | None = None
    speaker_id: str | None = msgspec.field(default=None, name="speakerId")


class _StoredSpeaker(msgspec.Struct):
    """One of several speakers in the column ``speakers``: the same names as on the WebSocket."""

    id: str
    name: str
    share: float


# JSON, so that an operator can read a journal with the sqlite3 tool.
_encoder = msgspec.json.Encoder()
_row_decoder = msgspec.json.Decoder(FinalRow)
_words_decoder = msgspec.json.Decoder(tuple[_StoredWord, ...])
_speakers_decoder = msgspec.json.Decoder(tuple[_StoredSpeaker, ...])


def encode(row: FinalRow) -> bytes:
    """Return the row, cleaned, as the journal keeps it."""
    return _encode_if_clean(row) or _encoder.encode(_cleaned(row))


def decode(data: bytes) -> FinalRow:
    """Return the row that :func:`encode` was given, cleaned.

    Raises:
        ValueError: These are not the bytes of a row.
    """
    try:
        return _row_decoder.decode(data)
    except msgspec.MsgspecError as exc:
        raise ValueError("not a journaled row") from exc


def clean(row: FinalRow) -> FinalRow:
    """Return the row without what PostgreSQL refuses in text: NUL and half surrogate pairs."""
    return row if _encode_if_clean(row) else _cleaned(row)


def storable(rows: Iterable[FinalRow]) -> list[FinalRow]:
    """Return the rows cleaned, with only the latest revision of each utterance.

    One statement may not touch a row of the table twice.
    """
    latest: dict[tuple[str, str], FinalRow] = {}
    for row in map(clean, rows):
        key = row.session_slug, row.utterance_id
        if key not in latest or row.rev > latest[key].rev:
            latest[key] = row
    return list(latest.values())


def columns(rows: Sequence[FinalRow]) -> list[list[Any]]:
    """Return one list of values per entry of ``COLUMNS``.

    Raises:
        ValueError: A row holds a time that no calendar has.
    """
    try:
        return [list(column) for column in zip(*map(_values, rows), strict=True)]
    except (ValueError, OverflowError, OSError) as exc:  # what `fromtimestamp` may raise
        raise ValueError(f"a time out of range: {exc}") from exc


def _row_of(record: Mapping[str, Any]) -> FinalRow:
    """Return the final that a record of the table holds."""
    fields = {name: record[name] for name in COLUMNS}
    fields["finalized_by"] = FinalizedBy(record["finalized_by"])
    fields["words"] = _words_of(record["words"])
    fields["speakers"] = _speakers_of(record["speakers"])
    for name in ("started_at", "ended_at", "received_at"):
        fields[name] = record[name].timestamp()
    return FinalRow(**fields)


def rows_of(records: Iterable[Mapping[str, Any]]) -> list[FinalRow]:
    """Return the finals that records of the table hold.

    A record names its own speaker by the newest name; others who spoke get that of theirs.
    """
    rows = [_row_of(record) for record in records]
    return named(rows, {row.speaker_id: row.speaker for row in rows})


def named(rows: Iterable[FinalRow], names: Mapping[str, str]) -> list[FinalRow]:
    """Return the rows with these names, by id, for all whom they name."""
    return [
        replace(
            row,
            speaker=names.get(row.speaker_id, row.speaker),
            speakers=tuple(
                replace(each, speaker=names.get(each.speaker_id, each.speaker))
                for each in row.speakers
            ),
        )
        for row in rows
    ]


def run_of(record: Mapping[str, Any]) -> StoredRun:
    """Return the run that a record names."""
    began_at = record["began_at"]
    return StoredRun(record["epoch"], None if began_at is None else began_at.timestamp())


def _encode_if_clean(row: FinalRow) -> bytes | None:
    try:
        data = _encoder.encode(row)
    except UnicodeEncodeError:
        return None
    # So JSON spells a NUL. A text that spells it out itself is cleaned for nothing.
    return None if b"\\u0000" in data else data


def _cleaned(row: FinalRow) -> FinalRow:
    return replace(
        row,
        session_slug=_clean(row.session_slug),
        epoch=_clean(row.epoch),
        utterance_id=_clean(row.utterance_id),
        text=_clean(row.text),
        speaker=_clean(row.speaker),
        speaker_id=_clean(row.speaker_id),
        language=_clean_or_none(row.language),
        words=tuple(
            replace(word, text=_clean(word.text), speaker_id=_clean_or_none(word.speaker_id))
            for word in row.words
        ),
        speakers=tuple(
            SpeakerShare(_clean(each.speaker_id), _clean(each.speaker), each.share)
            for each in row.speakers
        ),
    )


def _values(row: FinalRow) -> tuple[Any, ...]:
    return (
        row.session_slug,
        row.epoch,
        row.utterance_id,
        row.rev,
        row.seq,
        row.text,
        row.speaker,
        row.speaker_id,
        row.speaker_confidence,
        row.language,
        row.confidence,
        _words_json(row.words),
        row.finalized_by.value,
        datetime.fromtimestamp(row.started_at, UTC),
        datetime.fromtimestamp(row.ended_at, UTC),
        datetime.fromtimestamp(row.received_at, UTC),
        _speakers_json(row.speakers),
    )


def _words_json(words: tuple[Word, ...]) -> str | None:
    if not words:
        return None
    stored = [_StoredWord(w.text, w.start_s, w.end_s, w.confidence, w.speaker_id) for w in words]
    return _encoder.encode(stored).decode()


def _words_of(stored: str | None) -> tuple[Word, ...]:
    if stored is None:
        return ()
    words = _words_decoder.decode(stored)
    return tuple(Word(w.word, w.start, w.end, w.confidence, w.speaker_id) for w in words)


def _speakers_json(speakers: tuple[SpeakerShare, ...]) -> str | None:
    if not speakers:
        return None
    stored = [_StoredSpeaker(each.speaker_id, each.speaker, each.share) for each in speakers]
    return _encoder.encode(stored).decode()


def _speakers_of(stored: str | None) -> tuple[SpeakerShare, ...]:
    if stored is None:
        return ()
    speakers = _speakers_decoder.decode(stored)
    return tuple(SpeakerShare(each.id, each.name, each.share) for each in speakers)


def _clean(text: str) -> str:
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _clean_or_none(text: str | None) -> str | None:
    return None if text is None else _clean(text)

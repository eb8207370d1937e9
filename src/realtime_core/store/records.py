"""A session's record as bytes of the journal. Pure."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from realtime_core.model import SessionRecord

# JSON, so that an operator can read it with the sqlite3 tool.
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SessionRecord)


def encode_record(record: SessionRecord) -> bytes:
    """Return the record as the journal keeps it."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> SessionRecord:
    """Return the record that :func:`encode_record` was given.

    Raises:
        ValueError: These are not the bytes of a record, or not of one that we understand.
    """
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as exc:
        raise ValueError("not a session's record") from exc


def renumbered(record: SessionRecord, epoch: str) -> SessionRecord:
    """Return a record that may not be the session's last, so that it can be gone on with.

    Its numbers may have been given to something else since. In a new numbering viewers do not
    mistake one for the other. What they see as draft is owed a final there, too.
    """
    return replace(record, epoch=epoch, seq=0)

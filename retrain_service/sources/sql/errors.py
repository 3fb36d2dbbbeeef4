"""Translate errors of a SQL driver: unavailable, or misconfigured."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from shared.errors import HotfitError, SourceMisconfigured, SourceUnavailable

# SQLite's primary result codes (the low byte of the extended ones).
_SQLITE_LATER = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_SCHEMA,
    sqlite3.SQLITE_FULL,
}

# Classes of SQLSTATE that a later try can help: connection, rollback, resources, operator
# intervention, system error. https://www.postgresql.org/docs/current/errcodes-appendix.html
_STATE_LATER = ("08", "40", "53", "55", "57", "58", "XX", "25")

# psycopg gives no SQLSTATE when the server refuses at connecting; these refusals stay until a
# person acts.
_REFUSALS = (
    "authentication failed",
    "no pg_hba.conf entry",
    "role ",
    'database "',
    "permission denied",
    "no password supplied",
    "invalid connection option",
    "invalid integer value",
)


# Numbers of MySQL and MariaDB that a later try can help; the rest asks for a person.
# https://mariadb.com/kb/en/mariadb-error-codes/
_MYSQL_TIMED_OUT = {1969, 3024}
_MYSQL_LATER = {
    *(1021, 1030, 1037, 1038, 1041, 1135, 1203, 1226),  # disk, memory, threads, too many of us
    *(1040, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031),  # connections
    *(1205, 1213, 1317, 1412),  # locks, interruption, a definition that has just changed
    *(2000, 2001, 2002, 2003, 2005, 2006, 2008, 2013, 2014, 2027, 2055),  # the client's own
}


@contextmanager
def translate_errors(where: str, timeout_s: float) -> Iterator[None]:
    """Turn what SQLAlchemy raises inside into our errors; `where` must hold no password."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _meaning(error, where, timeout_s) from error
    except sa.exc.TimeoutError as error:
        raise SourceUnavailable(f"{where}: no connection within {timeout_s:g} s.") from error
    except sa.exc.SQLAlchemyError as error:
        raise SourceMisconfigured(f"{where}: {_first_line(error)}.") from error
    except sqlite3.Error as error:
        raise _sqlite_meaning(error, where, timeout_s) from error


def _meaning(error: sa.exc.DBAPIError, where: str, timeout_s: float) -> HotfitError:
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return _sqlite_meaning(original, where, timeout_s)
    code, *words = (original.args if original is not None else ()) or (None,)
    if isinstance(code, int) and code > 0:
        if code in _MYSQL_TIMED_OUT:
            return SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.")
        kind = SourceUnavailable if code in _MYSQL_LATER else SourceMisconfigured
        text = _first_line(ValueError(*words))
        return kind(f"{where}: {text} ({code}).")
    state = getattr(original, "sqlstate", None)
    text = _first_line(original or error)
    if state == "57014":
        return SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.")
    if state is not None:
        later = state.startswith(_STATE_LATER)
        return (SourceUnavailable if later else SourceMisconfigured)(f"{where}: {text}.")
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return SourceMisconfigured(f"{where}: {text}.")
    refused = "FATAL:" in str(original) and any(sign in str(original) for sign in _REFUSALS)
    # "the database system is starting up" is a FATAL too, and passes.
    return (SourceMisconfigured if refused else SourceUnavailable)(f"{where}: {text}.")


def _sqlite_meaning(error: sqlite3.Error, where: str, timeout_s: float) -> HotfitError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return SourceMisconfigured(f"{where}: {_first_line(error)}.")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_INTERRUPT:
        return SourceUnavailable(f"{where}: no answer within {timeout_s:g} s.")
    kind = SourceUnavailable if primary in _SQLITE_LATER else SourceMisconfigured
    return kind(f"{where}: {_first_line(error)}.")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__

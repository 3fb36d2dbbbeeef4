"""Open a SQLite database for writing or reading, and run transactions on it. Knows no table."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.database.migrations import Schema, check_format, migrate, version_of
from shared.errors import StorageUnavailable

BUSY_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 5.0
_OPEN_PAUSE_S = 0.02


def open_to_write(
    path: Path,
    schema: Schema,
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    check_same_thread: bool = True,
) -> sqlite3.Connection:
    """Open a file, made where there is none, with every table as `schema` says.

    What a transaction has committed survives a power cut. No transaction begins by itself.

    Raises:
        StorageUnavailable: cannot be created or written, or is no database.
        SchemaTooNew: a later release wrote it.
    """
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _open(path, schema, busy_timeout_s, check_same_thread)
        except sqlite3.OperationalError as error:
            # SwitchParticipant to WAL does not wait for others who are doing the same.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise StorageUnavailable(f"{path}: cannot be opened: {error}.") from error
            time.sleep(_OPEN_PAUSE_S)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"{path}: cannot be opened: {error}.") from error


def _open(
    path: Path, schema: Schema, busy_timeout_s: float, check_same_thread: bool
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=check_same_thread
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: the log is on the disk before a commit returns, power cuts included.
        connection.execute("PRAGMA synchronous=FULL")
        migrate(connection, schema, path)
        # Refused a file of it to write, SQLite opens that file to read without a word, and keeps
        # it so: a moment's refusal would last as long as the connection.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version={version_of(connection)}")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open without ever creating or changing the file.

    Raises:
        sqlite3.Error: it cannot be opened.
        SchemaTooNew: a later release wrote it.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=READ_TIMEOUT_S, isolation_level=None)
    try:
        check_format(connection, schema, path)
    except BaseException:
        connection.close()
        raise
    return connection


def file_identity(path: Path) -> tuple[int, int] | None:
    """Which file has that name now; None when there is none.

    Raises:
        StorageUnavailable: the disk does not say.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailable(f"{path}: cannot be read: {error.strerror}.") from error
    return found.st_dev, found.st_ino


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Commit what the block writes when it ends, and nothing of it when anything is raised.

    Raises:
        StorageUnavailable: the disk or another process refused; nothing was changed.
        sqlite3.IntegrityError: the block wrote what a constraint forbids; nothing was changed.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raise
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path}: cannot be written: {error}.") from error

"""Open, migrate or replace a buffer's DuckDB file. Knows the tables, not their use.

The source is the truth and the buffer only a copy: a file that cannot be trusted is moved aside,
never repaired, and never stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb

from shared.database.migrations import Schema
from shared.errors import AlreadyRunning, HotfitError, SchemaTooNew, StorageUnavailable
from shared.records import to_epoch_us

_TABLES = """
CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL);
CREATE TABLE streams (
    stream VARCHAR NOT NULL, origin VARCHAR NOT NULL, is_counted BOOLEAN NOT NULL,
    cursor VARCHAR NOT NULL, caught_up_us BIGINT, chores_us BIGINT, inspected_us BIGINT,
    n_without_cursor_field BIGINT
);
CREATE TABLE rows (
    stream VARCHAR NOT NULL, id VARCHAR NOT NULL, updated_us BIGINT NOT NULL, body VARCHAR NOT NULL,
    is_deleted BOOLEAN NOT NULL, is_counted BOOLEAN NOT NULL, reject_reason VARCHAR,
    entity VARCHAR NOT NULL, seq BIGINT NOT NULL
);
CREATE TABLE reads (
    source VARCHAR NOT NULL, day DATE NOT NULL, stream VARCHAR NOT NULL, billed BIGINT NOT NULL
);
"""

SCHEMA = Schema(
    "buffer",
    (
        "CREATE TABLE withheld (stream VARCHAR NOT NULL, id VARCHAR NOT NULL,"
        " updated_us BIGINT NOT NULL, since_us BIGINT NOT NULL, is_missing BOOLEAN NOT NULL)",
    ),
    format=2,
)
"""Steps are SQL for files that were made before them; `_TABLES` stays as the first release had
it. `meta` keeps `format`, and `steps` where a file has had any."""

# Reads every block of every column, so that its checksum is verified now and not in mid-training.
_VERIFY = (
    "SELECT bit_xor(hash(stream, id, updated_us, body, is_deleted, is_counted, reject_reason,"
    " entity, seq))"
    " FROM rows",
    "SELECT bit_xor(hash(stream, origin, is_counted, cursor, caught_up_us, chores_us, inspected_us,"
    " n_without_cursor_field)) FROM streams",
    "SELECT bit_xor(hash(source, day, stream, billed)) FROM reads",
)

# DuckDB's own format: the file is whole, but this release's library is too old for it.
_BY_LATER_DUCKDB = "created with a newer version of duckdb"
_IN_USE = ("could not set lock", "conflicting lock", "used by another process")
_NO_STORAGE = (
    "no space left",
    "not enough space",
    "permission denied",
    "access is denied",
    "read-only file system",
    "too many open files",
    "input/output error",
    "quota exceeded",
    "is a directory",
)


def buffer_path(buffer_dir: Path, model: str) -> Path:
    """Where the buffer of `model` ("spare_parts" or "solar_power/device 1") lives.

    Each part is percent-encoded, so that an entity named by a stranger stays inside the folder.
    """
    parts = [quote(part, safe="").replace(".", "%2E") for part in model.split("/")]
    return buffer_dir.joinpath(*parts[:-1], parts[-1] + ".duckdb")


def open_database(
    path: Path, now: datetime, schema: Schema = SCHEMA
) -> tuple[duckdb.DuckDBPyConnection, str | None]:
    """Open `path`, or create it, with every table as `schema` says.

    Returns:
        The connection, and a sentence when an unusable file was moved aside.

    Raises:
        AlreadyRunning: another process has the file open.
        StorageUnavailable: the disk is full or not writable.
        SchemaTooNew: a later release wrote it; it was not changed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
    except OSError as error:
        raise StorageUnavailable(f"{path.parent}: cannot be used: {error.strerror}.") from error
    if is_new:
        return _create(path, now, schema), None
    try:
        return _open_existing(path, schema), None
    except duckdb.Error as error:
        known = as_known(error, path)
        if known is not None:
            raise known from error
        reason = str(error).splitlines()[0]
    except _ForeignFile as error:
        reason = str(error)
    aside = _move_aside(path, now)
    return _create(path, now, schema), (
        f"{path.name} could not be used ({reason}); it was moved to {aside.name}"
        " and the records are read from the source again."
    )


def as_known(error: duckdb.Error, path: Path) -> HotfitError | None:
    """The error's meaning when it is about the surroundings; None when it is about the file."""
    text = str(error).lower()
    if _BY_LATER_DUCKDB in text:
        return _too_new(path, str(error).splitlines()[0])
    if any(sign in text for sign in _IN_USE):
        return AlreadyRunning(
            f"{path}: another process has the buffer open; one retrain daemon may work on it."
        )
    if any(sign in text for sign in _NO_STORAGE) or isinstance(error, duckdb.OutOfMemoryException):
        return StorageUnavailable(
            f"{path}: cannot be written: {str(error).splitlines()[0]}. Nothing half-written was"
            " left behind; it is tried again."
        )
    return None


def _too_new(path: Path, found: str) -> SchemaTooNew:
    # Not moved aside: reading everything again may cost money, and the later release may come back.
    return SchemaTooNew(
        f"{path}: this buffer was written by a later release ({found}). Nothing was changed: start"
        " the later release again; or stop the training daemon and delete the file, then this"
        " release reads all records from the source again."
    )


class BufferFile:
    """An open buffer file: statements and transactions, with errors that say what to do next."""

    def __init__(self, path: Path, now: datetime) -> None:
        self.path = path
        self.database, self.notification = open_database(path, now)
        self._inode = path.stat().st_ino

    @property
    def is_in_place(self) -> bool:
        """Whether the file still lies there: one that was removed can be written, and is lost."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False
        except OSError:  # nothing is known now
            return True

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        Raises:
            StorageUnavailable: the disk is full or not writable; nothing was changed.
        """
        try:
            self.database.begin()
            yield
            self.database.commit()
        except BaseException as error:
            # DuckDB has already rolled back when it was the commit that failed.
            with suppress(duckdb.Error):
                self.database.rollback()
            if isinstance(error, duckdb.Error):
                raise self.translated(error) from error
            raise

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.database.execute(query, list(parameters)).fetchall()
        except duckdb.Error as error:
            raise self.translated(error) from error

    def one(self, query: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The only row of a query; of a DELETE or UPDATE, the number of rows it touched."""
        return self.all(query, parameters)[0]

    def translated(self, error: duckdb.Error) -> Exception:
        """The error for our callers; a statement of ours that is wrong stays what it is."""
        if isinstance(error, duckdb.ProgrammingError | duckdb.DataError):
            return error
        return as_known(error, self.path) or StorageUnavailable(
            f"{self.path}: {str(error).splitlines()[0]}. Nothing was changed; when it stays so,"
            " a restart checks the file and rebuilds it from the source if it is damaged."
        )


class _ForeignFile(Exception):
    """A DuckDB file, but not one of ours."""


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    # Modest on purpose: the machine also serves. What does not fit spills beside the file.
    return duckdb.connect(str(path), config={"memory_limit": "512MB", "threads": "1"})


def _create(path: Path, now: datetime, schema: Schema) -> duckdb.DuckDBPyConnection:
    try:
        database = _connect(path)
        database.begin()
        database.execute(_TABLES)
        # Sequence numbers begin at the time of creation, so that a rebuilt buffer goes on above
        # every number its predecessor gave out: a row takes longer than a microsecond.
        database.execute(
            "INSERT INTO meta VALUES ('format', ?), ('high_seq', ?)",
            [str(schema.format), str(to_epoch_us(now))],
        )
        _take_steps(database, schema)
        database.commit()
    except duckdb.Error as error:
        raise as_known(error, path) or StorageUnavailable(
            f"{path}: the buffer could not be created: {str(error).splitlines()[0]}."
        ) from error
    return database


def _open_existing(path: Path, schema: Schema) -> duckdb.DuckDBPyConnection:
    database = _connect(path)
    try:
        written = _number(database, "format")
        if written > schema.format:
            raise _too_new(path, f"format {written}; this release knows {schema.format}")
        if written < schema.format:
            raise _ForeignFile(f"expected buffer format {schema.format}, found {written or 'none'}")
        for check in _VERIFY:
            database.execute(check).fetchone()
        database.begin()
        _take_steps(database, schema)
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _take_steps(database: duckdb.DuckDBPyConnection, schema: Schema) -> None:
    """Inside a transaction: what the file lacks. More steps than ours only add; they are left."""
    steps = schema.steps[_number(database, "steps") :]
    if not steps:
        return
    for step in steps:
        assert isinstance(step, str), "a step of a buffer is SQL"
        database.execute(step)
    database.execute("DELETE FROM meta WHERE key = 'steps'")
    database.execute("INSERT INTO meta VALUES ('steps', ?)", [str(len(schema.steps))])


def _number(database: duckdb.DuckDBPyConnection, key: str) -> int:
    """From `meta`; 0 when it is not there."""
    row = database.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return int(row[0]) if row is not None and str(row[0]).isdecimal() else 0


def _move_aside(path: Path, now: datetime) -> Path:
    aside = path.with_name(f"{path.name}.unusable-{now:%Y%m%dT%H%M%SZ}")
    try:
        path.replace(aside)
        wal = path.with_name(path.name + ".wal")
        if wal.exists():
            wal.replace(aside.with_name(aside.name + ".wal"))
    except OSError as error:
        raise StorageUnavailable(
            f"{path}: cannot be used and cannot be moved aside: {error.strerror}."
        ) from error
    return aside

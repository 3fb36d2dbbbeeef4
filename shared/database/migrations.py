"""Migrate the schema of a SQLite file: which steps it has had, and how the others are applied.

`PRAGMA user_version` holds format * 1000 + number of steps. Files of the first release have 0.
A release opens a file with more steps of the same format as it is: such steps only add what
earlier releases may ignore. A file of a later format is refused. Knows no table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SchemaTooNew

_STEPS_OF_A_FORMAT = 1000

Step = str | Callable[[sqlite3.Connection], None]
"""SQL statements that end with a semicolon each, or a function. Run inside one transaction."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file must look like.

    name : what the file is, for people: "run log".
    steps : all that were ever needed, in order; one that was released never changes. The first
        one must take files of the first release, which have the tables but no version.
    format : raised with a step after which earlier releases would read or write wrongly.
    """

    name: str
    steps: tuple[Step, ...]
    format: int = 1

    @property
    def version(self) -> int:
        return self.format * _STEPS_OF_A_FORMAT + len(self.steps)


def migrate(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """Bring a file to the schema, all or nothing; several processes may do so at once.

    connection : without a transaction under way, and without implicit ones.

    Raises:
        SchemaTooNew: a later release wrote the file in a format that this one does not know.
        sqlite3.Error: it cannot be written; it is as it was.
    """
    if _steps_done(connection, schema, path) >= len(schema.steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have done it while this one waited for the lock.
        for step in schema.steps[_steps_done(connection, schema, path) :]:
            if callable(step):
                step(connection)
            else:
                _execute_each(connection, step)
        connection.execute(f"PRAGMA user_version={max(schema.version, version_of(connection))}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_format(connection: sqlite3.Connection, schema: Schema, path: Path) -> None:
    """For who only reads.

    Raises:
        SchemaTooNew: as above.
    """
    _steps_done(connection, schema, path)


def version_of(connection: sqlite3.Connection) -> int:
    """The file's version; 0 when it is new or of the first release."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _steps_done(connection: sqlite3.Connection, schema: Schema, path: Path) -> int:
    written_format, n_steps = divmod(version_of(connection), _STEPS_OF_A_FORMAT)
    if written_format > schema.format:
        raise SchemaTooNew(
            f"{path}: this {schema.name} has format {written_format}, written by a later release;"
            f" this release knows formats up to {schema.format}. Nothing was changed: start the"
            " later release again, or put a backup of before the upgrade in its place."
        )
    return n_steps


def _execute_each(connection: sqlite3.Connection, script: str) -> None:
    # Not executescript: it commits what is under way first.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""

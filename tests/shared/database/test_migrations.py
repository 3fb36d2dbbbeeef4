"""A file of an earlier release becomes what this one needs; one of a later release stays safe."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from shared.database.connection import open_to_read, open_to_write, transaction
from shared.database.migrations import Schema, version_of
from shared.errors import SchemaTooNew, StorageUnavailable

TABLE = "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL);"
FIRST = Schema("notebook", (TABLE,))


def count_authors(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE notes SET author = 'unknown'")


SECOND = Schema(
    "notebook",
    (
        TABLE,
        "ALTER TABLE notes ADD COLUMN author TEXT;\nCREATE INDEX by_author ON notes (author);",
        count_authors,
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


def test_a_file_without_a_version_gets_the_steps_it_lacks_and_keeps_its_rows(path: Path) -> None:
    """The first release wrote no version: its homes must go on."""
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("CREATE TABLE notes (text TEXT NOT NULL)")
        old.execute("INSERT INTO notes VALUES ('kept')")

    with closing(open_to_write(path, SECOND)) as connection:
        assert connection.execute("SELECT * FROM notes").fetchall() == [("kept", "unknown")]
        assert version_of(connection) == 1003


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    """Half a migration would be a file that no release knows."""
    open_to_write(path, FIRST).close()
    broken = Schema("notebook", (TABLE, "CREATE TABLE more (a);\nINSERT INTO nowhere VALUES (1);"))

    with pytest.raises(StorageUnavailable, match="nowhere"):
        open_to_write(path, broken)

    with closing(open_to_write(path, FIRST)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
        assert names == [("notes",)]
        assert version_of(connection) == 1001


def test_a_step_back_within_a_format_opens_and_a_later_format_is_refused_untouched(
    path: Path,
) -> None:
    """Going back one release must be possible, and must never write what it does not understand."""
    open_to_write(path, SECOND).close()
    with closing(open_to_write(path, FIRST)) as connection, transaction(connection, path):
        connection.execute("INSERT INTO notes (text) VALUES ('by the earlier release')")
        assert version_of(connection) == 1003
    open_to_write(path, Schema("notebook", (*SECOND.steps, "DROP INDEX by_author;"), 2)).close()

    for open_it in (open_to_write, open_to_read):
        with pytest.raises(SchemaTooNew, match=r"notebook has format 2, written by a later"):
            open_it(path, SECOND)


def test_processes_that_open_at_once_take_each_step_once(path: Path) -> None:
    """All workers of the API open the feed at the same moment after an upgrade."""
    open_to_write(path, FIRST).close()

    with ThreadPoolExecutor(8) as pool:
        opened = pool.map(lambda _: open_to_write(path, SECOND, check_same_thread=False), range(8))
        for connection in opened:
            with closing(connection):
                assert version_of(connection) == 1003


def interrupted(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection, path):
        connection.execute("INSERT INTO notes VALUES ('lost')")
        raise KeyboardInterrupt


def test_a_transaction_keeps_nothing_whatever_is_raised(path: Path) -> None:
    """A receipt exists only for what is on the disk."""
    with closing(open_to_write(path, FIRST)) as connection:
        with pytest.raises(KeyboardInterrupt):
            interrupted(connection, path)
        connection.execute("PRAGMA query_only=1")
        with pytest.raises(StorageUnavailable, match="readonly"), transaction(connection, path):
            connection.execute("INSERT INTO notes VALUES ('refused')")
        connection.execute("PRAGMA query_only=0")

        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
        assert not connection.in_transaction

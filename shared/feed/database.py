"""The feed's SQLite file: schema, opening, stored numbers and rate limits.

Knows what a column is called, not what a record means. Functions that take a feed's connection
must be called inside its transaction.
"""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

from shared.database import connection
from shared.database.migrations import Schema

_FIRST_TABLES = """
CREATE TABLE IF NOT EXISTS records (
    seq        INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    id         TEXT NOT NULL,
    stamp_us   INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL,
    entity     TEXT NOT NULL,
    body       BLOB NOT NULL,
    UNIQUE (collection, id)
);
CREATE INDEX IF NOT EXISTS records_by_stamp ON records (collection, stamp_us, id);
CREATE TABLE IF NOT EXISTS window_rows (
    collection TEXT NOT NULL,
    entity     TEXT NOT NULL,
    slot       INTEGER NOT NULL,
    at_us      INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (collection, entity, slot)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS senders (
    sender TEXT PRIMARY KEY,
    tokens REAL NOT NULL,
    at_us  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


SCHEMA = Schema("feed", (_FIRST_TABLES,))


def open_to_write(path: Path) -> sqlite3.Connection:
    """Open, made at the first start; several processes may do so at once, any thread may use it.

    Raises:
        StorageUnavailable: cannot be created, or is no such file.
        SchemaTooNew: a later release wrote it.
    """
    return connection.open_to_write(path, SCHEMA, check_same_thread=False)


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open without ever creating or changing the file.

    Raises:
        sqlite3.Error: it cannot be opened.
        SchemaTooNew: a later release wrote it.
    """
    return connection.open_to_read(path, SCHEMA)


def size_bytes(path: Path) -> int:
    """The file with its write-ahead log."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def number(feed: sqlite3.Connection, name: str) -> int:
    """A number kept under a name; 0 before it was set."""
    row = feed.execute("SELECT value FROM numbers WHERE name=?", (name,)).fetchone()
    return int(row[0]) if row is not None else 0


def set_number(feed: sqlite3.Connection, name: str, value: int) -> None:
    feed.execute("INSERT OR REPLACE INTO numbers VALUES (?,?)", (name, value))


def take_tokens(feed: sqlite3.Connection, sender: str, a_minute: int, n: int, now_us: int) -> int:
    """Take `n` of a sender's tokens, refilled at `a_minute`; a full minute's worth can be saved.

    Returns:
        0 when they were taken; otherwise the whole seconds until there are enough, none taken.
    """
    row = feed.execute("SELECT tokens, at_us FROM senders WHERE sender=?", (sender,)).fetchone()
    tokens, at_us = row if row is not None else (float(a_minute), now_us)
    elapsed_s = max(now_us - at_us, 0) / 1e6
    tokens = min(float(a_minute), tokens + elapsed_s * a_minute / 60)
    # More than can ever be saved is taken from a full bucket, and paid for by waiting afterwards.
    needed = min(float(n), float(a_minute))
    if tokens < needed:
        return max(1, math.ceil((needed - tokens) * 60 / a_minute))
    feed.execute("INSERT OR REPLACE INTO senders VALUES (?,?,?)", (sender, tokens - n, now_us))
    return 0

"""Read the feed: records in the order of their stamps, windows, statistics.

Never creates or changes the file, and waits for no writer. Any thread and any process may call
any function here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import NotReady, StorageUnavailable
from shared.feed import database, window
from shared.records import from_epoch_us, to_epoch_us

SELECT = "SELECT id, stamp_us, is_deleted, entity, body FROM records"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record as it is kept; `stamp` is when it was last changed here, UTC."""

    id: str
    stamp: datetime
    fields: Mapping[str, Any]
    entity: str
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """Of one collection; deleted records are not counted in n_records.

    content_bytes : of the bodies; the file is larger.
    """

    n_records: int
    n_deleted: int
    n_entities: int
    oldest: datetime | None
    newest: datetime | None
    content_bytes: int


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of one's own for one question.

    Raises:
        NotReady: there is no such file yet.
        StorageUnavailable: it cannot be read.
        SchemaTooNew: a later release wrote it.
    """
    not_yet = NotReady(f"{path}: no feed yet; the API makes it when it starts.")
    if not path.exists():
        raise not_yet
    try:
        with closing(database.open_to_read(path)) as connection:
            # The writer makes the file first and its tables next; in between there is no feed.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise not_yet
            yield connection
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path}: cannot be read: {error}.") from error


def kept_record(row: Sequence[Any]) -> KeptRecord:
    """One row of SELECT."""
    id_, stamp_us, is_deleted, entity, body = row
    return KeptRecord(id_, from_epoch_us(stamp_us), _decode(body), entity, bool(is_deleted))


def windows(path: Path, collection: str) -> dict[str, list[dict[str, Any]]]:
    """Entity -> its newest samples, oldest first; see `WindowSpec`."""
    with reading(path) as connection:
        return window.read(connection, collection)


def records_since(
    path: Path,
    collection: str,
    since: datetime,
    *,
    entity: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> tuple[list[KeptRecord], int]:
    """A page of live records stamped `since` or later, and how many there are in all.

    after : (stamp in microseconds, id) of the last record of the page before.
    """
    since_us = to_epoch_us(since)
    whose, values = ("", ()) if entity is None else (" AND entity=?", (entity,))
    live = f"WHERE collection=? AND NOT is_deleted{whose} AND (stamp_us, id) > (?, ?)"
    with reading(path) as connection:
        (total,) = connection.execute(
            f"SELECT count(*) FROM records {live}",  # noqa: S608 - the words are ours
            (collection, *values, since_us, ""),
        ).fetchone()
        rows = connection.execute(
            f"{SELECT} {live} ORDER BY stamp_us, id LIMIT ?",
            (collection, *values, *(after or (since_us, "")), limit),
        ).fetchall()
    return [kept_record(row) for row in rows], total


@dataclass(frozen=True, slots=True)
class Totals:
    """How many records there are of one thing, and what they rate it; None: none does."""

    n: int
    n_rated: int
    mean_rating: float | None


NOTHING = Totals(0, 0, None)


def totals_by(
    path: Path, collection: str, since: datetime, names: Sequence[str]
) -> dict[str, Totals]:
    """Value -> totals of the live records stamped `since` or later that hold it.

    names : of the fields that may hold it, best first; ours, never a client's.
    """
    value = ", ".join(f"json_extract(content, '$.{name}')" for name in names)
    rating = "json_extract(content, '$.rating')"
    with reading(path) as connection:
        rows = connection.execute(
            f"SELECT CAST(coalesce({value}, NULL) AS TEXT), count(*), count({rating}),"  # noqa: S608
            f" avg({rating}) FROM (SELECT CAST(body AS TEXT) AS content FROM records"
            " WHERE collection=? AND NOT is_deleted AND stamp_us >= ?) GROUP BY 1",
            (collection, to_epoch_us(since)),
        ).fetchall()
    return {
        key: Totals(n, n_rated, None if mean is None else round(mean, 3))
        for key, n, n_rated, mean in rows
        if key is not None
    }


def statistics(path: Path) -> dict[str, CollectionStatistics]:
    """Collection -> what it holds."""
    with reading(path) as connection:
        rows = connection.execute(
            "SELECT collection, sum(NOT is_deleted), sum(is_deleted), count(DISTINCT entity),"
            " min(stamp_us), max(stamp_us), sum(length(body)) FROM records GROUP BY collection"
        ).fetchall()
    return {
        name: CollectionStatistics(
            n, n_deleted, n_entities, from_epoch_us(oldest), from_epoch_us(newest), size
        )
        for name, n, n_deleted, n_entities, oldest, newest, size in rows
    }

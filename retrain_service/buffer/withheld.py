"""Deletions that are held back until they are believed: many at once are more often a fault.

A list that is short for a moment must not wipe the copy. Knows the buffer's tables and no source;
what changes them must be called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from retrain_service.buffer.database_file import BufferFile
from shared.records import Record, from_epoch_us, to_epoch_us

ALL = 2**62
FEWEST = 10
"""Fewer deletions than these are taken at once, whatever their share."""


@dataclass(frozen=True, slots=True)
class DeletionPolicy:
    """Which deletions of one look are held back, and for how long.

    max_share : of the records that there are; 1 takes all of them at once.
    wait : after which deletions are taken that a later look shows still.
    """

    max_share: float
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Withheld:
    """The deletions of a stream that are not taken. since : of the first of them, UTC."""

    n: int = 0
    n_records: int = 0
    since: datetime | None = None


def hold_back(file: BufferFile, stream: str, incoming: pa.Table, now: datetime) -> pa.Table:
    """Hold back the tombstones of records that are there; return the rows that may be taken now.

    A record that is there again ends the waiting of its own deletion.
    """
    database = file.database
    database.register("arrived", incoming)
    try:
        database.execute(
            "DELETE FROM withheld WHERE stream = ?"
            " AND id IN (SELECT id FROM arrived WHERE NOT is_deleted)",
            [stream],
        )
        database.execute(
            "CREATE OR REPLACE TEMP TABLE held_back AS SELECT a.id, a.updated_us FROM arrived a"
            " JOIN rows r ON r.stream = ? AND r.id = a.id WHERE a.is_deleted AND NOT r.is_deleted",
            [stream],
        )
        if not file.one("SELECT count(*) FROM held_back")[0]:
            return incoming
        database.execute(
            "INSERT INTO withheld SELECT ?, id, updated_us, ?, FALSE FROM held_back"
            " WHERE id NOT IN (SELECT id FROM withheld WHERE stream = ?)",
            [stream, to_epoch_us(now), stream],
        )
        rest = database.sql("SELECT * FROM arrived WHERE id NOT IN (SELECT id FROM held_back)")
        return rest.to_arrow_table()
    finally:
        database.execute("DROP TABLE IF EXISTS held_back")
        database.unregister("arrived")


def add_missing(file: BufferFile, stream: str, ids: Sequence[str], now: datetime) -> None:
    """Hold back the deletion of records that the source, asked for them, no longer has."""
    file.one(
        "INSERT INTO withheld SELECT stream, id, updated_us, ?, TRUE FROM rows"
        " WHERE stream = ? AND id IN (SELECT unnest(?::VARCHAR[]))"
        " AND id NOT IN (SELECT id FROM withheld WHERE stream = ?)",
        [to_epoch_us(now), stream, list(ids), stream],
    )


def forget(file: BufferFile, stream: str, ids: Sequence[str]) -> None:
    """End the waiting of records that are there after all, or that were deleted."""
    file.one(
        "DELETE FROM withheld WHERE stream = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [stream, list(ids)],
    )


def found(file: BufferFile, stream: str) -> Withheld:
    n, since_us = file.one(
        "SELECT count(*), min(since_us) FROM withheld WHERE stream = ?", [stream]
    )
    if not n:
        return Withheld()
    # Tombstones that are kept are no records; a missing one may be of a tombstone.
    n_records = file.one("SELECT count(*) FROM rows WHERE stream = ? AND NOT is_deleted", [stream])[
        0
    ]
    return Withheld(n, n_records, from_epoch_us(since_us))


def is_plausible(waiting: Withheld, policy: DeletionPolicy) -> bool:
    return waiting.n < FEWEST or waiting.n <= policy.max_share * waiting.n_records


def due(
    file: BufferFile, stream: str, until: datetime | None, *, is_missing: bool, most: int = ALL
) -> list[Record]:
    """Tombstones of what has waited since `until` or longer (None: however short)."""
    until_us = to_epoch_us(until) if until is not None else None
    rows = file.all(
        "SELECT id, updated_us FROM withheld WHERE stream = ? AND is_missing = ?"
        " AND (? IS NULL OR since_us <= ?) ORDER BY since_us, id LIMIT ?",
        [stream, is_missing, until_us, until_us, most],
    )
    return [Record(id_, from_epoch_us(at_us), {}, is_deleted=True) for id_, at_us in rows]

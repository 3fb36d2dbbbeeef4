"""Upsert a batch into the buffer: insert new records, update changed ones, mark deleted ones.

One statement each over the whole batch, never row by row. Knows no cursor and no ledger, and
must be called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from retrain_service.buffer.database_file import BufferFile
from shared.records import Record, to_epoch_us

RejectReason = Callable[[Mapping[str, Any]], str | None]
"""None when a record's fields can be learnt from; otherwise why not, in a few words."""

EntityOf = Callable[[Mapping[str, Any]], str]
"""The entity a record's fields belong to, as a name; "" where the model has no entities."""

# Sorted keys: a source may give the fields of an unchanged document in another order.
_encode_fields = msgspec.json.Encoder(order="sorted").encode

_INCOMING = pa.schema(
    [
        ("id", pa.string()),
        ("updated_us", pa.int64()),
        ("body", pa.string()),
        ("is_deleted", pa.bool_()),
        ("is_counted", pa.bool_()),
        ("reject_reason", pa.string()),
        ("entity", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What a batch changed: numbers of records."""

    n_new: int = 0
    n_changed: int = 0
    n_deleted: int = 0
    n_unchanged: int = 0

    def __add__(self, other: UpsertCounts) -> UpsertCounts:
        return UpsertCounts(
            self.n_new + other.n_new,
            self.n_changed + other.n_changed,
            self.n_deleted + other.n_deleted,
            self.n_unchanged + other.n_unchanged,
        )


def upsert(
    file: BufferFile, stream: str, incoming: pa.Table, high_seq: int
) -> tuple[UpsertCounts, int]:
    """Insert or replace by id; new and changed rows get the numbers after `high_seq`.

    Returns:
        What changed, and the last number given out.
    """
    database = file.database
    database.register("incoming", incoming)
    try:
        database.execute(
            "CREATE OR REPLACE TEMP TABLE changed AS"
            " SELECT i.*, r.id IS NULL AS is_new, coalesce(r.is_deleted, TRUE) AS was_gone,"
            "   row_number() OVER (ORDER BY i.updated_us, i.id) AS nth"
            " FROM incoming i LEFT JOIN rows r ON r.stream = ? AND r.id = i.id"
            " WHERE r.id IS NULL OR r.updated_us <> i.updated_us OR r.body <> i.body"
            "   OR r.is_deleted <> i.is_deleted",
            [stream],
        )
    finally:
        database.unregister("incoming")
    n_all, n_new, n_changed, n_deleted = file.one(
        "SELECT count(*), count(*) FILTER (NOT is_deleted AND was_gone),"
        " count(*) FILTER (NOT is_deleted AND NOT was_gone),"
        " count(*) FILTER (is_deleted AND NOT was_gone) FROM changed"
    )
    if n_all:
        database.execute(
            "DELETE FROM rows USING changed WHERE rows.stream = ? AND rows.id = changed.id",
            [stream],
        )
        database.execute(
            "INSERT INTO rows SELECT ?, id, updated_us, body, is_deleted, is_counted,"
            " reject_reason, entity, ? + nth FROM changed",
            [stream, high_seq],
        )
        database.execute(
            "UPDATE meta SET value = ? WHERE key = 'high_seq'", [str(high_seq + n_all)]
        )
    database.execute("DROP TABLE changed")
    # A tombstone of something never met changes nothing that anyone could see.
    n_unchanged = incoming.num_rows - n_new - n_changed - n_deleted
    return UpsertCounts(n_new, n_changed, n_deleted, n_unchanged), high_seq + n_all


def to_arrow(
    records: Sequence[Record], reject_reason: RejectReason, entity_of: EntityOf
) -> pa.Table:
    """One row per id, the reject reason judged; the bodies as JSON text."""
    by_id = {record.id: record for record in records}  # the later one is the newer one
    rows = list(by_id.values())
    reasons = [None if row.is_deleted else reject_reason(row.fields) for row in rows]
    entities = ["" if row.is_deleted else _entity(row, entity_of) for row in rows]
    bodies = [b"{}" if row.is_deleted else _encode_fields(row.fields) for row in rows]
    return pa.table(
        [
            pa.array(list(by_id), pa.string()),
            pa.array([to_epoch_us(row.updated_at) for row in rows], pa.int64()),
            pa.array(bodies, pa.binary()).cast(pa.string()),
            pa.array([row.is_deleted for row in rows], pa.bool_()),
            pa.array(
                [r is None and not row.is_deleted for r, row in zip(reasons, rows, strict=True)],
                pa.bool_(),
            ),
            pa.array(reasons, pa.string()),
            pa.array(entities, pa.string()),
        ],
        schema=_INCOMING,
    )


def _entity(record: Record, entity_of: EntityOf) -> str:
    try:
        return entity_of(record.fields)
    except Exception:  # noqa: BLE001 - a record too odd to say whose it is belongs to nobody
        return ""

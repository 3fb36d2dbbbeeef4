"""Values that travel from a source to the trainer. Immutable; no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

Cursor = Any
"""A JSON value that only the source that made it understands; None means from the beginning."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Record:
    """One document or row as it stood at `updated_at`.

    id : unique within its stream.
    updated_at : UTC-aware, microseconds.
    fields : JSON values only; a source turns timestamps into RFC 3339 strings in UTC.
    is_deleted : True for a tombstone, whose fields are ignored.
    """

    id: str
    updated_at: datetime
    fields: Mapping[str, Any]
    is_deleted: bool = False

    def __post_init__(self) -> None:
        if self.updated_at.tzinfo is None:
            raise ValueError(f"record {self.id}: updated_at must be UTC-aware, found a naive time")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one `read_after` brought.

    records : strictly after the cursor asked for, ordered by (updated_at, id).
    cursor : where the next read begins; equal to the one asked for when nothing came.
    is_last : True when the page was short, that is, the source has nothing more for now.
    billed_reads : what the provider bills for it, by its published rules; 0 where reads are free.
    """

    records: tuple[Record, ...]
    cursor: Cursor
    is_last: bool
    billed_reads: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A frozen stream, ordered by (updated_at, id), column by column; bodies decode on demand.

    There may be more rows than fit into memory: go through them in order, keep what is needed.

    ids : (n_rows,) of str.
    updated_at_us : (n_rows,) of int, microseconds since the epoch, UTC.
    bodies : (n_rows,) of bytes, each the JSON object of one record's fields.
    """

    stream: str
    ids: Sequence[str]
    updated_at_us: Sequence[int]
    bodies: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Record]:
        for id_, at_us, body in zip(self.ids, self.updated_at_us, self.bodies, strict=True):
            yield Record(id_, from_epoch_us(at_us), _decode_fields(body))


def composite_id(parts: Sequence[str]) -> str:
    """The record id of parts that are unique together; one part is the id itself.

    >>> [composite_id(parts) for parts in (["7"], ["7", "1"], ["7|1", "50 %"])]
    ['7', '7|1', '7%7C1|50 %25']
    """
    if len(parts) == 1:
        return parts[0]
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def from_epoch_us(at_us: int) -> datetime:
    """Microseconds since the epoch to an UTC-aware time, exactly (no float in between)."""
    seconds, microseconds = divmod(int(at_us), 1_000_000)
    # Not fromtimestamp(): Windows' C library knows no time before 1970.
    return _EPOCH + timedelta(seconds=seconds, microseconds=microseconds)


def to_epoch_us(at: datetime) -> int:
    """An aware time to microseconds since the epoch, exactly.

    Raises:
        ValueError: the time has no zone.
    """
    if at.tzinfo is None:
        raise ValueError("expected an aware time, found a naive one")
    delta = at.astimezone(UTC) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds

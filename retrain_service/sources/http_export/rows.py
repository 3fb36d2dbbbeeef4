"""Read the records of one list of an export: ids, times and digests. Knows no HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from retrain_service.sources.json_values import to_json
from shared.records import composite_id, to_epoch_us

# Keys sorted: a back end may write the same record in another order.
_encode = msgspec.json.Encoder(order="sorted").encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the list.

    at_us : what its time field says, in microseconds since the epoch; None: nothing that is a time.
    digest : of all its fields; equal only when they are.
    """

    id: str
    at_us: int | None
    digest: str
    fields: Mapping[str, Any]


def rows_of(
    items: Sequence[Any], id_fields: Sequence[str], updated_at_field: str
) -> dict[str, Row]:
    """The rows by id; of two with the same id the newer one. What has no id is left out."""
    found: dict[str, Row] = {}
    for row in _rows(items, id_fields, updated_at_field):
        before = found.get(row.id)
        if before is None or (before.at_us or 0) <= (row.at_us or 0):
            found[row.id] = row
    return found


def id_of(item: Any, id_fields: Sequence[str]) -> str | None:
    """The id that the fields make together; None where one of them is missing or no id."""
    parts = [item.get(name) for name in id_fields] if isinstance(item, dict) else [None]
    if any(
        not isinstance(part, str | int) or isinstance(part, bool) or part == "" for part in parts
    ):
        return None
    return composite_id([str(part) for part in parts])


def parse_time(value: Any) -> datetime | None:
    """A time as back ends write it: ISO 8601, or seconds, milliseconds or microseconds since 1970.

    Without a zone it is UTC.
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value.strip())
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        # The unit that puts it into our century.
        unit_us = 1_000_000 if abs(value) < 1e11 else 1000 if abs(value) < 1e14 else 1
        return _EPOCH + timedelta(microseconds=round(value * unit_us))
    except (ValueError, OverflowError):
        return None


def _rows(items: Sequence[Any], id_fields: Sequence[str], updated_at_field: str) -> Iterator[Row]:
    for item in items:
        id_ = id_of(item, id_fields)
        if id_ is None:
            continue
        at = parse_time(item.get(updated_at_field))
        fields = to_json(item)
        digest = base64.b64encode(blake2b(_encode(fields), digest_size=9).digest()).decode()
        yield Row(id_, None if at is None else to_epoch_us(at), digest, fields)

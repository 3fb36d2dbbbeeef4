"""Read the records of one list of an export: ids, times and digests. Knows no HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from retrain_service.sources.json_values import to_json
from shared.documents.ids import read_id
from shared.documents.time_policy import TimePolicy
from shared.documents.times import read_time_us
from shared.records import composite_id

# Keys sorted: a back end may write the same record in another order.
_encode = msgspec.json.Encoder(order="sorted").encode


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
    items: Sequence[Any], id_fields: Sequence[str], updated_at_field: str, times: TimePolicy
) -> dict[str, Row]:
    """The rows by id; of two with the same id the newer one. What has no id is left out.

    times : how the time field is written.
    """
    found: dict[str, Row] = {}
    for row in _rows(items, id_fields, updated_at_field, times):
        before = found.get(row.id)
        if before is None or (before.at_us or 0) <= (row.at_us or 0):
            found[row.id] = row
    return found


def id_of(item: Any, id_fields: Sequence[str]) -> str | None:
    """The id that the fields make together; None where one of them is missing or no id."""
    parts = [item.get(name) for name in id_fields] if isinstance(item, dict) else [None]
    parts = [read_id(part) if isinstance(part, dict) else part for part in parts]
    # A program that has nulls in the column writes 7.0 for 7.
    parts = [int(part) if isinstance(part, float) and part.is_integer() else part for part in parts]
    if any(
        not isinstance(part, str | int) or isinstance(part, bool) or part == "" for part in parts
    ):
        return None
    return composite_id([str(part) for part in parts])


def _rows(
    items: Sequence[Any], id_fields: Sequence[str], updated_at_field: str, times: TimePolicy
) -> Iterator[Row]:
    for item in items:
        id_ = id_of(item, id_fields)
        if id_ is None:
            continue
        at_us = read_time_us(item.get(updated_at_field), times)
        fields = to_json(item)
        digest = base64.b64encode(blake2b(_encode(fields), digest_size=9).digest()).decode()
        yield Row(id_, at_us, digest, fields)

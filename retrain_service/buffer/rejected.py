"""List the records of a buffer that cannot be used: id, reason, field, masked value. Writes none.

The reason is the workload's; which field it is about is told by the names in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from retrain_service.buffer.store import Buffer, RejectedRow
from retrain_service.sources.shown_values import masked
from shared.documents.field_specs import FieldSpec
from shared.exchange.rejected_records import RejectedCount, RejectedRecord, RejectedRecords

MOST_OF_A_REASON = 200
MOST = 2_000
_LONGEST_ID = 200
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")


def list_rejected(
    buffer: Buffer, model: str, read_fields: Mapping[str, Sequence[FieldSpec]], now: datetime
) -> RejectedRecords:
    """What is unusable now; of each reason the newest records."""
    counts = [
        RejectedCount(stream, reason, n)
        for stream, found in buffer.statistics().items()
        for reason, n in found.rejected.items()
    ]
    rows = buffer.rejected(MOST_OF_A_REASON, MOST) if counts else []
    records = [_record(row, read_fields.get(row.stream, ())) for row in rows]
    return RejectedRecords(model=model, written_at=now, counts=counts, records=records)


def _record(row: RejectedRow, fields: Sequence[FieldSpec]) -> RejectedRecord:
    body = _decode(row.body)
    spec = field_of(row.reason, fields)
    name = next((one for one in spec.names if one in body), spec.name) if spec else None
    value = body.get(name) if name is not None else None
    return RejectedRecord(
        stream=row.stream,
        id=row.id[:_LONGEST_ID],
        updated_at=row.updated_at,
        reason=row.reason,
        field=name,
        value=_shown(value, spec) if value is not None else None,
        entity=row.entity,
    )


def _shown(value: Any, spec: FieldSpec | None) -> str:
    kind = spec.kind if spec is not None else "value"
    if kind == "text" and isinstance(value, str):  # a number that is a name is a telephone's
        return repr(value[:2] + "…") if len(value) > 2 else repr(value)
    return masked(value, is_word=kind == "word")


def field_of(reason: str, fields: Sequence[FieldSpec]) -> FieldSpec | None:
    """The last field that a reason names: "product without a name" is about `name`."""
    said = f" {' '.join(_words(reason))} "
    places = [
        (said.rfind(f" {' '.join(words)} "), len(words), spec)
        for spec in fields
        for name in spec.names
        for words in _spoken(name)
    ]
    place, _, found = max(places, key=lambda one: one[:2], default=(-1, 0, None))
    return found if place >= 0 else None


def _spoken(name: str) -> list[list[str]]:
    """The words of a name as people say them: `product_id` is a product as well."""
    words = _words(name)
    return [words, words[:-1]] if words[1:] and words[-1] == "id" else [words] if words else []


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]

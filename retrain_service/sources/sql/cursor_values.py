"""Encode raw column values in a cursor so that they decode to the same value. Knows no table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.errors import SourceMisconfigured

_READERS: dict[str, Callable[[str], Any]] = {
    "uuid": UUID,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": bytes.fromhex,
}


def pack(value: Any) -> Any:
    """A raw key or id as a JSON value; what JSON cannot hold exactly is tagged with its type."""
    match value:
        case bool() | int() | float() | str():
            return value
        case UUID():
            return {"uuid": str(value)}
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"datetime": value.isoformat()}
        case date():
            return {"date": value.isoformat()}
        case bytes() | bytearray() | memoryview():
            return {"bytes": bytes(value).hex()}
    raise SourceMisconfigured(
        f"expected an id or time that can be ordered by, found {type(value).__name__} {value!r}."
    )


def unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    (kind, text), *_ = packed.items()
    return _READERS[kind](text)


def id_text(value: Any) -> str:
    """A row's id as the record's id."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)

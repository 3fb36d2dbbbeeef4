"""Order Firestore values, and read or change a field by its path. Knows nothing of queries.

The order across types is the published one: null < bool < number < timestamp < string < bytes <
reference < geopoint < array < vector < map. Inside numbers, integers and floats interleave and NaN
comes first; strings compare as UTF-8; arrays by element, then length; maps by sorted key and value.
"""

import math
import re
from functools import lru_cache
from typing import Any

from google.cloud.firestore_v1.field_path import FieldPath

from .messages import Document, DocumentPb, FieldsPb, MaskPb, Value, ValuePb
from .refusal import invalid

OrderKey = tuple[Any, ...]
"""Compares as the value does. The first item ranks the type, so two keys always compare."""

NULL_RANK = 0
NUMBER_RANK = 2
NAN_KEY: OrderKey = (NUMBER_RANK, 0)
DOCUMENT_NAME = "__name__"

_NUMERIC_ID = re.compile(r"__id(-?\d+)__\Z")


def order_key(value: ValuePb) -> OrderKey:
    """The sort key of `value`; equal keys mean values that Firestore holds to be equal."""
    match value.WhichOneof("value_type"):
        case "null_value" | None:
            return (NULL_RANK,)
        case "boolean_value":
            return (1, value.boolean_value)
        case "integer_value":
            return (NUMBER_RANK, 1, value.integer_value)
        case "double_value":
            number = value.double_value
            return NAN_KEY if math.isnan(number) else (NUMBER_RANK, 1, number)
        case "timestamp_value":
            return (3, value.timestamp_value.seconds, value.timestamp_value.nanos)
        case "string_value":
            return (4, value.string_value.encode())
        case "bytes_value":
            return (5, value.bytes_value)
        case "reference_value":
            return (6, *name_key(value.reference_value))
        case "geo_point_value":
            return (7, value.geo_point_value.latitude, value.geo_point_value.longitude)
        case "array_value":
            return (8, tuple(order_key(element) for element in value.array_value.values))
        case "map_value":
            return _map_key(value.map_value.fields)
        case other:
            raise invalid(f"a value of type {other!r} cannot be stored or compared")


def _map_key(fields: FieldsPb) -> OrderKey:
    if "__type__" in fields and fields["__type__"].string_value == "__vector__":
        elements = fields["value"].array_value.values
        return (9, len(elements), tuple(order_key(element) for element in elements))
    by_key = sorted((name.encode(), order_key(value)) for name, value in fields.items())
    return (10, tuple(by_key))


@lru_cache(maxsize=65_536)  # every query compares names, and the same ones each time
def name_key(name: str) -> OrderKey:
    """Orders resource names segment by segment; numeric ids (``__id7__``) come before the rest."""
    return tuple(_segment_key(segment) for segment in name.split("/"))


def _segment_key(segment: str) -> OrderKey:
    numeric = _NUMERIC_ID.match(segment)
    return (0, int(numeric[1])) if numeric else (1, segment.encode())


def is_number(value: ValuePb) -> bool:
    return value.WhichOneof("value_type") in ("integer_value", "double_value")


def as_number(value: ValuePb) -> int | float:
    """The number in `value`; call only when `is_number` holds."""
    if value.WhichOneof("value_type") == "integer_value":
        return int(value.integer_value)
    return float(value.double_value)


@lru_cache(maxsize=1024)
def path_parts(field_path: str) -> tuple[str, ...]:
    """Split ``a.`b.c`.d`` into its names; INVALID_ARGUMENT when it is not a field path."""
    try:
        return tuple(FieldPath.from_api_repr(field_path).parts)
    except ValueError as error:
        raise invalid(f"not a field path: {field_path!r}") from error


def field_of(document: DocumentPb, parts: tuple[str, ...]) -> ValuePb | None:
    """The value at `parts`, None where the document has no such field."""
    if parts == (DOCUMENT_NAME,):
        return Value(reference_value=document.name)
    fields = document.fields
    for part in parts[:-1]:
        if part not in fields or fields[part].WhichOneof("value_type") != "map_value":
            return None
        fields = fields[part].map_value.fields
    return fields.get(parts[-1])


def set_field(fields: FieldsPb, parts: tuple[str, ...], value: ValuePb) -> None:
    """Put `value` at `parts`; whatever stands in the way becomes a map, as on the real server."""
    for part in parts[:-1]:
        step = fields[part]
        if step.WhichOneof("value_type") != "map_value":
            step.map_value.SetInParent()
        fields = step.map_value.fields
    fields[parts[-1]].CopyFrom(value)


def delete_field(fields: FieldsPb, parts: tuple[str, ...]) -> None:
    for part in parts[:-1]:
        if part not in fields or fields[part].WhichOneof("value_type") != "map_value":
            return
        fields = fields[part].map_value.fields
    if parts[-1] in fields:
        del fields[parts[-1]]


def projected(document: DocumentPb, paths: tuple[tuple[str, ...], ...]) -> DocumentPb:
    """A copy with only `paths`; the name and the times always stay."""
    copy = Document(name=document.name)
    copy.create_time.CopyFrom(document.create_time)
    copy.update_time.CopyFrom(document.update_time)
    for parts in paths:
        value = None if parts == (DOCUMENT_NAME,) else field_of(document, parts)
        if value is not None:
            set_field(copy.fields, parts, value)
    return copy


def masked(document: DocumentPb, mask: MaskPb) -> DocumentPb:
    return projected(document, tuple(path_parts(path) for path in mask.field_paths))


def check_storable(fields: FieldsPb) -> None:
    """Round timestamps down to microseconds in place; refuse an array directly in an array."""
    for value in fields.values():
        _check_value(value, inside_array=False)


def _check_value(value: ValuePb, *, inside_array: bool) -> None:
    kind = value.WhichOneof("value_type")
    if kind == "timestamp_value":
        value.timestamp_value.nanos -= value.timestamp_value.nanos % 1_000
    elif kind == "map_value":
        check_storable(value.map_value.fields)
    elif kind == "array_value":
        if inside_array:
            raise invalid("Cannot convert an array value in an array value.")
        for element in value.array_value.values:
            _check_value(element, inside_array=True)

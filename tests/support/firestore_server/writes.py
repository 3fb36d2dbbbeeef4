"""Apply one write to one document: precondition, mask, transforms. Pure but for its results.

The stored documents are shared with readers and never changed in place: every write makes a copy.
"""

import math
import re
from dataclasses import dataclass

from .messages import (
    Document,
    DocumentPb,
    FieldTransformPb,
    ServerValue,
    Value,
    ValuePb,
    WritePb,
    WriteResult,
    WriteResultPb,
)
from .refusal import already_exists, failed_precondition, invalid, not_found
from .timeline import us_from_pb, us_to_pb
from .values import (
    as_number,
    check_storable,
    delete_field,
    field_of,
    is_number,
    order_key,
    path_parts,
    set_field,
)

MAX_DOCUMENT_BYTES = 1_048_576
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_DOCUMENT_NAME = re.compile(r"projects/[^/]+/databases/[^/]+/documents(/[^/]+/[^/]+)+\Z")
_RESERVED_ID = re.compile(r"__.*__\Z")


@dataclass(frozen=True, slots=True)
class WriteTimes:
    """`request_us` is what a server timestamp becomes, `commit_us` what update_time becomes."""

    request_us: int
    commit_us: int


def name_written(write: WritePb) -> str:
    """The document a write is about; INVALID_ARGUMENT when the name is not one of a document."""
    match write.WhichOneof("operation"):
        case "update":
            name = write.update.name
        case "delete":
            name = write.delete
        case "transform":
            name = write.transform.document
        case _:
            raise invalid("a write must be an update, a delete or a transform")
    if not _DOCUMENT_NAME.match(name):
        raise invalid(f"Document name {name!r} is not the name of a document")
    if write.WhichOneof("operation") != "delete" and _RESERVED_ID.match(name.rsplit("/", 1)[1]):
        raise invalid(f"Resource id {name.rsplit('/', 1)[1]!r} is reserved")
    return str(name)


def apply_write(
    existing: DocumentPb | None, write: WritePb, times: WriteTimes
) -> tuple[DocumentPb | None, WriteResultPb]:
    """The document after `write` (None when deleted) and what the client is told about it.

    A write that changes nothing returns `existing` itself, so that its update_time stays.
    """
    _check_precondition(existing, write, name_written(write))
    if write.WhichOneof("operation") == "delete":
        return None, WriteResult()
    written = Document(name=name_written(write))
    _fill_fields(written, existing, write)
    transform_results = [
        _transform(written, transform, times.request_us) for transform in _transforms(write)
    ]
    check_storable(written.fields)
    if written.ByteSize() > MAX_DOCUMENT_BYTES:
        raise invalid(f"Document {written.name!r} exceeds {MAX_DOCUMENT_BYTES} bytes")
    if existing is not None and written.fields == existing.fields:
        written = existing
    else:
        commit_time = us_to_pb(times.commit_us)
        written.create_time.CopyFrom(existing.create_time if existing is not None else commit_time)
        written.update_time.CopyFrom(commit_time)
    result = WriteResult(update_time=written.update_time, transform_results=transform_results)
    return written, result


def _check_precondition(existing: DocumentPb | None, write: WritePb, name: str) -> None:
    match write.current_document.WhichOneof("condition_type"):
        case "exists" if write.current_document.exists and existing is None:
            raise not_found(f"No document to update: {name}")
        case "exists" if not write.current_document.exists and existing is not None:
            raise already_exists(f"Document already exists: {name}")
        case "update_time":
            wanted_us = us_from_pb(write.current_document.update_time)
            found_us = None if existing is None else us_from_pb(existing.update_time)
            if found_us != wanted_us:
                raise failed_precondition(
                    f"{name}: the stored version ({found_us}) does not match "
                    f"the required base version ({wanted_us})"
                )


def _fill_fields(written: DocumentPb, existing: DocumentPb | None, write: WritePb) -> None:
    is_whole_update = write.WhichOneof("operation") == "update" and not write.HasField(
        "update_mask"
    )
    source = write.update if is_whole_update else existing
    if source is not None:
        for name, value in source.fields.items():
            written.fields[name].CopyFrom(value)
    for field_path in write.update_mask.field_paths:
        parts = path_parts(field_path)
        value = field_of(write.update, parts)
        if value is None:
            delete_field(written.fields, parts)
        else:
            set_field(written.fields, parts, value)


def _transforms(write: WritePb) -> list[FieldTransformPb]:
    if write.WhichOneof("operation") == "transform":
        return list(write.transform.field_transforms)
    return list(write.update_transforms)


def _transform(document: DocumentPb, transform: FieldTransformPb, request_us: int) -> ValuePb:
    """Change the field in `document` and return the transform's result as the client sees it."""
    parts = path_parts(transform.field_path)
    current = field_of(document, parts)
    result = Value(null_value=0)
    match transform.WhichOneof("transform_type"):
        case "set_to_server_value":
            if transform.set_to_server_value != ServerValue.REQUEST_TIME:
                raise invalid("the only server value is REQUEST_TIME")
            # Published precision: the time of the request in whole milliseconds. Ties are common.
            changed = Value(timestamp_value=us_to_pb(request_us - request_us % 1_000))
            result = changed
        case "increment":
            changed = result = _incremented(current, transform.increment)
        case "maximum":
            changed = result = _extreme(current, transform.maximum, want_larger=True)
        case "minimum":
            changed = result = _extreme(current, transform.minimum, want_larger=False)
        case "append_missing_elements":
            changed = _array_union(current, list(transform.append_missing_elements.values))
        case "remove_all_from_array":
            changed = _array_without(current, list(transform.remove_all_from_array.values))
        case _:
            raise invalid(f"transform of {transform.field_path!r} names no operation")
    set_field(document.fields, parts, changed)
    return result


def _incremented(current: ValuePb | None, by: ValuePb) -> ValuePb:
    if not is_number(by):
        raise invalid("increment needs a number")
    if current is None or not is_number(current):
        return by
    total = as_number(current) + as_number(by)
    if isinstance(total, float):
        return Value(double_value=total)
    return Value(integer_value=min(max(total, _INT64_MIN), _INT64_MAX))


def _extreme(current: ValuePb | None, given: ValuePb, *, want_larger: bool) -> ValuePb:
    """The larger or smaller of two numbers; on a tie the stored one, and NaN wins over all."""
    if not is_number(given):
        raise invalid("maximum and minimum need a number")
    if current is None or not is_number(current):
        return given
    stored, offered = as_number(current), as_number(given)
    if math.isnan(stored) or math.isnan(offered):
        return Value(double_value=math.nan)
    replaces = offered > stored if want_larger else offered < stored
    return given if replaces else current


def _array_union(current: ValuePb | None, elements: list[ValuePb]) -> ValuePb:
    kept = list(current.array_value.values) if current is not None else []
    seen = {order_key(element) for element in kept}
    for element in elements:
        if order_key(element) not in seen:
            seen.add(order_key(element))
            kept.append(element)
    return _array(kept)


def _array_without(current: ValuePb | None, elements: list[ValuePb]) -> ValuePb:
    unwanted = {order_key(element) for element in elements}
    stored = list(current.array_value.values) if current is not None else []
    return _array([element for element in stored if order_key(element) not in unwanted])


def _array(elements: list[ValuePb]) -> ValuePb:
    array = Value()
    array.array_value.SetInParent()
    array.array_value.values.extend(elements)
    return array

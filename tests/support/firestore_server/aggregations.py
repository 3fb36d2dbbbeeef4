"""Count, sum and average the results of a query, and say how many index entries that took."""

import math
from collections.abc import Sequence

from .messages import AggregationResult, DocumentPb, RequestPb, Value, ValuePb
from .refusal import invalid
from .values import as_number, field_of, is_number, path_parts

MAX_AGGREGATIONS = 5
_INT64 = range(-(2**63), 2**63)


def aggregate(aggregations: Sequence[RequestPb], documents: list[DocumentPb]) -> RequestPb:
    """The AggregationResult over `documents`, which come from `with_all_fields`."""
    if not 1 <= len(aggregations) <= MAX_AGGREGATIONS:
        raise invalid(f"expected 1 to {MAX_AGGREGATIONS} aggregations, found {len(aggregations)}")
    result = AggregationResult()
    n_unnamed = 0
    for aggregation in aggregations:
        alias = aggregation.alias
        if not alias:
            n_unnamed += 1
            alias = f"field_{n_unnamed}"
        if alias in result.aggregate_fields:
            raise invalid(f"aggregation alias {alias!r} is used twice")
        result.aggregate_fields[alias].CopyFrom(_value(aggregation, documents))
    return result


def entries_matched(aggregations: Sequence[RequestPb], n_documents: int) -> int:
    """Index entries read: all of them, unless every aggregation is a count with a bound."""
    bounds = [
        aggregation.count.up_to.value
        for aggregation in aggregations
        if aggregation.WhichOneof("operator") == "count" and aggregation.count.HasField("up_to")
    ]
    if len(bounds) < len(aggregations):
        return n_documents
    return min(n_documents, int(max(bounds)))


def with_all_fields(
    aggregations: Sequence[RequestPb], documents: list[DocumentPb]
) -> list[DocumentPb]:
    """Drop documents that lack an aggregated field: the index that is read does not hold them.

    This changes a count that stands beside a sum, and is how the service documents it.
    """
    paths = [
        path_parts(getattr(aggregation, aggregation.WhichOneof("operator")).field.field_path)
        for aggregation in aggregations
        if aggregation.WhichOneof("operator") in ("sum", "avg")
    ]
    return [
        document
        for document in documents
        if all(field_of(document, parts) is not None for parts in paths)
    ]


def _value(aggregation: RequestPb, documents: list[DocumentPb]) -> ValuePb:
    match aggregation.WhichOneof("operator"):
        case "count":
            return Value(integer_value=_count(aggregation.count, len(documents)))
        case "sum":
            return _sum(_numbers(aggregation.sum.field.field_path, documents))
        case "avg":
            numbers = _numbers(aggregation.avg.field.field_path, documents)
            if not numbers:
                return Value(null_value=0)
            return Value(double_value=float(_total(numbers)) / len(numbers))
    raise invalid("an aggregation must be count, sum or avg")


def _count(count: RequestPb, n_documents: int) -> int:
    if not count.HasField("up_to"):
        return n_documents
    if count.up_to.value <= 0:
        raise invalid(f"up_to must be greater than zero, found {count.up_to.value}")
    return min(n_documents, int(count.up_to.value))


def _numbers(field_path: str, documents: list[DocumentPb]) -> list[int | float]:
    values = (field_of(document, path_parts(field_path)) for document in documents)
    return [as_number(value) for value in values if value is not None and is_number(value)]


def _sum(numbers: list[int | float]) -> ValuePb:
    total = _total(numbers)
    if isinstance(total, int) and total in _INT64:
        return Value(integer_value=total)
    return Value(double_value=float(total))


def _total(numbers: list[int | float]) -> int | float:
    if all(isinstance(number, int) for number in numbers):
        return sum(numbers)
    if any(math.isinf(number) or math.isnan(number) for number in numbers):
        return sum(numbers)  # fsum refuses inf - inf; plain addition gives NaN, as IEEE 754 does
    return math.fsum(numbers)

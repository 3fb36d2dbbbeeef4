"""Turn a query's filter into a predicate over documents. Knows nothing of order or limits.

A document without the filtered field matches nothing. A range compares only values of the type
it names. ``!=`` and ``not-in`` leave out null, and so do the two "is not" filters.
"""

from collections.abc import Callable, Iterator

from .messages import (
    CompositeOperator,
    DocumentPb,
    FieldOperator,
    FilterPb,
    UnaryOperator,
    ValuePb,
)
from .refusal import invalid
from .values import DOCUMENT_NAME, NAN_KEY, NULL_RANK, OrderKey, field_of, order_key, path_parts

Predicate = Callable[[DocumentPb], bool]

MAX_DISJUNCTIONS = 30
MAX_NOT_IN_VALUES = 10

_RANGES: dict[int, Callable[[OrderKey, OrderKey], bool]] = {
    FieldOperator.LESS_THAN: lambda found, bound: found < bound,
    FieldOperator.LESS_THAN_OR_EQUAL: lambda found, bound: found <= bound,
    FieldOperator.GREATER_THAN: lambda found, bound: found > bound,
    FieldOperator.GREATER_THAN_OR_EQUAL: lambda found, bound: found >= bound,
}
_INEQUALITIES = {*_RANGES, FieldOperator.NOT_EQUAL, FieldOperator.NOT_IN}
_LIST_OPERATORS = {FieldOperator.IN, FieldOperator.NOT_IN, FieldOperator.ARRAY_CONTAINS_ANY}
_UNARY_INEQUALITIES = {UnaryOperator.IS_NOT_NULL, UnaryOperator.IS_NOT_NAN}


def predicate_of(where: FilterPb) -> Predicate:
    """The whole filter as one function; INVALID_ARGUMENT for what Firestore would refuse."""
    if _disjunctions(where) > MAX_DISJUNCTIONS:
        raise invalid(f"a query may have at most {MAX_DISJUNCTIONS} disjunctions")
    return _predicate(where)


def inequality_fields(where: FilterPb) -> Iterator[tuple[str, ...]]:
    """Paths of the fields that an inequality puts into the order of the results."""
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            for part in where.composite_filter.filters:
                yield from inequality_fields(part)
        case "field_filter" if where.field_filter.op in _INEQUALITIES:
            yield path_parts(where.field_filter.field.field_path)
        case "unary_filter" if where.unary_filter.op in _UNARY_INEQUALITIES:
            yield path_parts(where.unary_filter.field.field_path)


def range_bounds(where: FilterPb, parts: tuple[str, ...]) -> Iterator[tuple[int, OrderKey]]:
    """Operator and bound of each range on the field that every result must satisfy."""
    match where.WhichOneof("filter_type"):
        case "composite_filter" if where.composite_filter.op == CompositeOperator.AND:
            for part in where.composite_filter.filters:
                yield from range_bounds(part, parts)
        case "field_filter" if where.field_filter.op in _RANGES:
            if path_parts(where.field_filter.field.field_path) == parts:
                yield where.field_filter.op, order_key(where.field_filter.value)


def is_outside(key: OrderKey, operator: int, bound: OrderKey) -> bool:
    """Whether no result can be at `key`; the bound itself counts as inside."""
    if key[0] != bound[0]:
        return True
    return key != bound and not _RANGES[operator](key, bound)


def _disjunctions(where: FilterPb) -> int:
    """How many terms the filter has once it is written as an OR of ANDs."""
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            counts = [_disjunctions(part) for part in where.composite_filter.filters]
            if where.composite_filter.op == CompositeOperator.OR:
                return sum(counts)
            product = 1
            for count in counts:
                product *= count
            return product
        case "field_filter" if where.field_filter.op in (
            FieldOperator.IN,
            FieldOperator.ARRAY_CONTAINS_ANY,
        ):
            return len(where.field_filter.value.array_value.values)
    return 1


def _predicate(where: FilterPb) -> Predicate:
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            return _composite(where.composite_filter)
        case "field_filter":
            return _field(where.field_filter)
        case "unary_filter":
            return _unary(where.unary_filter)
    raise invalid("a filter must be composite, on a field, or unary; found an empty one")


def _composite(composite: FilterPb) -> Predicate:
    parts = [_predicate(part) for part in composite.filters]
    if not parts:
        raise invalid("a composite filter needs at least one filter")
    if composite.op == CompositeOperator.AND:
        return lambda document: all(part(document) for part in parts)
    if composite.op == CompositeOperator.OR:
        return lambda document: any(part(document) for part in parts)
    raise invalid("a composite filter must be AND or OR")


def _field(field_filter: FilterPb) -> Predicate:
    parts = path_parts(field_filter.field.field_path)
    test = _value_test(field_filter.op, field_filter.value)
    if parts == (DOCUMENT_NAME,):
        _require_references(field_filter.op, field_filter.value)

    def matches(document: DocumentPb) -> bool:
        value = field_of(document, parts)
        return value is not None and test(value)

    return matches


def _require_references(operator: int, value: ValuePb) -> None:
    values = value.array_value.values if operator in _LIST_OPERATORS else [value]
    if any(item.WhichOneof("value_type") != "reference_value" for item in values):
        raise invalid("__key__ filter value must be a Key: compare __name__ with a reference")


def _value_test(operator: int, operand: ValuePb) -> Callable[[ValuePb], bool]:
    if operator in _LIST_OPERATORS:
        return _list_test(operator, operand)
    bound = order_key(operand)
    if operator in _RANGES:
        compare = _RANGES[operator]

        def in_range(value: ValuePb) -> bool:
            found = order_key(value)
            return bool(found[0] == bound[0]) and compare(found, bound)

        return in_range
    if operator == FieldOperator.EQUAL:
        return lambda value: order_key(value) == bound
    if operator == FieldOperator.NOT_EQUAL:
        return lambda value: order_key(value) not in ((NULL_RANK,), bound)
    if operator == FieldOperator.ARRAY_CONTAINS:
        return lambda value: any(order_key(item) == bound for item in value.array_value.values)
    raise invalid(f"unknown field operator {operator}")


def _list_test(operator: int, operand: ValuePb) -> Callable[[ValuePb], bool]:
    values = operand.array_value.values
    if operand.WhichOneof("value_type") != "array_value" or not values:
        raise invalid(f"{FieldOperator(operator).name} needs a non-empty array")
    wanted = {order_key(item) for item in values}
    if operator == FieldOperator.IN:
        return lambda value: order_key(value) in wanted
    if operator == FieldOperator.ARRAY_CONTAINS_ANY:
        return lambda value: any(order_key(item) in wanted for item in value.array_value.values)
    if len(values) > MAX_NOT_IN_VALUES:
        raise invalid(f"NOT_IN supports at most {MAX_NOT_IN_VALUES} values, found {len(values)}")
    if (NULL_RANK,) in wanted:
        return lambda value: False
    unwanted = wanted | {(NULL_RANK,)}
    return lambda value: order_key(value) not in unwanted


def _unary(unary: FilterPb) -> Predicate:
    parts = path_parts(unary.field.field_path)
    tests: dict[int, Callable[[OrderKey], bool]] = {
        UnaryOperator.IS_NULL: lambda key: key == (NULL_RANK,),
        UnaryOperator.IS_NAN: lambda key: key == NAN_KEY,
        UnaryOperator.IS_NOT_NULL: lambda key: key != (NULL_RANK,),
        UnaryOperator.IS_NOT_NAN: lambda key: key not in (NAN_KEY, (NULL_RANK,)),
    }
    if unary.op not in tests:
        raise invalid(f"unknown unary operator {unary.op}")
    test = tests[unary.op]

    def matches(document: DocumentPb) -> bool:
        value = field_of(document, parts)
        return value is not None and test(order_key(value))

    return matches

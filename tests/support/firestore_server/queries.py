"""Compile a structured query and run it over a snapshot of documents. No I/O, no state.

Firestore's order rules are made explicit here: fields with an inequality are appended to the
order by name, ``__name__`` comes last, both in the direction of the last order given; a document
that lacks any field of the resulting order is not part of the results.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .filters import Predicate, inequality_fields, is_outside, predicate_of, range_bounds
from .messages import Direction, DocumentPb, StructuredQueryPb, ValuePb
from .refusal import invalid, unimplemented
from .values import DOCUMENT_NAME, OrderKey, field_of, order_key, path_parts, projected

_NAME_PARTS = (DOCUMENT_NAME,)


@dataclass(frozen=True, slots=True)
class Order:
    parts: tuple[str, ...]
    is_descending: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    keys: tuple[OrderKey, ...]
    is_before: bool


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A query ready to run, together with the part of the tree that it looks at."""

    parent: str
    collection_id: str
    all_descendants: bool
    predicate: Predicate | None
    orders: tuple[Order, ...]
    start_at: Cursor | None
    end_at: Cursor | None
    offset: int
    limit: int | None
    projection: tuple[tuple[str, ...], ...] | None


@dataclass(frozen=True, slots=True)
class Matches:
    """Documents in order, before projection, and how many an offset passed over before them."""

    documents: list[DocumentPb]
    n_skipped: int


def compile_query(parent: str, query: StructuredQueryPb) -> CompiledQuery:
    """Refuses, as the service does, what cannot be run; the parent is a full resource name."""
    if query.HasField("find_nearest"):
        raise unimplemented("vector search is not part of this server")
    if len(query.from_) != 1:
        raise invalid(f"a query needs exactly one collection selector, found {len(query.from_)}")
    if query.offset < 0:
        raise invalid(f"offset must not be negative, found {query.offset}")
    if query.HasField("limit") and query.limit.value < 0:
        raise invalid(f"limit must not be negative, found {query.limit.value}")
    orders = _full_order(query)
    start_at = _cursor(query.start_at, orders) if query.HasField("start_at") else None
    end_at = _cursor(query.end_at, orders) if query.HasField("end_at") else None
    _check_cursors_inside_filter(query, orders[0], (start_at, end_at))
    selector = query.from_[0]
    return CompiledQuery(
        parent=parent,
        collection_id=selector.collection_id,
        all_descendants=selector.all_descendants,
        predicate=predicate_of(query.where) if query.HasField("where") else None,
        orders=orders,
        start_at=start_at,
        end_at=end_at,
        offset=query.offset,
        limit=query.limit.value if query.HasField("limit") else None,
        projection=_projection(query),
    )


def run(query: CompiledQuery, documents: Iterable[DocumentPb]) -> Matches:
    """Filter, order, cut and page `documents`, which must already be of the right collections."""
    positioned = []
    for document in documents:
        if query.predicate is not None and not query.predicate(document):
            continue
        position = _position(document, query.orders)
        if position is not None and _is_between_cursors(position, query):
            positioned.append((position, document))
    # The sort is stable, so sorting by the least significant field first gives the full order.
    for index in reversed(range(len(query.orders))):
        positioned.sort(
            key=lambda item, index=index: item[0][index],  # type: ignore[misc]
            reverse=query.orders[index].is_descending,
        )
    n_skipped = min(query.offset, len(positioned))
    end = None if query.limit is None else n_skipped + query.limit
    return Matches([document for _, document in positioned[n_skipped:end]], n_skipped)


def shown(query: CompiledQuery, document: DocumentPb) -> DocumentPb:
    """The document as the projection lets the caller see it."""
    return document if query.projection is None else projected(document, query.projection)


def _full_order(query: StructuredQueryPb) -> tuple[Order, ...]:
    orders = [
        Order(path_parts(order.field.field_path), order.direction == Direction.DESCENDING)
        for order in query.order_by
    ]
    is_descending = orders[-1].is_descending if orders else False
    present = {order.parts for order in orders}
    implied = set(inequality_fields(query.where)) if query.HasField("where") else set()
    for parts in sorted(implied - present - {_NAME_PARTS}):
        orders.append(Order(parts, is_descending))
    if _NAME_PARTS not in present:
        orders.append(Order(_NAME_PARTS, is_descending))
    if orders[-1].parts != _NAME_PARTS:
        raise invalid("order by clause cannot contain more fields after the key __name__")
    return tuple(orders)


def _cursor(cursor: ValuePb, orders: tuple[Order, ...]) -> Cursor:
    # The implied __name__ may be given too, so that a reader can go on between equal values.
    if len(cursor.values) > len(orders):
        raise invalid("Cursor has too many values.")
    for value, order in zip(cursor.values, orders, strict=False):
        if order.parts == _NAME_PARTS and value.WhichOneof("value_type") != "reference_value":
            raise invalid("Cursor position for __name__ must be a reference.")
    return Cursor(tuple(order_key(value) for value in cursor.values), cursor.before)


def _check_cursors_inside_filter(
    query: StructuredQueryPb, first: Order, cursors: Sequence[Cursor | None]
) -> None:
    if not query.HasField("where"):
        return
    for operator, bound in range_bounds(query.where, first.parts):
        for cursor in cursors:
            if cursor is not None and cursor.keys and is_outside(cursor.keys[0], operator, bound):
                raise invalid("cursor position is outside the range of the original query")


def _projection(query: StructuredQueryPb) -> tuple[tuple[str, ...], ...] | None:
    if not query.HasField("select") or not query.select.fields:
        return None
    return tuple(path_parts(field.field_path) for field in query.select.fields)


def _position(document: DocumentPb, orders: tuple[Order, ...]) -> tuple[OrderKey, ...] | None:
    """The document's place in the order; None when it lacks one of the fields."""
    keys = []
    for order in orders:
        value = field_of(document, order.parts)
        if value is None:
            return None
        keys.append(order_key(value))
    return tuple(keys)


def _is_between_cursors(position: Sequence[OrderKey], query: CompiledQuery) -> bool:
    if query.start_at is not None:
        side = _side(position, query.start_at, query.orders)
        if side < 0 or (side == 0 and not query.start_at.is_before):
            return False
    if query.end_at is not None:
        side = _side(position, query.end_at, query.orders)
        if side > 0 or (side == 0 and query.end_at.is_before):
            return False
    return True


def _side(position: Sequence[OrderKey], cursor: Cursor, orders: Sequence[Order]) -> int:
    """-1 before the cursor, 0 on it, 1 behind it; a cursor may name only the first fields."""
    for found, bound, order in zip(position, cursor.keys, orders, strict=False):
        if found != bound:
            return 1 if (found > bound) != order.is_descending else -1
    return 0

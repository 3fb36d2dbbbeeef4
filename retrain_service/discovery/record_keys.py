"""Choose what identifies the records of a collection, and by which time they are read.

Pure: a proposal from names, types and sampled values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from retrain_service.discovery.field_match import Match, is_epoch, plain
from retrain_service.discovery.usual_names import CHANGE_TIMES
from retrain_service.sources.catalogue import Collection, Column

KINDS_WITH_IDS = ("mongodb", "firestore", "elasticsearch", "prometheus")
"""Kinds of source whose records have an id without a setting."""

KINDS_WITHOUT_ORDER = ("http_export", "files", "prometheus")
"""Kinds that need no field to read by."""

_MOST_ID_COLUMNS = 3


def choose_id(collection: Collection, kind: str) -> tuple[tuple[str, ...], str]:
    """What identifies a record, and a doubt about it."""
    if kind in KINDS_WITH_IDS:
        return ("id",), ""
    if collection.key:
        return collection.key, ""
    for name in ("id", "_id", "uuid", "guid", "product_id", "no", "number", "nr"):
        column = next((c for c in collection.columns if plain(c.path) == plain(name)), None)
        if column is not None and _is_unique((column,)):
            return (column.field,), ""
    scalars = [
        column
        for column in collection.columns
        if column.is_top
        and column.kind in ("number", "text", "time")
        and "float" not in column.declared
    ]
    for n_columns in range(1, _MOST_ID_COLUMNS + 1):
        for some in combinations(scalars[:12], n_columns):
            if _is_unique(some):
                names = tuple(column.field for column in some)
                return names, "nothing says what is unique; in the sample this is."
    return (), ""


def _is_unique(columns: Sequence[Column]) -> bool:
    values = [column.values for column in columns]
    n_rows = min((len(each) for each in values), default=0)
    is_whole = all(len(column.values) == column.n_looked for column in columns)
    keys = {tuple(map(repr, row)) for row in zip(*values, strict=False)}
    return is_whole and n_rows > 1 and len(keys) == n_rows


def choose_time(collection: Collection, kind: str, matches: Mapping[str, Match]) -> tuple[str, str]:
    """The column that grows with each change, and a doubt about it."""
    if kind == "prometheus":
        return "updated_at", ""
    times = [column for column in collection.columns if column.is_top and orders(column, kind)]
    for name in CHANGE_TIMES:
        for column in times:
            if plain(column.path) == plain(name):
                return column.field, ""
    own = next((m.column for m in matches.values() if m.field.kind == "time"), None)
    if own is not None and own in times:
        chosen: Column | None = own
    else:
        is_day = kind == "sql"  # a date of SQL has no time of day
        chosen = next((c for c in times if not (is_day and c.declared == "date")), None)
    if chosen is None:
        return "", ""
    return chosen.field, (
        "there is no time of change, so a record that is changed later is not read again."
    )


def orders(column: Column, kind: str) -> bool:
    """Whether a source of this kind can read by the column."""
    if kind in ("mongodb", "firestore"):
        return column.declared == "date"
    if kind == "elasticsearch":
        return column.declared in ("date", "date_nanos")
    return column.kind == "time" or is_epoch(column)

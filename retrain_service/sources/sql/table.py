"""Describe a configured table: its columns and the format of its times. Reads no records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

import sqlalchemy as sa

from retrain_service.sources.sql import mysql
from retrain_service.sources.sql.query import query_table
from retrain_service.sources.sql.times import (
    DAY_US,
    TextFormat,
    TimeFormat,
    convert,
    epoch_form,
    is_odd_time,
    telling_epochs,
    text_form,
    text_shapes,
)
from shared.documents.time_columns import column_times
from shared.errors import CollectionMissing, SourceMisconfigured
from shared.settings.per_model import StreamSettings

_LOOKED_AT = 200
_MOST_DAYS = 20_000
"""Different values of a column that are not as most are; whether one is a time is seen soon."""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table, view or query; its columns are untyped on SQLite, where any row may hold any type.

    id_key : what rows of one time are ordered by. Under a collation that does not tell "a" from
        "A", the id alone would lose one of the two at the border of a page.
    is_indexed : whether an index on (updated_at, id) serves that order.
    form : None as long as no row tells how the times are kept.
    """

    table: sa.FromClause
    names: tuple[str, ...]
    id: sa.ColumnElement[Any]
    id_type: sa.types.TypeEngine[Any]
    id_key: sa.ColumnElement[Any]
    is_indexed: bool
    updated_at: sa.ColumnElement[Any]
    form: TimeFormat | None

    def id_as_text(self, dialect: str) -> sa.ColumnElement[Any]:
        """The record's id as the database writes it."""
        as_text = sa.cast(self.id, sa.Text)
        if dialect == "sqlite":
            is_binary = sa.func.typeof(self.id) == "blob"
            return sa.case((is_binary, sa.func.lower(sa.func.hex(self.id))), else_=as_text)
        if isinstance(self.id_type, sa.LargeBinary):
            if dialect == "mysql":
                return sa.func.lower(sa.func.hex(self.id))
            return sa.func.encode(self.id, "hex")
        return self.id if isinstance(self.id_type, sa.String) else as_text  # bare: for its index


def describe(connection: sa.Connection, stream: StreamSettings, zone: tzinfo) -> TableInfo:
    """Find the table and learn what its columns hold.

    Args:
        zone: of times that are kept without one.

    Raises:
        CollectionMissing: no such table; what there is, is named.
        SourceMisconfigured: no such column, or one that cannot be ordered by.
    """
    table: sa.FromClause
    if stream.query:
        table, types = query_table(connection, stream.query)
    else:
        table, types = _reflected(connection, stream.collection)
    wanted = [("id_field", name) for name in stream.id_fields]
    wanted.append(("updated_at_field", stream.updated_at_field))
    if stream.deleted_field:
        wanted.append(("deleted_field", stream.deleted_field))
    for setting, column_name in wanted:
        if column_name not in types:
            raise SourceMisconfigured(
                f"{stream.collection}: {setting} is {column_name!r}, but the columns are"
                f" {_listed(list(types))}."
            )
    updated_at = table.c[stream.updated_at_field]
    if connection.dialect.name == "sqlite":
        form = _sqlite_form(connection, table, updated_at, stream)
        id_type: sa.types.TypeEngine[Any] = sa.types.NullType()
    else:
        declared = types[stream.updated_at_field]
        form = _declared_form(connection, table, updated_at, declared, stream)
        id_type = types[stream.id_fields[0]]
    id_: sa.ColumnElement[Any] = table.c[stream.id_fields[0]]
    if len(stream.id_fields) > 1:
        id_, id_type = _composite_id(table, stream.id_fields), sa.Text()
    id_key, is_indexed = _id_key(connection, table, stream.id_fields, id_, id_type)
    if form is not None and form.is_naive:
        form = replace(form, zone=zone)
    return TableInfo(table, tuple(types), id_, id_type, id_key, is_indexed, updated_at, form)


def _reflected(
    connection: sa.Connection, collection: str
) -> tuple[sa.TableClause, dict[str, sa.types.TypeEngine[Any]]]:
    schema, name = _find(connection, collection)
    if connection.dialect.name == "mysql":
        types = mysql.column_types(connection, schema, name)
    else:
        reflected = sa.inspect(connection).get_columns(name, schema=schema)
        types = {str(column["name"]): column["type"] for column in reflected}
    return sa.table(name, *(sa.column(each) for each in types), schema=schema), types


def _composite_id(table: sa.FromClause, names: Sequence[str]) -> sa.ColumnElement[Any]:
    """As `shared.records.composite_id`, by the database; null where one of them is."""
    parts = [
        sa.func.replace(sa.func.replace(sa.cast(table.c[name], sa.Text), "%", "%25"), "|", "%7C")
        for name in names
    ]
    found: sa.ColumnElement[Any] = parts[0]
    for part in parts[1:]:
        found = sa.cast(found, sa.Text).concat("|").concat(part)
    return found


def _find(connection: sa.Connection, collection: str) -> tuple[str | None, str]:
    inspector = sa.inspect(connection)

    def is_there(schema: str | None, name: str) -> bool:
        if connection.dialect.name == "mysql":
            return mysql.has_table(connection, schema, name)
        return inspector.has_table(name, schema=schema)

    if is_there(None, collection):
        return None, collection
    schema, dot, name = collection.partition(".")
    if dot and is_there(schema, name):
        return schema, name
    there = [*inspector.get_table_names(), *inspector.get_view_names()]
    raise CollectionMissing(
        f"no table {collection!r}; the tables and views there are {_listed(sorted(there))}."
    )


def _id_key(
    connection: sa.Connection,
    table: sa.FromClause,
    names: Sequence[str],
    id_: sa.ColumnElement[Any],
    id_type: sa.types.TypeEngine[Any],
) -> tuple[sa.ColumnElement[Any], bool]:
    """An order in which no two different ids are equal, and whether an index serves it."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return sa.collate(id_, "BINARY"), True  # NOCASE is sorted within each time alone
    if dialect == "mysql":
        is_text = isinstance(id_type, sa.String)
        if not is_text:
            return id_, True
        is_table = isinstance(table, sa.TableClause)
        if is_table and len(names) == 1 and mysql.is_unique(connection, table, names[0]):
            return id_, True
        return sa.cast(id_, sa.LargeBinary), False
    if not isinstance(table, sa.TableClause):  # an order of its own: any collation may be in it
        return sa.collate(sa.cast(id_, sa.Text), "C"), False
    if all(_tells_apart(connection, table, name) for name in names):
        return id_, True
    return sa.collate(sa.cast(id_, sa.Text), "C"), False


def _tells_apart(connection: sa.Connection, table: sa.TableClause, column: str) -> bool:
    """Whether PostgreSQL takes only equal texts of the column for equal."""
    found = connection.execute(
        sa.text(
            "SELECT t.typname <> 'citext' AND COALESCE(c.collisdeterministic, true)"
            " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
            " LEFT JOIN pg_collation c ON c.oid = a.attcollation"
            " WHERE a.attrelid = to_regclass(:name) AND a.attname = :column"
        ),
        {
            "name": connection.dialect.identifier_preparer.format_table(table),
            "column": column,
        },
    ).scalar_one_or_none()
    return found is not False


def _listed(names: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(names[:most]) or "none"
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _sqlite_form(
    connection: sa.Connection,
    table: sa.FromClause,
    updated_at: sa.ColumnElement[Any],
    stream: StreamSettings,
) -> TimeFormat | None:
    """From what is stored: a declared type binds nobody in SQLite. The greater part decides, unless
    the others are times as well."""
    storage = sa.func.typeof(updated_at)
    n_rows: dict[str, int] = {
        name: n
        for name, n in connection.execute(
            sa.select(storage, sa.func.count()).select_from(table).group_by(storage)
        )
        if name != "null"
    }
    if not n_rows:
        return None
    n_numbers = n_rows.get("integer", 0) + n_rows.get("real", 0)
    is_number, is_text = storage.in_(["integer", "real"]), storage == "text"
    are_numbers = n_numbers > n_rows.get("text", 0) and n_numbers >= n_rows.get("blob", 0)
    others = connection.execute(
        sa.select(updated_at)
        .distinct()
        .select_from(table)
        .where(sa.not_(is_number if are_numbers else is_text), updated_at.is_not(None))
        .limit(_LOOKED_AT)
    ).scalars()
    if any(convert(value, "UTC") is not None for value in others):
        return _converted_form(connection, table, updated_at, stream)
    if are_numbers:
        return _epoch_column_form(connection, table, updated_at, is_number, "real" in n_rows)
    return _text_column_form(connection, table, updated_at, stream, is_text)


def _epoch_column_form(
    connection: sa.Connection,
    table: sa.FromClause,
    updated_at: sa.ColumnElement[Any],
    is_number: sa.ColumnElement[bool],
    has_fractions: bool,
) -> TimeFormat | None:
    least, greatest = connection.execute(
        sa.select(sa.func.min(updated_at), sa.func.max(updated_at))
        .select_from(table)
        .where(is_number, telling_epochs(updated_at))
    ).one()
    if greatest is None:
        return None
    return epoch_form(float(least), float(greatest), has_fractions, connection.dialect.name)


def _declared_form(
    connection: sa.Connection,
    table: sa.FromClause,
    updated_at: sa.ColumnElement[Any],
    declared: sa.types.TypeEngine[Any],
    stream: StreamSettings,
) -> TimeFormat | None:
    if isinstance(declared, sa.DateTime):
        digits = getattr(declared, "precision", getattr(declared, "fsp", None))
        return TimeFormat(
            "timestamptz" if declared.timezone else "timestamp",
            resolution_us=10 ** (6 - digits) if digits is not None else 1,
            is_naive=not declared.timezone,
        )
    if isinstance(declared, sa.Date):
        return TimeFormat("date", resolution_us=DAY_US, is_naive=True)
    if isinstance(declared, sa.Integer | sa.Numeric | sa.Float):
        has_fractions = not isinstance(declared, sa.Integer)
        is_number = updated_at.is_not(None)
        return _epoch_column_form(connection, table, updated_at, is_number, has_fractions)
    if isinstance(declared, sa.String):
        return _text_column_form(connection, table, updated_at, stream, updated_at.is_not(None))
    raise SourceMisconfigured(
        f"{stream.collection}.{stream.updated_at_field}: expected a time, an ISO text or a number,"
        f" found a column of type {declared}."
    )


def _text_column_form(
    connection: sa.Connection,
    table: sa.FromClause,
    updated_at: sa.ColumnElement[Any],
    stream: StreamSettings,
    is_text: sa.ColumnElement[bool],
) -> TimeFormat | None:
    shape = [part.label(f"shape_{i}") for i, part in enumerate(text_shapes(updated_at))]
    rows = connection.execute(
        sa.select(*shape, sa.func.count(), sa.func.min(updated_at), sa.func.max(updated_at))
        .select_from(table)
        .where(is_text)
        .group_by(*(sa.text(part.name) for part in shape))
    ).all()
    if not rows:
        return None
    shapes = [TextFormat(row[1], row[2], row[3], row[4]) for row in rows if row[0]]
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and any(is_odd_time(value) for row in rows for value in row[5:]):
        return _converted_form(connection, table, updated_at, stream)
    if shapes:
        form = text_form(shapes, connection.dialect.name)
        return replace(form, seen=tuple(tuple(row[:4]) for row in rows))
    raise SourceMisconfigured(
        f"{stream.collection}.{stream.updated_at_field}: expected a time such as"
        f" 2025-11-26T10:00:00Z, found {rows[0][5]!r}."
    )


def _converted_form(
    connection: sa.Connection,
    table: sa.FromClause,
    updated_at: sa.ColumnElement[Any],
    stream: StreamSettings,
) -> TimeFormat:
    """In SQLite. Of days and months the setting says which comes first, or else all the dates."""
    written = stream.updated_at_format
    if written:
        day_first: bool | None = written.find("%d") < written.find("%m")
    else:
        day = sa.func.substr(updated_at, 1, 10)
        days = connection.execute(
            sa.select(day)
            .distinct()
            .select_from(table)
            .where(updated_at.like("%/%/%") | updated_at.like("%-%-____%"))
            .limit(_MOST_DAYS)
        ).scalars()
        day_first = column_times(days).policy.day_first
    return TimeFormat("converted", is_naive=True, day_first=day_first)

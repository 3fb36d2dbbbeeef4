"""Estimate how many rows of a large table can be read, without a scan. Knows no cursor."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from retrain_service.sources.base import Inspection

COUNTED_UP_TO = 100_000
"""Rows; of a larger table PostgreSQL looks at a sample of about as many."""


def estimate(
    connection: sa.Connection,
    table: sa.FromClause,
    is_readable: Callable[[sa.FromClause], sa.ColumnElement[bool]],
) -> Inspection | None:
    """The rows, and those without a time; None: a small table, a query, or the server
    keeps no figure."""
    dialect = connection.dialect.name
    if dialect not in ("mysql", "postgresql") or not isinstance(table, sa.TableClause):
        return None
    statement, name = (
        (
            "SELECT table_rows FROM information_schema.tables"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name",
            table.name,
        )
        if dialect == "mysql"
        else (
            "SELECT reltuples::bigint FROM pg_class"
            " WHERE oid = to_regclass(:name) AND relkind IN ('r', 'm')",
            connection.dialect.identifier_preparer.format_table(table),
        )
    )
    figure = sa.text(statement)
    if dialect == "mysql":
        figure = figure.bindparams(schema=table.schema)
    n_records = connection.execute(figure, {"name": name}).scalar_one_or_none()
    if n_records is None or n_records <= COUNTED_UP_TO:
        return None
    if dialect == "mysql":  # it can take no sample of pages, but an index knows what has no time
        unreadable = sa.func.coalesce(is_readable(table), sa.false()) == sa.false()
        n_unreadable = connection.execute(
            sa.select(sa.func.count()).select_from(table).where(unreadable)
        ).scalar_one()
        return Inspection(max(n_records, n_unreadable), n_unreadable, None, is_exact=False)
    sample = table.tablesample(sa.func.system(100 * COUNTED_UP_TO / n_records), name="sample")
    n_seen, n_readable = connection.execute(
        sa.select(sa.func.count(), sa.func.count().filter(is_readable(sample))).select_from(sample)
    ).one()
    if not n_seen:
        return None
    n_without = round(n_records * (n_seen - n_readable) / n_seen)
    return Inspection(n_records, n_without, None, is_exact=False)

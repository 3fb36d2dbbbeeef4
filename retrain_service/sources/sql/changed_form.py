"""Notice that an application has begun to keep its times in another way. Reads no record.

A cursor compares stored times; those of another form would sort outside of what it asks for, and
nobody would ever hear of them.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from retrain_service.sources.sql.table import TableInfo
from retrain_service.sources.sql.times import (
    DAY_US,
    EARLIEST,
    UNIT_BORDERS,
    TimeFormat,
    convert,
    is_below,
    telling_epochs,
    text_shapes,
)
from shared.records import from_epoch_us, to_epoch_us

_MOST_SHAPES = 50
_LOOKED_AT = 200


def has_another_form(connection: sa.Connection, watched: TableInfo, after_us: int) -> bool:
    """Whether there are times that the form of the column, as it was learnt, does not meet.

    after_us : texts are looked at from the day before this time, so that an index serves.
    """
    if watched.form is None:
        return False
    dialect = connection.dialect.name
    is_other = _unlike(watched.form, watched.updated_at, after_us, dialect)
    if is_other is None:
        return False
    others = connection.execute(
        sa.select(watched.updated_at)
        .distinct()
        .select_from(watched.table)
        .where(is_other)
        .limit(_LOOKED_AT)
    ).scalars()
    return any(convert(value, "UTC") is not None for value in others)


def _unlike(
    form: TimeFormat, column: sa.ColumnElement[Any], after_us: int, dialect: str
) -> sa.ColumnElement[bool] | None:
    if form.kind == "epoch":
        position = next(i for i, (_, unit) in enumerate(UNIT_BORDERS) if unit == form.unit_us)
        is_greater = sa.not_(is_below(column, UNIT_BORDERS[position][0]))
        is_other = sa.and_(is_greater, telling_epochs(column))
        if position:
            is_smaller = is_below(column, UNIT_BORDERS[position - 1][0])
            is_other = sa.or_(is_other, sa.and_(is_smaller, telling_epochs(column)))
        # SQLite sorts texts behind all numbers.
        return sa.or_(is_other, column >= "") if dialect == "sqlite" else is_other
    if form.kind != "text" or not 0 < len(form.seen) <= _MOST_SHAPES:
        return None
    day = from_epoch_us(max(after_us - DAY_US, to_epoch_us(EARLIEST))).date().isoformat()
    shape = text_shapes(column)
    known = [
        sa.and_(*(part == value for part, value in zip(shape, values, strict=True)))
        for values in form.seen
    ]
    is_other = sa.and_(column >= day, sa.not_(sa.or_(*known)))
    return sa.or_(is_other, column < "") if dialect == "sqlite" else is_other

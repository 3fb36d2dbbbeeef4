"""Read a configured SELECT as if it were a table: it stands in a subquery.

Nothing is written: the connections can only read, and a statement that is no SELECT is no subquery.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from shared.errors import SourceMisconfigured

Types = dict[str, sa.types.TypeEngine[Any]]

_NAME = "hotfit_query"
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SELECT = re.compile(r"\s*\(*\s*(select|with|values|table)\b", re.IGNORECASE)
_POSTGRES: dict[int, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys((20, 21, 23, 26), sa.BigInteger()),
    **dict.fromkeys((700, 701), sa.Float()),
    1700: sa.Numeric(),
    16: sa.Boolean(),
    **dict.fromkeys((18, 19, 25, 1042, 1043), sa.Text()),
    17: sa.LargeBinary(),
    1082: sa.Date(),
    1114: sa.DateTime(),
    1184: sa.DateTime(timezone=True),
    2950: sa.Uuid(),
}
"""Type of a column by its number in the server's catalogue, which is fixed for built-in types."""


def query_table(connection: sa.Connection, query: str) -> tuple[sa.FromClause, Types]:
    """The query as something to select from, and its columns with their types.

    Raises:
        SourceMisconfigured: not one SELECT, or two of its columns have one name.
    """
    text = query.strip().rstrip(";").strip()
    if not _SELECT.match(_COMMENTS.sub(" ", text)):
        raise SourceMisconfigured(f"query: expected one SELECT, found {query.strip()[:60]!r}.")
    # The line's end closes a comment at the query's own end; a colon there is no parameter of ours.
    statement = sa.text(text.replace("\\", "\\\\").replace(":", "\\:") + "\n")
    asked = sa.select(sa.text("*")).select_from(statement.columns().subquery(_NAME)).limit(0)
    result = connection.execute(asked)
    described = result.cursor.description if result.cursor is not None else ()
    names = [str(column[0]) for column in described]
    result.close()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceMisconfigured(
            f"query: the column {twice[0]!r} comes twice; name each with AS, once."
        )
    types = {
        name: _type(connection.dialect.name, column[1])
        for name, column in zip(names, described, strict=True)
    }
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    return statement.columns(*columns).subquery(_NAME), types


def _type(dialect: str, code: Any) -> sa.types.TypeEngine[Any]:
    if dialect == "postgresql":
        return _POSTGRES.get(code, sa.types.NullType())
    if dialect == "mysql":
        return _mysql_type(code)
    return sa.types.NullType()


def _mysql_type(code: Any) -> sa.types.TypeEngine[Any]:
    from pymysql.constants import FIELD_TYPE

    if code == FIELD_TYPE.TIMESTAMP:
        instant = mysql.TIMESTAMP(fsp=6)
        instant.timezone = True  # in UTC, as the session asks for it
        return instant
    kinds: dict[int, sa.types.TypeEngine[Any]] = {
        **dict.fromkeys(
            (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG,
             FIELD_TYPE.INT24),
            sa.BigInteger(),
        ),
        **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), sa.Float()),
        **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), sa.Numeric()),
        **dict.fromkeys(
            (FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.ENUM,
             FIELD_TYPE.BLOB, FIELD_TYPE.LONG_BLOB, FIELD_TYPE.MEDIUM_BLOB, FIELD_TYPE.TINY_BLOB),
            sa.String(),
        ),
        FIELD_TYPE.DATE: sa.Date(),
        FIELD_TYPE.DATETIME: mysql.DATETIME(fsp=6),
    }  # fmt: skip
    return kinds.get(code, sa.types.NullType())

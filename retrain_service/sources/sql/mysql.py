"""MySQL and MariaDB: connections that can only read, and what their columns hold. Reads no rows.

The driver is PyMySQL: pure Python, so that it installs everywhere, and under the MIT licence.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.pool import QueuePool

from shared.errors import SourceMisconfigured


def open_mysql_engine(url: sa.URL, timeout_s: float) -> sa.Engine:
    """An engine that has not connected yet.

    Raises:
        SourceMisconfigured: the address has a parameter that the driver does not know.
        ModuleNotFoundError: the driver is not installed.
    """
    import pymysql
    from pymysql.constants import FIELD_TYPE

    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=timeout_s,
        # As PostgreSQL: each statement sees what was committed before it.
        isolation_level="READ COMMITTED",
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": max(2, round(timeout_s)),
            # The server's own limit comes first, because it says more.
            "read_timeout": timeout_s + 1,
            "write_timeout": timeout_s + 1,
            "program_name": "hotfit",
            # Modes of the server change quoting and what a zero date is compared as.
            "sql_mode": "",
            # UTC, so that TIMESTAMP columns are told in it.
            "init_command": "SET SESSION time_zone = '+00:00'",
            "conv": {
                **pymysql.converters.conversions,
                FIELD_TYPE.BIT: lambda raw: int.from_bytes(raw, "big"),
                FIELD_TYPE.DATE: _date,
                FIELD_TYPE.DATETIME: _datetime,
                FIELD_TYPE.TIMESTAMP: _instant,
                FIELD_TYPE.TIME: lambda text: text,
            },
        },
    )
    known = inspect.signature(pymysql.connections.Connection.__init__).parameters
    unknown = sorted(set(engine.dialect.create_connect_args(url)[1]) - set(known))
    if unknown:
        raise SourceMisconfigured(
            f"url: the driver PyMySQL knows no parameter {unknown[0]!r}; for an encrypted"
            " connection write ?ssl_ca=/path/to/ca.pem."
        )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            if "MariaDB" in connection.server_version:
                cursor.execute("SET SESSION max_statement_time = %s", [timeout_s])
            else:
                with suppress(pymysql.err.MySQLError):  # MySQL 5.6 has no limit of its own
                    cursor.execute("SET SESSION max_execution_time = %s", [round(timeout_s * 1000)])

    return engine


def has_table(connection: sa.Connection, schema: str | None, name: str) -> bool:
    """Whether the reader may see the table or view; to ask for another one is an error there."""
    found = connection.execute(
        sa.text(
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
        ),
        {"schema": schema, "name": name},
    )
    return found.first() is not None


def column_types(
    connection: sa.Connection, schema: str | None, name: str
) -> dict[str, sa.types.TypeEngine[Any]]:
    """Column -> type. Not by SHOW CREATE, which needs a further right on a view."""
    rows = connection.execute(
        sa.text(
            "SELECT column_name, data_type, datetime_precision FROM information_schema.columns"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
            " ORDER BY ordinal_position"
        ),
        {"schema": schema, "name": name},
    )
    return {column: _type(kind, precision) for column, kind, precision in rows}


def is_unique(connection: sa.Connection, table: sa.FromClause, column: str) -> bool:
    """Whether an index on the whole column alone keeps two rows from comparing as equal."""
    if not isinstance(table, sa.TableClause):
        return False
    found = connection.execute(
        sa.text(
            "SELECT 1 FROM information_schema.statistics"
            " WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :name"
            " GROUP BY index_name"
            " HAVING MAX(non_unique) = 0 AND COUNT(*) = 1 AND MAX(column_name) = :column"
            " AND MAX(sub_part) IS NULL"
        ),
        {"schema": table.schema, "name": table.name, "column": column},
    )
    return found.first() is not None


def converted_text(column: sa.ColumnElement[Any], zone: Any) -> sa.ColumnElement[Any]:
    """A text with or without a zone as a DATETIME in UTC; `zone`: as text_shapes() tells it."""
    bare = sa.func.left(column, sa.func.length(column) - sa.func.length(zone))
    offset = sa.case((zone.in_(["", "Z"]), "+00:00"), else_=zone)
    return sa.func.convert_tz(sa.cast(bare, mysql.DATETIME(fsp=6)), offset, "+00:00")


def _type(kind: str, precision: int | None) -> sa.types.TypeEngine[Any]:
    match kind.lower():
        case "datetime":
            return mysql.DATETIME(fsp=precision or 0)
        case "timestamp":
            found_at = mysql.TIMESTAMP(fsp=precision or 0)
            found_at.timezone = True  # in UTC, as the session asks for it
            return found_at
        case "enum" | "set" | "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext":
            return sa.String()
        case "binary" | "varbinary":
            return sa.LargeBinary()
        case other:
            found: type[sa.types.TypeEngine[Any]] = mysql.dialect.ischema_names.get(
                other, sa.types.NullType
            )
            return found()


# '0000-00-00' and '2024-00-00' are values there, and no dates anywhere else.


def _datetime(text: str) -> datetime | None:
    from pymysql.converters import convert_datetime

    found = convert_datetime(text)
    return found if isinstance(found, datetime) else None


def _instant(text: str) -> datetime | None:
    found = _datetime(text)
    return None if found is None else found.replace(tzinfo=UTC)


def _date(text: str) -> date | None:
    from pymysql.converters import convert_date

    found = convert_date(text)
    return found if isinstance(found, date) else None

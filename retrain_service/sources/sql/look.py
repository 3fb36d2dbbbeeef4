"""Look at a SQL database: tables, views, keys, references and a few rows of each. Read-only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from retrain_service.sources.catalogue import Catalogue, Collection, Reference, columns_of
from retrain_service.sources.json_values import decode_json_text, to_json
from retrain_service.sources.sql.engine import check_file, open_engine, parse_url
from retrain_service.sources.sql.errors import translate_errors
from shared.errors import HotfitError
from shared.settings.sections import SourceSettings

MOST_TABLES = 200
COUNTED_UP_TO = 100_000
_N_ROWS = 40
_HIDDEN = ("information_schema", "mysql", "performance_schema", "sys")


def look(settings: SourceSettings, only: Sequence[str] = ()) -> Catalogue:
    """All tables and views, or those named; a table that cannot be read is a remark.

    Raises:
        SourceUnavailable, SourceMisconfigured: nothing can be read at all.
    """
    with SqlDatabase(settings) as database:
        found, remarks = [], []
        names = database.names()
        chosen = [each for each in names if not only or database.name_of(*each) in only]
        if len(chosen) > MOST_TABLES:
            remarks.append(f"{len(chosen)} tables; the first {MOST_TABLES} were looked at.")
        for schema, name, is_view in chosen[:MOST_TABLES]:
            try:
                found.append(database.table(schema, name, is_view))
            except HotfitError as error:
                remarks.append(f"{database.name_of(schema, name, is_view)}: {error}")
    return Catalogue(tuple(found), tuple(remarks))


class SqlDatabase:
    """One database, with a connection for as long as the block lasts."""

    def __init__(self, settings: SourceSettings) -> None:
        self._url = parse_url(settings.url)
        self._timeout_s = settings.timeout_s
        self._where = self._url.set(query={}).render_as_string(hide_password=True)
        self._engine, _ = open_engine(self._url, settings.timeout_s)
        self._default: str | None = None

    def __enter__(self) -> SqlDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        check_file(self._url)
        with translate_errors(self._where, self._timeout_s), self._engine.connect() as connection:
            yield connection

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    def names(self) -> list[tuple[str | None, str, bool]]:
        """(schema, name, whether it is a view); schema None for the default one."""
        found: list[tuple[str | None, str, bool]] = []
        with self.connected() as connection:
            inspector = sa.inspect(connection)
            self._default = inspector.default_schema_name
            for schema in self._schemas(inspector):
                tables = inspector.get_table_names(schema=schema)
                views = [*inspector.get_view_names(schema=schema)]
                if self.dialect == "postgresql":
                    views += inspector.get_materialized_view_names(schema=schema)
                found += [(schema, name, False) for name in sorted(tables)]
                found += [(schema, name, True) for name in sorted(views)]
        return found

    def _schemas(self, inspector: sa.Inspector) -> list[str | None]:
        if self.dialect != "postgresql":
            return [None]
        others = [
            name
            for name in inspector.get_schema_names()
            if name != self._default and name not in _HIDDEN and not name.startswith("pg_")
        ]
        return [None, *sorted(others)]

    @staticmethod
    def name_of(schema: str | None, name: str, _is_view: bool = False) -> str:
        """As the setting `collection` takes it."""
        return name if schema is None else f"{schema}.{name}"

    def table(self, schema: str | None, name: str, is_view: bool) -> Collection:
        """One table with its first and last rows."""
        with self.connected() as connection:
            inspector = sa.inspect(connection)
            columns = inspector.get_columns(name, schema=schema)
            key = tuple(
                inspector.get_pk_constraint(name, schema=schema).get("constrained_columns") or ()
            )
            foreign = inspector.get_foreign_keys(name, schema=schema) if not is_view else []
        declared = {str(each["name"]): self._declared(each["type"]) for each in columns}
        choices = {
            str(each["name"]): tuple(each["type"].enums)
            for each in columns
            if isinstance(each["type"], sa.Enum) and each["type"].enums
        }
        table = sa.table(name, *(sa.column(each) for each in declared), schema=schema)
        rows = self._rows(table, list(declared), key)
        with self.connected() as connection:
            some = sa.select(sa.literal(1)).select_from(table).limit(COUNTED_UP_TO + 1).subquery()
            n_records = connection.execute(
                sa.select(sa.func.count()).select_from(some)
            ).scalar_one()
        references = tuple(
            Reference(
                tuple(each["constrained_columns"]),
                self.name_of(
                    None if each["referred_schema"] == self._default else each["referred_schema"],
                    each["referred_table"],
                ),
                tuple(each["referred_columns"]),
            )
            for each in foreign
        )
        return Collection(
            self.name_of(schema, name),
            columns_of(rows, declared, choices),
            key,
            references,
            n_records,
            is_view,
            sample=tuple(rows),
        )

    def _rows(
        self, table: sa.TableClause, names: Sequence[str], key: Sequence[str]
    ) -> list[dict[str, Any]]:
        statement = sa.select(*(table.c[name] for name in names)).limit(_N_ROWS)
        statements = [statement]
        if len(key) == 1:
            statements.append(statement.order_by(table.c[key[0]].desc()))
        found: list[dict[str, Any]] = []
        for each in statements:
            found += self._fetch(each, names)
        return found

    def _fetch(self, statement: sa.Select[Any], names: Sequence[str]) -> list[dict[str, Any]]:
        try:
            with self.connected() as connection:
                rows = connection.execute(statement).all()
        except HotfitError:
            # A value that the driver cannot decode, such as a time after the year 9999.
            as_text = [
                sa.cast(column, sa.Text).label(column.name) for column in statement.selected_columns
            ]
            with self.connected() as connection:
                rows = connection.execute(statement.with_only_columns(*as_text)).all()
        return [
            {name: decode_json_text(to_json(value)) for name, value in zip(names, row, strict=True)}
            for row in rows
        ]

    def fetch(self, query: str, n_rows: int) -> list[dict[str, Any]]:
        """The first rows of a statement of ours, as records."""
        with self.connected() as connection:
            statement = f"SELECT * FROM ({query}) AS q LIMIT {n_rows}"  # noqa: S608 - ours
            result = connection.execute(sa.text(statement))
            names = list(result.keys())
            rows = result.all()
        return [
            {name: decode_json_text(to_json(value)) for name, value in zip(names, row, strict=True)}
            for row in rows
        ]

    def n_present(self, collection: str, column: str, values: Sequence[Any]) -> int:
        """How many of these values are in a column of a table."""
        schema, _, name = collection.rpartition(".")
        table = sa.table(name, sa.column(column), schema=schema or None)
        as_text = sa.cast(table.c[column], self._text)
        wanted = [str(value) for value in values]
        with self.connected() as connection:
            found = connection.execute(sa.select(as_text).where(as_text.in_(wanted)).distinct())
            return len(found.all())

    @property
    def _text(self) -> sa.types.TypeEngine[str]:
        return sa.CHAR() if self.dialect in ("mysql", "mariadb") else sa.Text()

    def quoted(self, collection: str) -> str:
        """A table's name as a statement takes it."""
        quote = self._engine.dialect.identifier_preparer.quote
        return ".".join(quote(part) for part in collection.rpartition(".")[::2] if part)

    def quote(self, name: str) -> str:
        return str(self._engine.dialect.identifier_preparer.quote(name))

    def _declared(self, type_: sa.types.TypeEngine[Any]) -> str:
        if isinstance(type_, sa.DateTime):
            if self.dialect == "sqlite":
                return "text"
            return "timestamp with time zone" if type_.timezone else "timestamp"
        if isinstance(type_, sa.Enum):
            return "enum"
        if isinstance(type_, sa.ARRAY):
            return "array"
        if type_.__class__.__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
            return "boolean"
        try:
            return str(type_).lower()
        except sa.exc.CompileError:
            return type_.__class__.__name__.lower()

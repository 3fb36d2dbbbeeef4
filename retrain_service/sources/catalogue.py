"""What a database holds, as far as a bounded look tells: collections, columns, a few records.

Values only; the same for every kind of database. Knows no driver and no workload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrain_service.sources.shown_values import (
    NOUNS,
    ValueKind,
    epoch_unit,
    kind_of_value,
    shown,
    words_in,
)

_MOST_DEPTH = 4
_MOST_COLUMNS = 300
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or one path into nested documents, and what the sample holds in it.

    path : a JMESPath expression over the record; `lines[].qty` leads through an array.
    declared : the type as the database names it, "" where it names none.
    choices : of an enumeration, every text that it may hold.
    values : of the sample, without what is missing; n_looked : records looked at.
    """

    path: str
    declared: str = ""
    choices: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    n_looked: int = 0

    @property
    def kinds(self) -> Mapping[ValueKind, int]:
        """What kinds of values there are, the most frequent first."""
        counts: dict[ValueKind, int] = {}
        for value in self.values:
            kind = kind_of_value(value)
            counts[kind] = counts.get(kind, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    @property
    def kind(self) -> ValueKind | None:
        """The most frequent kind; by its declared type where there is no value."""
        return next(iter(self.kinds), None) or _DECLARED.get(_plain_type(self.declared))

    @property
    def name(self) -> str:
        """The last part of the path, without brackets and quotes."""
        return re.split(r"\.|\[\]", self.path.rstrip("[]"))[-1].strip('"')

    @property
    def field(self) -> str:
        """The name of a top field as settings take it that are no expressions."""
        is_quoted = self.path.startswith('"')
        return str(json.loads(self.path)) if is_quoted and self.is_top else self.path

    @property
    def is_top(self) -> bool:
        """A field of the record itself."""
        return re.fullmatch(r'"(?:[^"\\]|\\.)*"|[^".\[\]]+', self.path) is not None

    @property
    def is_naive_time(self) -> bool:
        """Whether the database keeps times here without their zone."""
        return _plain_type(self.declared) in (
            "timestamp",
            "datetime",
            "timestamp without time zone",
        )


@dataclass(frozen=True, slots=True)
class Collection:
    """A table, view, collection or list.

    name : as the setting `collection` takes it. key : the columns of its primary key.
    n_records : None where it was not counted; more than `counted_up_to` is only "more".
    query : the statement that joins it, where it is no table of the database. sample : records.
    settings : further settings of a stream that reads it, such as {"collection_group": True}.
    """

    name: str
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    n_records: int | None = None
    is_view: bool = False
    query: str = ""
    sample: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def column(self, path: str) -> Column | None:
        return next((each for each in self.columns if each.path == path), None)

    @property
    def plain_name(self) -> str:
        """Without its schema."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns that hold the key of another collection. is_declared : by the database itself."""

    columns: tuple[str, ...]
    collection: str
    key: tuple[str, ...]
    is_declared: bool = True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of a database. remarks : what could not be looked at, as sentences."""

    collections: tuple[Collection, ...]
    remarks: tuple[str, ...] = field(default=())

    def collection(self, name: str) -> Collection | None:
        return next((each for each in self.collections if each.name == name), None)


def columns_of(
    records: Sequence[Mapping[str, Any]],
    declared: Mapping[str, str] | None = None,
    choices: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Column, ...]:
    """The columns of sampled records, nested ones as paths; declared ones also if empty."""
    found: dict[str, list[Any]] = {quoted_path(name): [] for name in declared or {}}
    for record in records:
        for path, value in _paths(record):
            if path in found or len(found) < _MOST_COLUMNS:
                found.setdefault(path, []).append(value)
    types = {quoted_path(name): text for name, text in (declared or {}).items()}
    texts = {quoted_path(name): each for name, each in (choices or {}).items()}
    return tuple(
        Column(path, types.get(path, ""), texts.get(path, ()), tuple(values), len(records))
        for path, values in found.items()
    )


def quoted_path(name: str) -> str:
    """A field's name as one part of a JMESPath expression."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _paths(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        yield from _below(quoted_path(str(name)), value, 0)


def _below(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if value is None or value == "":
        return
    yield path, value
    if depth >= _MOST_DEPTH:
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _below(f"{path}.{quoted_path(str(name))}", inner, depth + 1)
    elif isinstance(value, list):
        for inner in _mappings(value):
            for name, leaf in inner.items():
                yield from _below(f"{path}[].{quoted_path(str(name))}", leaf, depth + 1)


def _mappings(values: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)][:3]


def described(column: Column) -> str:
    """Type and a few masked values: `a number, milliseconds since 1970 (1796067055187, …)`."""
    kind = next(iter(column.kinds), None)
    if kind is None:
        return "always empty"
    what = "a text" if column.declared == "string" else NOUNS[kind]
    unit = epoch_unit(column.values[0])
    if unit:
        what = f"{what}, {unit} since 1970"
    is_word = words_in(column.values) is not None and kind == "text"
    return f"{what} ({shown(column.values, is_word=is_word)})"


def _plain_type(declared: str) -> str:
    return re.sub(r"\(.*?\)", "", declared.lower()).strip()


_DECLARED: Mapping[str, ValueKind] = {
    **dict.fromkeys(
        ("timestamp", "datetime", "timestamptz", "timestamp with time zone", "date"), "time"
    ),
    **dict.fromkeys(
        ("integer", "bigint", "smallint", "int", "numeric", "decimal", "real", "float"), "number"
    ),
    **dict.fromkeys(("double precision", "double", "money", "double_precision"), "number"),
    **dict.fromkeys(("boolean", "bool"), "flag"),
    **dict.fromkeys(("text", "varchar", "char", "character varying", "enum", "uuid"), "text"),
    **dict.fromkeys(("json", "jsonb"), "object"),
    "array": "list",
}

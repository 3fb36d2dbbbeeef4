"""Join tables of lines with the records that they belong to, by keys that exist or are evident.

The statement is a proposal for the setting `query`; it selects and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from retrain_service.discovery.field_match import plain, tokens_of
from retrain_service.sources.catalogue import Catalogue, Collection, Reference, columns_of
from retrain_service.sources.sql.look import SqlDatabase
from shared.errors import HotfitError
from shared.settings.sections import SourceSettings

_MOST_JOINS = 30
_N_ROWS = 60
_N_ASKED = 20
_LINE_WORDS = frozenset(
    ("line", "item", "position", "detail", "part", "entry", "row", "product", "material")
)


def joined_collections(catalogue: Catalogue, settings: SourceSettings) -> list[Collection]:
    """Each table of lines together with what it belongs to, as a collection with a `query`."""
    with SqlDatabase(settings) as database:
        return _joined(catalogue, database)


def _joined(catalogue: Catalogue, database: SqlDatabase) -> list[Collection]:
    found: list[Collection] = []
    for child in catalogue.collections:
        if child.is_view or not _looks_like_lines(child):
            continue
        for reference in _references(child, catalogue, database):
            parent = catalogue.collection(reference.collection)
            if parent is not None and len(found) < _MOST_JOINS:
                try:
                    found.append(_join(child, parent, reference, database))
                except HotfitError:
                    continue  # a proposal less; the tables themselves are still there
    return found


def _looks_like_lines(child: Collection) -> bool:
    return bool({token.rstrip("s") for token in tokens_of(child.plain_name)} & _LINE_WORDS) or (
        len(child.key) > 1
    )


def _references(
    child: Collection, catalogue: Catalogue, database: SqlDatabase
) -> Iterator[Reference]:
    """Declared ones, else a column whose values are keys of a table that its name speaks of."""
    declared = [each for each in child.references if len(each.columns) == 1]
    yield from declared
    known = {each.columns[0] for each in declared}
    for column in child.columns:
        if not column.is_top or column.path in known or column.kind not in ("number", "text"):
            continue
        for parent in catalogue.collections:
            if parent is child or parent.is_view or len(parent.key) != 1:
                continue
            if not _speaks_of(column.name, child, parent):
                continue
            values = list(dict.fromkeys(map(str, column.values)))[:_N_ASKED]
            try:
                if values and database.n_present(parent.name, parent.key[0], values) == len(values):
                    yield Reference((column.path,), parent.name, parent.key, is_declared=False)
                    break
            except HotfitError:
                continue


def _speaks_of(column: str, child: Collection, parent: Collection) -> bool:
    """`order_id` in `WorkOrderLine` speaks of `WorkOrder`, and of `orders`."""
    tokens = [token.rstrip("s") for token in tokens_of(column)]
    parents = [token.rstrip("s") for token in tokens_of(parent.plain_name)]
    bare = [token for token in tokens if token not in ("id", "no", "nr", "uuid", "key", "number")]
    if not bare or len(bare) == len(tokens):
        return False
    return bare[-1] in parents or plain("".join(bare)) == plain(parent.plain_name.rstrip("s"))


def _join(
    child: Collection, parent: Collection, reference: Reference, database: SqlDatabase
) -> Collection:
    """One row a line, with the columns of both; those of the parent that clash get its name."""
    own = [column for column in child.columns if column.is_top]
    taken = {plain(column.path) for column in own}
    prefix = "_".join(tokens_of(parent.plain_name))
    selected = [f"l.{database.quote(column.path)}" for column in own]
    declared = {column.path: column.declared for column in own}
    choices = {column.path: column.choices for column in own}
    for column in parent.columns:
        if not column.is_top or column.path == reference.key[0]:
            continue
        name = column.path if plain(column.path) not in taken else f"{prefix}_{column.path}"
        quoted = database.quote(name)
        source = f"o.{database.quote(column.path)}"
        selected.append(source if name == column.path else f"{source} AS {quoted}")
        declared[name], choices[name] = column.declared, column.choices
    query = (
        f"SELECT {', '.join(selected)} FROM {database.quoted(child.name)} l"  # noqa: S608 - quoted
        f" JOIN {database.quoted(parent.name)} o"
        f" ON o.{database.quote(reference.key[0])} = l.{database.quote(reference.columns[0])}"
    )
    rows = database.fetch(query, _N_ROWS)
    return Collection(
        child.name,
        columns_of(rows, declared, {name: each for name, each in choices.items() if each}),
        child.key,
        n_records=child.n_records,
        is_view=True,
        query=query,
    )

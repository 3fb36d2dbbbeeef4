"""Find the column in which an application keeps a field of a workload: by name, type and values.

Knows no database. What is returned is a proposal with its score, never a decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retrain_service.discovery.usual_names import CHANGE_TIMES, NAMES
from retrain_service.sources.catalogue import Collection, Column
from retrain_service.sources.shown_values import epoch_units, words_in
from shared.documents.field_specs import FieldKind, FieldSpec

LEAST_SCORE = 40

_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Match:
    """A column for a field. score : 0 to 100; at 80 and more by a name that nobody doubts."""

    field: FieldSpec
    column: Column
    score: int


def plain(name: str) -> str:
    """A name without case and punctuation: `unitPrice`, `unit_price` and `Unit Price` are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def tokens_of(name: str) -> tuple[str, ...]:
    """The words that a name is made of, in lower case.

    >>> tokens_of("WorkOrderLine"), tokens_of("order_no"), tokens_of("cpuPct")
    (('work', 'order', 'line'), ('order', 'no'), ('cpu', 'pct'))
    """
    return tuple(token.lower() for token in _TOKENS.findall(name))


def usual_names(workload: str, stream: str, field: FieldSpec) -> Sequence[str]:
    """All names under which the field may be kept, the better ones first."""
    known = NAMES.get((workload, stream), {}).get(field.name, ())
    return list(dict.fromkeys([*known, *field.names]))


def best_matches(
    workload: str, stream: str, fields: Iterable[FieldSpec], collection: Collection
) -> dict[str, Match]:
    """Field -> its best column; no column is given to two fields."""
    fields = list(fields)
    found = [
        Match(field, column, score)
        for field in fields
        if not field.is_line_only
        for column in collection.columns
        if (score := _score(usual_names(workload, stream, field), field, column)) >= LEAST_SCORE
    ]
    chosen: dict[str, Match] = {}
    taken: set[str] = set()
    for match in sorted(found, key=lambda match: -match.score):
        if match.field.name not in chosen and match.column.path not in taken:
            chosen[match.field.name] = match
            taken.add(match.column.path)
    for field in fields:
        if field.kind == "time" and field.is_needed and field.name not in chosen:
            chosen |= {match.field.name: match for match in _any_time(field, collection, taken)}
    for field in fields:
        if field.is_line_only and (
            line := _line_match(workload, stream, field, collection, chosen)
        ):
            chosen[field.name] = line
    return chosen


def _any_time(field: FieldSpec, collection: Collection, taken: set[str]) -> list[Match]:
    """A record must have a time: one by any name, rather an event's than that of a change."""
    changes = {plain(name) for name in CHANGE_TIMES}
    times = [
        column
        for column in collection.columns
        if column.is_top and column.path not in taken and column.values and fits("time", column)
    ]
    times.sort(key=lambda column: plain(column.path) in changes)
    return [Match(field, column, LEAST_SCORE) for column in times[:1]]


def _line_match(
    workload: str,
    stream: str,
    field: FieldSpec,
    collection: Collection,
    chosen: Mapping[str, Match],
) -> Match | None:
    """The column of a field of a line: below the list that was found, else of the record."""
    listed = chosen.get(field.in_list)
    prefix = f"{listed.column.path}[]." if listed else ""
    names = usual_names(workload, stream, field)
    scored = [
        Match(field, column, score)
        for column in collection.columns
        if (column.path.startswith(prefix) if prefix else column.is_top)
        and (score := _score(names, field, column)) >= LEAST_SCORE
        and column.path not in {match.column.path for match in chosen.values()}
    ]
    return max(scored, key=lambda match: match.score, default=None)


def _score(names: Sequence[str], field: FieldSpec, column: Column) -> int:
    if not fits(field.kind, column):
        return 0
    if "[]" in column.path and not field.in_list:
        return 0
    places = [plain(column.name)]
    if not column.is_top and "[]" not in column.path:
        places = [plain(column.path), *(places if len(places[0]) > 3 else [])]
    best = 0
    for rank, name in enumerate(names):
        wanted = plain(name)
        if wanted in places:
            best = max(best, 100 - min(rank, 15))
        elif _ends_with(tokens_of(column.name), tokens_of(name)):
            best = max(best, 70 - min(rank, 20))
    return best - (0 if column.is_top else 5) if best else 0


def _ends_with(whole: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """`article_unit_price` speaks of a `unit_price`; one short word proves nothing."""
    if not part or len(part) >= len(whole) or len("".join(part)) < 4:
        return False
    return whole[-len(part) :] == part or whole[: len(part)] == part


def fits(kind: FieldKind, column: Column) -> bool:
    """Whether a column of such values can hold a field of this kind."""
    there = column.kind
    if there is None:
        return True  # nothing is known: the name decides
    if kind == "time":
        return there == "time" or (there == "number" and is_epoch(column))
    if kind == "number":
        return there == "number" and column.declared != "date"
    if kind == "id":
        return there in ("number", "text")
    if kind == "list":
        return there in ("list", "object")
    if kind == "value":
        return there in ("flag", "number", "text")
    if kind == "flag":
        return there in ("flag", "number", "text")
    if kind == "word":
        return there == "flag" or bool(column.choices) or words_in(column.values) is not None
    return there in ("text", "list", "object") if kind == "text" else False


def is_epoch(column: Column) -> bool:
    """Whether its numbers are times of our century."""
    numbers = epoch_units(column.values)
    return bool(column.values) and sum(numbers.values()) >= 0.9 * len(column.values)

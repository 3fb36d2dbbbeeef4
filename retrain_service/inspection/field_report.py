"""Say of each field of a workload where it was found, how often it can be used, and what mends it.

By the workload's own declaration of its fields. Reads no database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrain_service.discovery.field_match import fits, plain, tokens_of, usual_names
from retrain_service.sources.catalogue import Collection, Column, columns_of, described
from retrain_service.sources.shown_values import NOUNS, counted, kind_of_value, shown
from shared.documents.field_specs import FieldSpec
from shared.documents.ids import read_id
from shared.documents.number_columns import column_policy
from shared.documents.numbers import read_number
from shared.documents.time_columns import column_times
from shared.documents.times import read_day, read_time_us

_NOUNS_OF_KINDS: Mapping[str, str] = {
    "time": "a time", "number": "a number", "id": "an id", "text": "a text", "word": "a word",
    "flag": "true or false", "list": "a list", "value": "a number, a text, true or false",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FieldReport:
    """One field in a sample of n_looked records.

    found : the name or path under which it is there, "" where it is not.
    n_there : records that hold something; n_usable : those whose value can be read.
    problem : what is wrong, as a sentence; remark : what is read and yet worth a look.
    words : of a field of words, those that there are and how often.
    """

    field: FieldSpec
    found: str
    n_there: int
    n_usable: int
    n_looked: int
    problem: str = ""
    remark: str = ""
    words: str = ""

    @property
    def sentence(self) -> str:
        needed = "" if self.field.is_needed or self.field.is_line_only else " (optional)"
        if not self.n_there:
            return f"{self.field.name}{needed}: not found; {self.problem}"
        share = f"{self.n_usable:,} of {self.n_looked:,} usable"
        if self.words:
            share = f"{self.n_there:,} of {self.n_looked:,}: {self.words}"
        where = "" if self.found == self.field.name else f" in {self.found}"
        rest = "; ".join(filter(None, (self.problem, self.remark)))
        return f"{self.field.name}{needed}: found{where}, {share}" + (f"; {rest}" if rest else "")


def report_fields(
    workload: str,
    stream: str,
    fields: Sequence[FieldSpec],
    records: Sequence[Mapping[str, Any]],
    *,
    raw: Sequence[Mapping[str, Any]],
    places: Mapping[str, str],
) -> list[FieldReport]:
    """A report for each field.

    records : as the workload reads them, mapped. raw : as the source gave them.
    places : mapped field -> the expression that it was configured with.
    """
    there = Collection("", columns_of(list(raw)))
    lists = {each.name: each.names for each in fields if each.kind == "list"}
    return [
        _report(
            workload,
            stream,
            each,
            records,
            there,
            place=places.get(each.name),
            list_names=lists.get(each.in_list, ()),
        )
        for each in fields
    ]


def _report(
    workload: str,
    stream: str,
    field: FieldSpec,
    records: Sequence[Mapping[str, Any]],
    there: Collection,
    *,
    place: str | None,
    list_names: Sequence[str],
) -> FieldReport:
    found_names: Counter[str] = Counter()
    values: list[Any] = []
    n_looked = 0
    for record in records:
        for holder in _holders(field, record, list_names):
            n_looked += 1
            name = next((name for name in field.names if _is_there(holder.get(name))), None)
            if name is not None:
                found_names[name] += 1
                values.append(holder[name])
    n_usable = sum(_is_usable(field, value) for value in values)
    found = place or next((name for name, _ in found_names.most_common(1)), "")
    problem = ""
    if not values:
        problem = _what_is_there(workload, stream, field, there, place)
    elif n_usable < len(values) and not (field.meanings and n_usable):
        problem = _what_is_wrong(field, values)
    words = _words(values) if field.meanings else ""
    remark = _remark(field, values)
    return FieldReport(field, found, len(values), n_usable, n_looked, problem, remark, words)


def _words(values: Sequence[Any]) -> str:
    """`approved (72), false (8)`."""
    spelt = [str(v).lower() if isinstance(v, bool) else str(v).strip()[:30] for v in values]
    return counted(Counter(spelt), 6)


def _holders(
    field: FieldSpec, record: Mapping[str, Any], list_names: Sequence[str]
) -> list[Mapping[str, Any]]:
    """The record, or the lines of it."""
    has_it = any(_is_there(record.get(name)) for name in field.names)
    if not field.in_list or (has_it and not field.is_line_only):
        return [record]
    lines = next((record[n] for n in list_names if record.get(n)), None)
    if isinstance(lines, Mapping):
        lines = list(lines.values())
    listed = (
        [line for line in lines if isinstance(line, Mapping)] if isinstance(lines, list) else []
    )
    return listed or ([] if field.is_line_only else [record])


def _is_there(value: Any) -> bool:
    return value is not None and value != ""


def _is_usable(field: FieldSpec, value: Any) -> bool:
    if field.kind == "time":
        return read_time_us(value) is not None or read_day(value) is not None
    if field.kind == "number":
        number = read_number(value)
        return number == number
    if field.kind == "id":
        return read_id(value) is not None
    if field.kind == "list":
        return isinstance(value, list | Mapping | str)
    if field.kind == "value":
        return isinstance(value, str | int | float)
    if field.meanings:
        known = {plain(str(word)) for m, words in field.meanings.items() for word in (m, *words)}
        return value is True or plain(str(value)) in known
    return not isinstance(value, Mapping) or bool(value)


def _what_is_wrong(field: FieldSpec, values: Sequence[Any]) -> str:
    bad = [value for value in values if not _is_usable(field, value)]
    if field.meanings:
        return f"none of these words means {' or '.join(field.meanings)}"
    if field.kind == "time" and (problem := column_times(values).problem):
        return problem
    if field.kind == "number" and (problem := column_policy(values).problem):
        return problem
    kinds = Counter(kind_of_value(value) for value in bad)
    noun = NOUNS[kinds.most_common(1)[0][0]]
    return f"expected {_NOUNS_OF_KINDS[field.kind]}, found {noun}: {shown(bad)}"


def _remark(field: FieldSpec, values: Sequence[Any]) -> str:
    return column_times(values).remark if field.kind == "time" and values else ""


def _what_is_there(
    workload: str, stream: str, field: FieldSpec, there: Collection, place: str | None
) -> str:
    """What was looked for, and what there is that may be meant."""
    if place:
        return f"the expression {place} finds nothing. There is: {_columns(there.columns)}"
    looked_for = ", ".join(field.names[:6]) + (" …" if len(field.names) > 6 else "")
    near = _near(workload, stream, field, there)
    if near is None:
        return f"looked for {looked_for}"
    but = "" if fits(field.kind, near) else f", not {_NOUNS_OF_KINDS[field.kind]}"
    return f"looked for {looked_for}; there is {near.path}: {described(near)}{but}"


def _near(workload: str, stream: str, field: FieldSpec, there: Collection) -> Column | None:
    """The column whose name speaks of the field, whatever its values are."""
    for name in usual_names(workload, stream, field):
        for column in there.columns:
            if plain(column.name) == plain(name) and (column.is_top or field.in_list):
                return column
    wanted = set(tokens_of(field.name))
    for column in there.columns:
        if wanted & set(tokens_of(column.name)) and column.is_top:
            return column
    return None


def _columns(columns: Sequence[Column], most: int = 12) -> str:
    names = [column.path for column in columns if column.is_top]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

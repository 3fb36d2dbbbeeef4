"""How one stream of a workload could be read from one collection, and what is not certain in it.

Pure: a proposal from names, types and sampled values. Writes no file and asks no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from retrain_service.discovery.field_match import (
    Match,
    best_matches,
    is_epoch,
    plain,
    tokens_of,
)
from retrain_service.discovery.usual_names import CHANGE_TIMES, MEANINGS, STREAM_WORDS, TOMBSTONES
from retrain_service.sources.catalogue import Collection, Column
from retrain_service.sources.shown_values import words_in
from shared.documents.field_specs import FieldSpec
from shared.workloads.training import StreamSpec

_MOST_ID_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The settings of [models.…streams.STREAM], as far as they could be found.

    fields : field -> JMESPath expression, or a table of settings such as {"constant": "purchase"}.
    words : meaning -> words. missing : needed fields without a place, and settings without a value.
    doubts : field or setting -> what a person should look at, as a sentence.
    score : how much speaks for this collection; comparable within one stream only.
    """

    stream: str
    collection: Collection
    id_fields: tuple[str, ...]
    updated_at: str
    deleted_field: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    score: int = 0
    matches: Mapping[str, Match] = field(default_factory=dict)


def plan_stream(
    workload: str,
    spec: StreamSpec,
    fields: Sequence[FieldSpec],
    collection: Collection,
    kind: str,
) -> StreamPlan:
    """The plan for reading `collection` as this stream. kind : of the source."""
    matches = best_matches(workload, spec.name, fields, collection)
    doubts: dict[str, str] = {}
    mapped: dict[str, Any] = {}
    words: dict[str, tuple[Any, ...]] = {}
    missing: list[str] = []
    for each in fields:
        match = matches.get(each.name)
        if match is None:
            constant = _constant_for(workload, each, collection)
            if constant is not None:
                mapped[each.name] = {"constant": constant}
                doubts[each.name] = f"no column says it, so every record counts as {constant!r}."
            elif each.is_needed and not _has_lines_instead(each, matches):
                missing.append(each.name)
            continue
        if not _is_found_by_itself(each, match, collection):
            mapped[each.name] = match.column.path
        if each.meanings:
            known, doubt = _words_for(each, match.column)
            words.update(known)
            if doubt:
                doubts[each.name] = doubt
        elif match.score < 60:
            doubts[each.name] = f"found by a part of its name only ({match.column.path})."
    lines = {
        each.name: matches[each.name]
        for each in fields
        if each.is_line_only and each.name in matches
    }
    if any(name in mapped for name in lines):
        # A line with one mapped field has no others than mapped ones.
        mapped |= {name: match.column.path for name, match in lines.items()}
    if any(each.is_line_only for each in fields) and not _names_a_line(matches):
        listed = next((each.in_list for each in fields if each.is_line_only), "")
        if listed not in matches:
            missing += [] if listed in missing else [listed]
    elif _names_a_line(matches):
        missing = [name for name in missing if name != "spareParts"]
    id_fields, id_doubt = choose_id(collection, kind)
    updated_at, time_doubt = choose_time(collection, kind, matches)
    if id_doubt:
        doubts["id_field"] = id_doubt
    if time_doubt:
        doubts["updated_at_field"] = time_doubt
    if not id_fields:
        missing.append("id_field")
    if not updated_at and kind not in ("http_export", "files"):
        missing.append("updated_at_field")
    tombstone = next(
        (c.path for name in TOMBSTONES for c in collection.columns if plain(c.path) == plain(name)),
        "",
    )
    return StreamPlan(
        spec.name,
        collection,
        id_fields,
        updated_at,
        tombstone,
        mapped,
        words,
        tuple(missing),
        doubts,
        _score(workload, spec.name, fields, collection, matches, mapped),
        matches,
    )


# -- one field ---------------------------------------------------------------------------------


def _is_found_by_itself(spec: FieldSpec, match: Match, collection: Collection) -> bool:
    """Whether the workload finds this column without a mapping."""
    if spec.is_line_only:
        prefix = match.column.path.rpartition("[].")[0]
        return bool(prefix) and match.column.name in spec.names
    first = next((name for name in spec.names if collection.column(name) is not None), None)
    return first == match.column.path and match.column.is_top


def _names_a_line(matches: Mapping[str, Match]) -> bool:
    return any(name in matches and matches[name].field.is_line_only for name in ("name", "sku"))


def _has_lines_instead(spec: FieldSpec, matches: Mapping[str, Match]) -> bool:
    """A list that is not there is no loss where the record itself is one line."""
    return spec.kind == "list" and _names_a_line(matches)


def _constant_for(workload: str, spec: FieldSpec, collection: Collection) -> str | None:
    """What every record of such a collection means, where no column says it."""
    if not spec.meanings:
        return None
    if workload == "product_recommender" and spec.name == "type":
        tokens = set(tokens_of(collection.plain_name)) | {
            token.rstrip("s") for token in tokens_of(collection.plain_name)
        }
        for meaning, hints in (
            ("rate", ("rating", "review")),
            ("view", ("view", "click", "visit", "impression")),
            ("add_to_cart", ("cart", "wishlist", "favorite", "favourite", "like")),
            ("purchase", ("order", "purchase", "sale", "transaction", "invoice", "line")),
        ):
            if tokens & set(hints):
                return meaning
        return None
    return next(iter(spec.meanings)) if spec.is_needed else None


def _words_for(spec: FieldSpec, column: Column) -> tuple[dict[str, tuple[Any, ...]], str]:
    """The words of a column by meaning; what the workload knows by itself is left out."""
    there: list[Any] = list(column.choices) or _different(column.values)
    found: dict[str, tuple[Any, ...]] = {}
    for meaning, usual in spec.meanings.items():
        known = {plain(str(word)) for word in (meaning, *usual)}
        taken = {*known, *(plain(word) for word in MEANINGS.get(meaning, ()))}
        chosen = [word for word in there if word is True or plain(str(word)) in taken]
        if chosen and not all(word is not True and plain(str(word)) in known for word in chosen):
            found[meaning] = tuple(chosen)
    understood = {plain(str(word)) for words in found.values() for word in words}
    understood |= {plain(str(word)) for m, usual in spec.meanings.items() for word in (m, *usual)}
    if not any(word is True or plain(str(word)) in understood for word in there):
        listed = ", ".join(repr(word) for word in there[:8])
        return found, f"none of its words is known ({listed}); say which of them count."
    return found, ""


def _different(values: Sequence[Any]) -> list[Any]:
    counts: Mapping[str, int] = words_in(values) or {}
    if set(map(type, values)) == {bool}:
        return sorted(set(values), reverse=True)
    return list(counts)


# -- the record --------------------------------------------------------------------------------


def choose_id(collection: Collection, kind: str) -> tuple[tuple[str, ...], str]:
    """What identifies a record, and a doubt about it."""
    if kind in ("mongodb", "firestore", "elasticsearch"):
        return ("id",), ""
    if collection.key:
        return collection.key, ""
    for name in ("id", "_id", "uuid", "guid", "product_id", "no", "number", "nr"):
        column = next((c for c in collection.columns if plain(c.path) == plain(name)), None)
        if column is not None and _is_unique((column,)):
            return (column.path,), ""
    scalars = [
        column
        for column in collection.columns
        if column.is_top
        and column.kind in ("number", "text", "time")
        and "float" not in column.declared
    ]
    for n_columns in range(1, _MOST_ID_COLUMNS + 1):
        for some in combinations(scalars[:12], n_columns):
            if _is_unique(some):
                names = tuple(column.path for column in some)
                return names, "nothing says what is unique; in the sample this is."
    return (), ""


def _is_unique(columns: Sequence[Column]) -> bool:
    values = [column.values for column in columns]
    n_rows = min((len(each) for each in values), default=0)
    is_whole = all(len(column.values) == column.n_looked for column in columns)
    keys = {tuple(map(repr, row)) for row in zip(*values, strict=False)}
    return is_whole and n_rows > 1 and len(keys) == n_rows


def choose_time(collection: Collection, kind: str, matches: Mapping[str, Match]) -> tuple[str, str]:
    """The column that grows with each change, and a doubt about it."""
    times = [column for column in collection.columns if column.is_top and _orders(column, kind)]
    for name in CHANGE_TIMES:
        for column in times:
            if plain(column.path) == plain(name):
                return column.path, ""
    own = next((m.column for m in matches.values() if m.field.kind == "time"), None)
    if own is not None and own in times:
        chosen: Column | None = own
    else:
        chosen = next((column for column in times if column.declared != "date"), None)
    if chosen is None:
        return "", ""
    return chosen.path, (
        "there is no time of change, so a record that is changed later is not read again."
    )


def _orders(column: Column, kind: str) -> bool:
    if kind in ("mongodb", "firestore"):
        return column.declared == "date"
    return column.kind == "time" or is_epoch(column)


def _score(
    workload: str,
    stream: str,
    fields: Sequence[FieldSpec],
    collection: Collection,
    matches: Mapping[str, Match],
    mapped: Mapping[str, Any],
) -> int:
    needed = sum(
        matches[each.name].score for each in fields if each.is_needed and each.name in matches
    )
    others = [m.score for m in matches.values() if not m.field.is_needed]
    names = {token.rstrip("s") for token in tokens_of(collection.plain_name)}
    hints = {each.rstrip("s") for each in STREAM_WORDS.get((workload, stream), ())}
    by_constant = sum(isinstance(each, dict) for each in mapped.values())
    return needed + sum(others) // 3 + 60 * len(names & hints) - 40 * by_constant

"""How one stream of a workload could be read from one collection, and what is not certain in it.

Pure: a proposal from names, types and sampled values. Writes no file and asks no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retrain_service.discovery.field_match import Match, best_matches, plain, tokens_of
from retrain_service.discovery.record_keys import (
    KINDS_WITH_IDS,
    KINDS_WITHOUT_ORDER,
    choose_id,
    choose_time,
    orders,
)
from retrain_service.discovery.usual_names import MEANINGS, STREAM_WORDS, TOMBSTONES
from retrain_service.sources.catalogue import Collection, Column, quoted_path
from retrain_service.sources.shown_values import words_in
from shared.documents.field_specs import FieldSpec
from shared.mapping.shapes import Shape, recognised
from shared.workloads.training import StreamSpec

_OF_A_SHAPE = 500


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The settings of [models.…streams.STREAM], as far as they could be found.

    fields : field -> JMESPath expression, or a table of settings such as {"constant": "purchase"}.
    words : meaning -> words. missing : needed fields without a place, and settings without a value.
    doubts : field or setting -> what a person should look at, as a sentence.
    score : how much speaks for this collection; comparable within one stream only.
    shape : a mapping that ships with Hotfit and fits all of it; then there are no fields.
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
    shape: str = ""


def plan_stream(
    workload: str,
    spec: StreamSpec,
    fields: Sequence[FieldSpec],
    collection: Collection,
    kind: str,
) -> StreamPlan:
    """The plan for reading `collection` as this stream. kind : of the source."""
    shape = recognised(spec.name, collection.sample)
    if shape is not None:
        return _shaped_plan(spec, shape, collection, kind)
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
    if not updated_at and kind not in KINDS_WITHOUT_ORDER:
        missing.append("updated_at_field")
    tombstone = next(
        (
            c.field
            for name in TOMBSTONES
            for c in collection.columns
            if plain(c.path) == plain(name)
        ),
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


def _shaped_plan(spec: StreamSpec, shape: Shape, collection: Collection, kind: str) -> StreamPlan:
    """The whole mapping is known; only id and order depend on the place."""
    id_fields, id_doubt = choose_id(collection, kind)
    if shape.id_field and kind not in KINDS_WITH_IDS:
        id_fields, id_doubt = (shape.id_field,), ""
    updated_at, time_doubt = choose_time(collection, kind, {})
    usual = collection.column(quoted_path(shape.updated_at_field))
    if shape.updated_at_field and usual is not None and orders(usual, kind):
        updated_at, time_doubt = shape.updated_at_field, ""
    is_ordered = updated_at or kind in KINDS_WITHOUT_ORDER
    missing = (
        *(() if id_fields else ("id_field",)),
        *(() if is_ordered else ("updated_at_field",)),
    )
    doubts = {"id_field": id_doubt, "updated_at_field": time_doubt}
    return StreamPlan(
        spec.name,
        collection,
        id_fields,
        updated_at,
        missing=missing,
        doubts={name: doubt for name, doubt in doubts.items() if doubt},
        score=_OF_A_SHAPE + len(collection.sample),
        shape=shape.name,
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


# -- the whole ----------------------------------------------------------------------------------


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

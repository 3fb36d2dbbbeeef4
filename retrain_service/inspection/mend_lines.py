"""Propose the lines of hotfit.toml that would mend a stream: another id, time, field or word.

Looks at the place where that helps; decides nothing about the stream's health.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from retrain_service.discovery.config_text import stream_lines, toml_key, toml_value
from retrain_service.discovery.joins import joined_collections
from retrain_service.discovery.stream_plan import StreamPlan, plan_stream
from retrain_service.inspection.field_report import FieldReport
from retrain_service.inspection.sample import StreamSample
from retrain_service.sources.catalogue import Collection, columns_of
from retrain_service.sources.look import look_at
from shared.mapping.shapes import recognised
from shared.mapping.words import are_flags
from shared.records import Record
from shared.settings.sections import SourceSettings
from shared.settings.streams import StreamSettings
from shared.workloads.contract import Workload
from shared.workloads.training import StreamSpec


def mend_place(
    name: str, workload: Workload, spec: StreamSpec, source: SourceSettings, stream: StreamSettings
) -> Iterator[str]:
    """Another collection, id or time, from what is there."""
    collections = look_at(source).collections
    here = [each for each in collections if each.name == stream.collection]
    plans = sorted(
        (
            plan_stream(workload.name, spec, workload.fields_of(spec.name), each, source.kind)
            for each in here or collections
        ),
        key=lambda plan: -plan.score,
    )
    if plans and plans[0].score > 0:
        section, *rest = stream_lines(name, plans[0])
        yield section
        if plans[0].collection.name == spec.name != stream.collection:
            yield f"collection = {toml_value(spec.name)}"
        yield from rest


def mend_stream(
    name: str,
    workload: Workload,
    spec: StreamSpec,
    stream: StreamSettings,
    source: SourceSettings,
    *,
    sample: StreamSample,
    records: Sequence[Record],
    n_usable: int,
    reports: Sequence[FieldReport],
    collection: Collection | None,
    lacks_ids: bool,
    repeats: bool,
    zone: str | None,
) -> Iterator[str]:
    """Lines for a stream that was read, each section before its lines.

    records : the sample as the mapping gives it. collection : what the place says of it.
    lacks_ids, repeats : the id names no row, or several. zone : whose clock the times are of.
    """
    where = f"models.{toml_key(name)}.streams.{toml_key(spec.name)}"
    place: list[str] = []
    shape = recognised(spec.name, [record.fields for record in sample.records])
    if shape is not None and not (stream.shape or stream.fields):
        yield f"[{where}]"
        yield f"shape = {toml_value(shape.name)}"
        return
    known = collection or Collection(
        stream.collection, columns_of([record.fields for record in sample.records[:60]])
    )
    plan = plan_stream(workload.name, spec, workload.fields_of(spec.name), known, source.kind)
    if repeats:
        joined = _joined_plan(workload, spec, stream, source)
        if joined is not None:
            yield from stream_lines(name, joined)
            return
    is_unread = not sample.records and sample.found.n_without_cursor_field
    if is_unread and plan.updated_at not in ("", stream.updated_at_field):
        place.append(f"updated_at_field = {toml_value(plan.updated_at)}")
    if lacks_ids:
        place += list(_id_lines(plan, stream))
    if zone is not None:
        place.append(f"time_zone = {toml_value(zone)}")
    if place:
        yield f"[{where}]"
        yield from place
    troubled = {
        each.field.name
        for each in reports
        if each.n_usable < max(1, each.n_looked // 2)
        and (each.field.is_needed or each.n_there or each.field.is_line_only)
    }
    lines = {each.name for each in workload.fields_of(spec.name) if each.is_line_only}
    if troubled & lines:
        troubled |= lines
    fields = {field: value for field, value in plan.fields.items() if field in troubled}
    fields = {field: value for field, value in fields.items() if field not in stream.fields}
    if fields and n_usable < len(records):
        yield f"[{where}.fields]"
        for field, value in fields.items():
            yield f"{toml_key(field)} = {toml_value(value)}"
    meanings = {
        meaning: words
        for each in workload.fields_of(spec.name)
        if each.name in troubled
        for meaning, words in plan.words.items()
        if meaning in each.meanings and meaning not in stream.words
    }
    for each in workload.fields_of(spec.name):
        if each.name in troubled and len(each.meanings) == 1:
            values = [record.fields.get(each.name) for record in records]
            if are_flags(value for value in values if value is not None):
                meanings[next(iter(each.meanings))] = (True,)
    if meanings:
        yield f"[{where}.words]"
        for meaning, words in meanings.items():
            yield f"{toml_key(meaning)} = {toml_value(words)}"


def _joined_plan(
    workload: Workload, spec: StreamSpec, stream: StreamSettings, source: SourceSettings
) -> StreamPlan | None:
    """The same records with their lines, from the tables behind a view that repeats its ids."""
    if source.kind != "sql":
        return None
    schema = stream.collection.rpartition(".")[0]
    with contextlib.suppress(Exception):  # a proposal less
        catalogue = look_at(source)
        plans = sorted(
            (
                plan_stream(workload.name, spec, workload.fields_of(spec.name), each, source.kind)
                for each in joined_collections(catalogue, source)
                if each.name.rpartition(".")[0] == schema
            ),
            key=lambda plan: -plan.score,
        )
        return next((plan for plan in plans if not plan.missing), None)
    return None


def _id_lines(plan: StreamPlan, stream: StreamSettings) -> Iterator[str]:
    """Columns that tell the rows apart; where none does, say how to make one."""
    if plan.id_fields and set(plan.id_fields) != set(stream.id_fields):
        value: Any = plan.id_fields[0] if len(plan.id_fields) == 1 else plan.id_fields
        yield f"id_field = {toml_value(value)}"
        return
    yield "# add the line's own number to the view or query, and name both:"
    yield f'# id_field = [{toml_value(stream.id_fields[0])}, "line_no"]'

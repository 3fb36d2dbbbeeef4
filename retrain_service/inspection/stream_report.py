"""Report one configured stream: figures, fields, warnings, faults, and the lines that mend them.

Opens the source and the catalogue of the place; never ends in an error of either.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from retrain_service.discovery.config_text import stream_lines, toml_key, toml_value
from retrain_service.discovery.joins import joined_collections
from retrain_service.discovery.stream_plan import StreamPlan, plan_stream
from retrain_service.inspection import warnings
from retrain_service.inspection.buffered import StreamRead
from retrain_service.inspection.field_report import FieldReport, report_fields
from retrain_service.inspection.sample import StreamSample, sample_stream
from retrain_service.sources import open_source
from retrain_service.sources.catalogue import Catalogue, Collection, Column, columns_of
from retrain_service.sources.look import LOOKERS, look_at
from shared.errors import CollectionMissing, HotfitError
from shared.mapping.fields import RecordMapping
from shared.mapping.shapes import recognised, suggestion
from shared.mapping.words import are_flags
from shared.records import Record
from shared.settings.root import Settings
from shared.settings.sections import SourceSettings
from shared.settings.streams import StreamSettings
from shared.workloads.contract import Workload
from shared.workloads.training import StreamSpec

_MOST_CATALOGUED, _MOST_JUDGED = 60, 5_000


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What is to be said about one stream.

    error : why nothing can be read; is_absent : an optional stream that has no collection.
    n_usable : of the records looked at; rejected : reason -> how many of them.
    mend : lines of hotfit.toml that would help, each with its section before it.
    """

    stream: str
    where: str
    sample: StreamSample | None = None
    records: tuple[Record, ...] = ()
    error: str = ""
    is_absent: bool = False
    n_usable: int = 0
    rejected: Mapping[str, int] = ()  # type: ignore[assignment]
    fields: tuple[FieldReport, ...] = ()
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()

    @property
    def usable_estimate(self) -> int:
        """In the whole stream, by the share among those looked at."""
        if self.sample is None or not self.records:
            return 0
        if self.sample.is_whole:
            return self.n_usable
        return round(self.sample.found.n_records * self.n_usable / len(self.records))

    @property
    def sentence(self) -> str:
        if self.is_absent:
            return f"{self.where}: not there, and not needed: read as empty. {self.error}"
        if self.sample is None:
            return f"{self.where}: {self.error}"
        n, found = len(self.records), self.sample.found
        newest = self.sample.newest
        looked = f"all {n:,}" if self.sample.is_whole else f"{n:,} (oldest, middle, newest)"
        deleted = f", {self.sample.n_deleted:,} of them deleted" if self.sample.n_deleted else ""
        return (
            f"{self.where}: {found.n_records:,} records{deleted}, newest"
            f" {_time(newest) if newest else 'never'}; looked at {looked}:"
            f" {self.n_usable:,} usable"
            + ("" if self.sample.is_whole else f", about {self.usable_estimate:,} in all")
        )


def report_stream(
    settings: Settings,
    name: str,
    workload: Workload,
    spec: StreamSpec,
    mapping: RecordMapping,
    *,
    now: datetime,
    n_read: StreamRead | None,
) -> StreamReport:
    """Everything about one stream of a model.

    n_read : what the buffer has of it, None where that is not known.
    """
    model = settings.models[name]
    source_settings, stream = settings.sources[model.source], model.stream(spec.name)
    where = f"{name}: {spec.name} in source {model.source}"
    try:
        source = open_source(source_settings, stream)
        try:
            sample = sample_stream(source, is_free=source_settings.kind != "firestore")
        finally:
            with contextlib.suppress(Exception):
                source.close()
    except CollectionMissing as error:
        return _not_opened(settings, name, workload, spec, where, error, not spec.is_required)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the others are checked
        return _not_opened(settings, name, workload, spec, where, error, False)
    records = [_mapped(mapping, record) for record in sample.records]
    reasons = Counter(
        reason
        for record in records
        if (reason := _judged(workload, spec.name, record.fields)) is not None
    )
    n_usable = len(records) - sum(reasons.values())
    catalogue, remark = _catalogue(source_settings, stream.collection)
    collection = catalogue.collection(stream.collection) if catalogue else None
    # Records that cannot be read in order are there all the same, and people want to hear of them.
    looked_at = list(collection.sample) if collection is not None and not records else []
    fields = report_fields(
        workload.name,
        spec.name,
        workload.fields_of(spec.name),
        [record.fields for record in records[:_MOST_JUDGED]] or looked_at,
        raw=[record.fields for record in sample.records[:_MOST_CATALOGUED]] or looked_at,
        places={key: _place(each) for key, each in stream.fields.items()},
    )
    column = warnings.column_of(collection, stream.updated_at_field)
    found = warnings.listed(
        [
            warnings.future_records(sample, now, column),
            warnings.before_our_time(sample, stream.updated_at_field),
            warnings.late_clock(sample, now, column),
            warnings.mixed_units(_extremes(sample, stream, column)) or sample.found.remark,
            warnings.unread(sample, n_read),
            *sample.remarks,
            _without_windows(workload, spec, source_settings),
            remark,
            *workload.remarks(spec.name, [each.fields for each in records]),
            suggestion(spec.name, stream, [each.fields for each in sample.records]),
        ]
    )
    faults: list[str] = []
    repeated = warnings.repeated_ids(sample, stream)
    unordered = warnings.unordered(sample, stream, column, source_settings.kind)
    if repeated:
        faults.append(repeated)
    if unordered and (not records or sample.found.n_without_cursor_field > len(records)):
        faults.append(unordered)
    elif unordered:
        found.append(unordered)
    report = StreamReport(
        spec.name,
        where,
        sample,
        tuple(records),
        n_usable=n_usable,
        rejected=dict(reasons),
        fields=tuple(fields),
        warnings=tuple(found),
        faults=tuple(faults),
    )
    mend = list(
        _mend(
            name, workload, spec, stream, report, collection, source_settings, now, bool(repeated)
        )
    )
    return StreamReport(**{**_as_dict(report), "mend": tuple(mend)})


def _as_dict(report: StreamReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in StreamReport.__dataclass_fields__}


# -- reading -------------------------------------------------------------------------------------


def _mapped(mapping: RecordMapping, record: Record) -> Record:
    """As the workload reads it; one that the mapping cannot take stays as it is."""
    try:
        return replace(record, fields=mapping(record.fields, record.id))
    except Exception:  # noqa: BLE001 - the workload says what is wrong with it
        return record


def _without_windows(workload: Workload, spec: StreamSpec, source: SourceSettings) -> str | None:
    """Answers that need the newest samples of each entity, which only the API's feed keeps."""
    if source.kind == "feed" or workload.window_of(spec.name) is None:
        return None
    return (
        "answers about all of them at once, and their risk, need the newest samples, and these come"
        " only with records that are sent to the API (a source of the kind feed); a request that"
        " brings its own samples is answered"
    )


def _judged(workload: Workload, stream: str, fields: Mapping[str, Any]) -> str | None:
    try:
        return workload.reject_reason(stream, fields)
    except Exception as error:  # noqa: BLE001 - as the buffer does: an odd record is one
        return f"the workload could not read it ({type(error).__name__})"


def _catalogue(settings: SourceSettings, collection: str) -> tuple[Catalogue | None, str]:
    """What the place itself says of the collection; a look that fails costs the hints only."""
    if settings.kind not in LOOKERS:
        return None, ""
    try:
        return look_at(settings, [collection]), ""
    except Exception as error:  # noqa: BLE001 - hints are not worth an end
        return None, f"the types of its columns could not be looked at: {error}"


def _not_opened(
    settings: Settings,
    name: str,
    workload: Workload,
    spec: StreamSpec,
    where: str,
    error: Exception,
    is_absent: bool,
) -> StreamReport:
    sentence = str(error) if isinstance(error, HotfitError) else f"{type(error).__name__}: {error}"
    model = settings.models[name]
    source, stream = settings.sources[model.source], model.stream(spec.name)
    mend: list[str] = []
    if source.kind in LOOKERS and not is_absent:
        with contextlib.suppress(Exception):
            mend = list(_place_mend(name, workload, spec, source, stream))
    faults = () if is_absent or not spec.is_required else (f"{where}: {sentence}",)
    return StreamReport(
        spec.name, where, error=sentence, is_absent=is_absent, faults=faults, mend=tuple(mend)
    )


# -- what mends it -------------------------------------------------------------------------------


def _place_mend(
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


def _mend(
    name: str,
    workload: Workload,
    spec: StreamSpec,
    stream: StreamSettings,
    report: StreamReport,
    collection: Collection | None,
    source: SourceSettings,
    now: datetime,
    repeats: bool,
) -> Iterator[str]:
    where = f"models.{toml_key(name)}.streams.{toml_key(spec.name)}"
    place: list[str] = []
    sample = report.sample
    assert sample is not None
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
        place += list(_id_lines(sample, plan, stream))
    is_unread = not sample.records and sample.found.n_without_cursor_field
    if is_unread and plan.updated_at not in ("", stream.updated_at_field):
        place.append(f"updated_at_field = {toml_value(plan.updated_at)}")
    if any("is no id" in fault for fault in report.faults):
        place += list(_id_lines(sample, plan, stream))
    newest = sample.newest
    if newest is not None and any("from UTC" in each for each in report.warnings):
        place.append(warnings.zone_setting(newest - now))
    if place:
        yield f"[{where}]"
        yield from place
    troubled = {
        each.field.name
        for each in report.fields
        if each.n_usable < max(1, each.n_looked // 2)
        and (each.field.is_needed or each.n_there or each.field.is_line_only)
    }
    lines = {each.name for each in workload.fields_of(spec.name) if each.is_line_only}
    if troubled & lines:
        troubled |= lines
    fields = {field: value for field, value in plan.fields.items() if field in troubled}
    fields = {field: value for field, value in fields.items() if field not in stream.fields}
    if fields and report.n_usable < len(report.records):
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
            values = [record.fields.get(each.name) for record in report.records]
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


def _id_lines(sample: StreamSample, plan: StreamPlan, stream: StreamSettings) -> Iterator[str]:
    """Columns that tell the rows apart; where none does, say how to make one."""
    if plan.id_fields and set(plan.id_fields) != set(stream.id_fields):
        value: Any = plan.id_fields[0] if len(plan.id_fields) == 1 else plan.id_fields
        yield f"id_field = {toml_value(value)}"
        return
    yield "# add the line's own number to the view or query, and name both:"
    yield f'# id_field = [{toml_value(stream.id_fields[0])}, "line_no"]'


def _extremes(sample: StreamSample, stream: StreamSettings, column: Column | None) -> Column:
    """The column that orders, with every value that was seen of it."""
    seen = [
        record.fields[stream.updated_at_field]
        for record in sample.records
        if stream.updated_at_field in record.fields
    ]
    values = (*seen, *(column.values if column is not None else ()))
    return Column(stream.updated_at_field, values=tuple(values), n_looked=len(values))


def _place(field: Any) -> str:
    if field.path:
        return str(field.path)
    return " or ".join(field.first) if field.first else "a constant"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")

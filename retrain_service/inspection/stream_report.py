"""Report one configured stream: figures, fields, warnings, faults, and the lines that mend them.

Opens the source and the catalogue of the place; never ends in an error of either.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from retrain_service.inspection import warnings
from retrain_service.inspection.buffered import StreamRead
from retrain_service.inspection.field_report import FieldReport, report_fields
from retrain_service.inspection.mend_lines import mend_place, mend_stream
from retrain_service.inspection.sample import StreamSample, sample_stream
from retrain_service.sources import open_source
from retrain_service.sources.catalogue import Catalogue, Column
from retrain_service.sources.look import LOOKERS, look_at
from shared.errors import CollectionMissing, HotfitError
from shared.mapping.fields import RecordMapping
from shared.mapping.shapes import suggestion
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
    rejected: Mapping[str, int] = field(default_factory=dict)
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
        if (reason := workload.why_unusable(spec.name, record.fields)) is not None
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
    mend = mend_stream(
        name,
        workload,
        spec,
        stream,
        source_settings,
        sample=sample,
        records=records,
        n_usable=n_usable,
        reports=fields,
        collection=collection,
        lacks_ids=bool(repeated) or warnings.has_no_ids(sample, column, source_settings.kind),
        repeats=bool(repeated),
        zone=warnings.foreign_zone(sample, now, column),
    )
    return StreamReport(
        spec.name,
        where,
        sample,
        tuple(records),
        n_usable=n_usable,
        rejected=dict(reasons),
        fields=tuple(fields),
        warnings=tuple(found),
        faults=tuple(faults),
        mend=tuple(mend),
    )


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
            mend = list(mend_place(name, workload, spec, source, stream))
    faults = () if is_absent or not spec.is_required else (f"{where}: {sentence}",)
    return StreamReport(
        spec.name, where, error=sentence, is_absent=is_absent, faults=faults, mend=tuple(mend)
    )


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

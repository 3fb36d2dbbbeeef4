"""A source whose records are mapped to the fields that a workload reads.

Knows no driver and no workload. Its origin tells mappings apart, so that a changed one makes the
stream be read anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime

from retrain_service.sources import open_source
from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from shared.mapping.fields import RecordMapping
from shared.records import Batch, Cursor, Record
from shared.settings.sections import SourceSettings
from shared.settings.streams import StreamSettings


def open_mapped_source(
    mapping: RecordMapping, settings: SourceSettings, stream: StreamSettings
) -> Source:
    """`open_source`, its records mapped; those of a feed were mapped when they were sent."""
    source = open_source(settings, stream)
    return MappedSource(source, mapping) if mapping.digest and settings.kind != "feed" else source


class MappedSource(Source):
    """The records of another source, mapped. Inspected records are as they stand in the source."""

    def __init__(self, source: Source, mapping: RecordMapping) -> None:
        self._source, self._mapping = source, mapping

    @property
    def origin(self) -> str:
        return f"{self._source.origin} mapped as {self._mapping.digest}"

    @property
    def remark(self) -> str:
        return self._source.remark

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        batch = self._source.read_after(cursor, limit)
        return replace(batch, records=tuple(self._mapped(record) for record in batch.records))

    def _mapped(self, record: Record) -> Record:
        if record.is_deleted:
            return record
        try:
            return replace(record, fields=self._mapping(record.fields, record.id))
        except Exception:  # noqa: BLE001 - one odd record must not stop its stream
            return record

    def cursor_at(self, at: datetime) -> Cursor:
        return self._source.cursor_at(at)

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        return self._source.count_by_day(days)

    def ids_of_day(self, day: date) -> IdSet:
        return self._source.ids_of_day(day)

    def missing(self, ids: Collection[str]) -> IdSet:
        return self._source.missing(ids)

    def inspect(self, n_sample: int = 0) -> Inspection:
        return self._source.inspect(n_sample)

    def cancel(self) -> None:
        self._source.cancel()

    def close(self) -> None:
        self._source.close()

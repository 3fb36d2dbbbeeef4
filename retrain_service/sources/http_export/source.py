"""An application's training-data export over HTTP as a source: one stream per top-level list.

    GET …/training_data/?days=90&format=json
    {"products": [{…}, …], "interactions": [{…}, …], "metadata": {…}}

**News.** An export has everything each time, so each record is compared with what the last export
had, by id and digest of its fields; the cursor carries these. So a late commit, a change that left
`updated_at` as it was, and a deletion are all noticed, and an unchanged record is never new. The
answer to an `If-None-Match` of the last ETag, 304, ends it there. The cursor grows with the export,
by some 45 bytes a record: from a hundred thousand records on, offer `since`.

**since.** Where `metadata.supports` holds "since", `&since=` asks for what changed at or after a
time; the cursor is then (updated_at, id) alone, and deletions are found by a tombstone field or the
daily reconciliation, which fetches the whole export.

**Time.** A record without a time gets the server's time (less the lag) of the export that brought
its content, and keeps it until its content changes. Times later than the server's less the lag
wait for the next export.

**Deletes.** Absent from a complete export = deleted; but when `days` (in the address or the
metadata) limits the export, what the window has moved past since the last one is only forgotten.
Half an answer, or a page that fails, is no export. Each stream fetches for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source, ids_repeat
from retrain_service.sources.http_export.client import Export, ExportClient
from retrain_service.sources.http_export.export_diff import (
    ExportPager,
    ExportWindow,
    Position,
    compare,
    digest_of,
    is_since,
    position,
    since_cursor,
)
from retrain_service.sources.http_export.rows import Row, id_of, rows_of
from retrain_service.sources.json_values import is_set, to_rfc3339
from shared.documents.time_policy import TimePolicy
from shared.errors import SourceMisconfigured
from shared.records import Batch, Cursor, Record, from_epoch_us, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings


class HttpExportSource(Source):
    """One list of the export.

    Cursor, by its keys:
    {"known", "seen_us"}: a complete export was read; id -> [digest, at_us], and when it was made.
    {"base", "export", "at_us", "id"}: in the middle of one; see Reading.
    {"at_us", "id", "since"}: where the endpoint supports it. {"at_us"}: from that time on.
    """

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Check the address; nothing connects before the first read.

        Raises:
            SourceMisconfigured: unusable address, no key where one is named, or a reconciliation
                that would look for deletions among days that the export does not cover.
        """
        self._stream = stream
        zone = ZoneInfo(stream.time_zone or settings.time_zone or "UTC")
        self._time_policy = TimePolicy(zone, format=stream.updated_at_format, first_year=1900)
        self._lag = timedelta(seconds=settings.lag_s)
        self._client = ExportClient(settings, stream.collection, clock, stream.records_path)
        self._where = f"{self._client.sink} {stream.collection!r}"
        self._url_days = _whole(self._client.parameters.get("days"))
        if 0 < self._url_days <= settings.reconcile_days:
            raise SourceMisconfigured(
                f"reconcile_days: expected less than the {self._url_days} days of the export,"
                f" found {settings.reconcile_days}."
            )
        self._pager: ExportPager | None = None
        self._etag: str | None = None  # of the export that is being read
        self._consumed: tuple[str, Cursor] | None = None  # an ETag, and the cursor behind its news
        self._given: dict[str, tuple[str, int]] = {}  # undated id -> digest, and the time given
        self._has_since = False

    @property
    def origin(self) -> str:
        fields = f"{','.join(self._stream.id_fields)},{self._stream.updated_at_field}"
        place = self._stream.records_path or self._stream.collection
        return f"export:{self._client.sink}#{place}({fields})"

    def close(self) -> None:
        self._client.close()
        self._pager = self._consumed = None

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        pager = self._pager
        if pager is None or not pager.continues(cursor):
            pager = self._pager = self._begin(cursor)
        if pager is None:
            return Batch((), cursor, is_last=True)
        batch = pager.page(cursor, limit)
        if not pager.continues(batch.cursor):
            self._pager = None
            self._consumed = (self._etag, batch.cursor) if self._etag else None
        return batch

    def _begin(self, cursor: Cursor) -> ExportPager | None:
        """Fetch and compare; None when the server has nothing else than at `cursor`."""
        is_middle = bool(cursor) and "export" in cursor
        base = cursor["base"] if is_middle else cursor
        after = (base["at_us"], base.get("id", "")) if base and "at_us" in base else None
        parameters: dict[str, str] = {}
        if after is not None and (is_since(base) or self._has_since):
            parameters = {"since": to_rfc3339(from_epoch_us(after[0]))}
        etag = None
        if cursor is not None and self._consumed is not None and self._consumed[1] == cursor:
            etag = self._consumed[0]
        export = self._client.fetch(etag=etag, parameters=parameters)
        if export is None:
            return None
        self._has_since = _supports_since(export)
        if parameters and not self._has_since:
            export = self._fetch()  # what it did with `since` is not known
            parameters = {}
        pager = self._compare(base, after, export, is_complete=not parameters)
        if is_middle and pager.digest == cursor["export"]:
            pager.skip_to((cursor["at_us"], cursor["id"]))
        return pager

    def _compare(
        self, base: Cursor, after: Position | None, export: Export, *, is_complete: bool
    ) -> ExportPager:
        before, before_us = (
            (base["known"], base["seen_us"]) if base and "known" in base else ({}, None)
        )
        self._given.update((id_, (digest, at_us)) for id_, (digest, at_us) in before.items())
        rows = self._rows(export)
        n_with_id = sum(id_of(item, self._stream.id_fields) is not None for item in export.items)
        if ids_repeat(n_with_id, len(rows)):
            raise SourceMisconfigured(
                f"{self._where}: {n_with_id:,} records have only {len(rows):,} different ids:"
                f" id_field {', '.join(self._stream.id_fields)!r} does not tell them apart."
            )
        window = self._window(export)
        # Later than what was read, or it would never be read.
        times_us = self._times(rows, max(window.newest_us, after[0] + 1 if after else 0))
        diff = compare(rows, times_us, window, before, before_us)
        records = [self._record(row, times_us[row.id]) for row in diff.changed]
        if after is not None:
            records = [each for each in records if position(each) > after]
        if is_complete:
            gone_at = from_epoch_us(window.newest_us)
            records += [Record(id_, gone_at, {}, is_deleted=True) for id_ in diff.gone]
        final: Cursor = {"known": diff.known, "seen_us": window.newest_us}
        if self._has_since:
            places = [(at_us, id_) for id_, (_, at_us) in diff.known.items()]
            final = since_cursor(max([*places, after or (0, "")]))
        # What was too young is in the same export at the next look.
        self._etag = export.etag if len(diff.known) == len(rows) else None
        return ExportPager(base, digest_of(rows), records, final)

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at_us": to_epoch_us(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        counts = dict.fromkeys(days, 0)
        for at_us in self._all_times().values():
            day = from_epoch_us(at_us).date()
            if day in counts:
                counts[day] += 1
        return DayCounts(counts)

    def ids_of_day(self, day: date) -> IdSet:
        times_us = self._all_times()
        return IdSet(
            frozenset(id_ for id_, at_us in times_us.items() if from_epoch_us(at_us).date() == day)
        )

    def missing(self, ids: Collection[str]) -> IdSet:
        return IdSet(frozenset(ids) - self._rows(self._fetch()).keys())

    def inspect(self, n_sample: int = 0) -> Inspection:
        export = self._fetch()
        rows = self._rows(export)
        times_us = self._times(rows, self._window(export).newest_us)
        newest = sorted(rows.values(), key=lambda row: (times_us[row.id], row.id), reverse=True)
        sample = tuple(self._record(row, times_us[row.id]) for row in newest[:n_sample])
        n_without_id = sum(id_of(item, self._stream.id_fields) is None for item in export.items)
        newest_at = sample[0].updated_at if sample else None
        ids = (len(export.items) - n_without_id, len(rows))
        return Inspection(len(export.items), n_without_id, newest_at, sample, ids=ids)

    # -- exports ---------------------------------------------------------------------------------

    def _fetch(self) -> Export:
        export = self._client.fetch()
        assert export is not None  # nobody asked whether it had changed
        return export

    def _window(self, export: Export) -> ExportWindow:
        days = self._url_days or _whole(export.metadata.get("days"))
        return ExportWindow(to_epoch_us(export.server_time - self._lag), days)

    def _rows(self, export: Export) -> dict[str, Row]:
        """Raises SourceMisconfigured when not one of the records has an id."""
        stream = self._stream
        rows = rows_of(export.items, stream.id_fields, stream.updated_at_field, self._time_policy)
        if export.items and not rows:
            first = export.items[0]
            there = ", ".join(first) if isinstance(first, dict) else f"{first!r:.40}"
            raise SourceMisconfigured(
                f"{self._where}: id_field is {stream.id_field!r}, but the fields are: {there}."
            )
        return rows

    def _times(self, rows: Mapping[str, Row], now_us: int) -> dict[str, int]:
        """The time of each row: its own, the one given to this content before, or now."""
        times_us: dict[str, int] = {}
        for id_, row in rows.items():
            if row.at_us is not None:
                times_us[id_] = row.at_us
                continue
            given = self._given.get(id_)
            if given is None or given[0] != row.digest:
                given = self._given[id_] = (row.digest, now_us)
            times_us[id_] = given[1]
        return times_us

    def _all_times(self) -> dict[str, int]:
        export = self._fetch()
        rows = self._rows(export)
        # A whole export: what is not in it is gone, and its time with it.
        self._given = {id_: given for id_, given in self._given.items() if id_ in rows}
        return self._times(rows, self._window(export).newest_us)

    def _record(self, row: Row, at_us: int) -> Record:
        at = from_epoch_us(at_us)
        deleted_field = self._stream.deleted_field
        if deleted_field and is_set(row.fields.get(deleted_field)):
            return Record(row.id, at, {}, is_deleted=True)
        return Record(row.id, at, row.fields)


def _supports_since(export: Export) -> bool:
    supported = export.metadata.get("supports")
    return isinstance(supported, list) and "since" in supported


def _whole(value: Any) -> int:
    """A number of days; 0 when it is none."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError):
        return 0

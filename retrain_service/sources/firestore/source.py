"""A Firestore collection as a source, through the official client. Knows no buffer and no budget.

Documents are paged by (updated_at, full document name), both ordered by explicitly, from cursor
values. A range on `updated_at` keeps the query to one type, timestamps or else numbers or texts: a
document that holds another one there is never met, and inspect() counts it. One single-field index
serves all of it; of a collection group, one with the scope of collection groups.

**Lag.** What counts is the server's read time, which every document of an answer carries for
free; this machine's clock may be wrong. The first answer with documents tells how far the two
clocks are apart; from then on the query itself is bounded by (server time - lag), so that young
documents are neither returned nor billed. Until then it is unbounded, and documents that are too
young are dropped here, to be read, and billed, once more later. What was learnt is forgotten after
an hour and when this machine's clock jumps. An unchanged collection costs one read in any case.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from retrain_service.sources.base import DayCounts, IdSet, Inspection, ReadInterrupted, Source
from retrain_service.sources.firestore.connection import FirestoreConnection
from retrain_service.sources.firestore.server_clock import ServerClock
from retrain_service.sources.firestore.times import (
    EARLIEST,
    FIRST_BOUNDS,
    FieldTimes,
    read_time,
    times_of,
)
from retrain_service.sources.firestore.values import from_firestore
from retrain_service.sources.json_values import is_set, to_json, to_rfc3339
from shared.errors import SourceMisconfigured, SourceUnavailable
from shared.records import Batch, Cursor, Record
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_NAME = FieldPath.document_id()
_IDS_A_LOOKUP = 300
_ASK_AGAIN_S = 600.0


class FirestoreSource(Source):
    """One collection, or a subcollection by its path ("shops/s1/appointments").

    Cursor: {"at": RFC 3339, "name": full document name}, or {"at"} alone: from that time on.
    """

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Find project and credentials; nothing connects before the first read.

        Raises:
            SourceMisconfigured: no credentials, no project, or not the path of a collection.
        """
        self._settings, self._stream = settings, stream
        self._page_size = settings.page_size
        self._lag = timedelta(seconds=settings.lag_s)
        self._server_clock = ServerClock(clock)
        self._database = FirestoreConnection(settings, stream, self._server_clock)
        self._times = FieldTimes()
        self._asked_s: float | None = None

    @property
    def origin(self) -> str:
        sink = "emulator" if "FIRESTORE_EMULATOR_HOST" in os.environ else "firestore"
        group = "**/" if self._stream.collection_group else ""
        field = self._stream.updated_at_field
        return f"{sink}:{self._database.documents}/{group}{self._stream.collection}({field})"

    def close(self) -> None:
        self._database.close()

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        if cursor is not None and "kind" in cursor:
            self._times = times_of(cursor["kind"], cursor["value"])
        snapshots, error = self._database.run(self._ripe(cursor, limit))
        spent = 0
        if not snapshots and error is None and cursor is None:
            spent = self._learn_times()
            if spent and self._times.kind != "timestamp":
                spent += 1  # for the look that found no timestamp
                snapshots, error = self._database.run(self._ripe(cursor, limit))
        timed = [(self._time(each), each) for each in snapshots]
        # Documents come oldest first, so those that are too young are the last ones.
        while timed and (timed[-1][0] or EARLIEST) > read_time(timed[-1][1]) - self._lag:
            timed.pop()
        billed_reads = spent + _billed(snapshots, error)
        if error is not None and not timed:
            raise ReadInterrupted(str(error), billed_reads) from error
        return Batch(
            tuple(self._record(at, snapshot) for at, snapshot in timed if at is not None),
            self._cursor_of(*timed[-1], cursor) if timed else cursor,
            is_last=error is None and len(timed) < limit,
            billed_reads=billed_reads,
        )

    def _ripe(self, cursor: Cursor, limit: int) -> Any:
        query = self._ordered(cursor).limit(limit)
        newest_allowed = self._server_clock.newest_allowed(self._lag)
        if newest_allowed is None:
            return query
        return query.where(filter=self._filter("<=", self._times.bound(newest_allowed)))

    def _learn_times(self) -> int:
        """Look whether the field keeps times as numbers or texts; what that cost.

        Asked where no document has a timestamp, for one read each, and not again for a while.
        """
        now_s = time.monotonic()
        if self._asked_s is not None and now_s - self._asked_s < _ASK_AGAIN_S:
            return 0
        self._asked_s, spent = now_s, 0
        for kind, first in FIRST_BOUNDS.items():
            newest = self._since(first).order_by(self._field, direction=firestore.Query.DESCENDING)
            snapshots, error = self._database.run(newest.limit(1))
            spent += _billed(snapshots, error)
            if error is not None:
                raise ReadInterrupted(str(error), spent) from error
            if snapshots:
                self._times = times_of(kind, snapshots[0].get(self._field))
                break
        return spent

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at": to_rfc3339(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        counts: dict[date, int] = {}
        billed_reads = 0
        for day in days:
            try:
                counts[day], cost = self._database.count(self._on(day))
            except SourceUnavailable as error:
                raise ReadInterrupted(str(error), billed_reads) from error
            billed_reads += cost
        return DayCounts(counts, billed_reads)

    def ids_of_day(self, day: date) -> IdSet:
        ids: set[str] = set()
        billed_reads = 0
        query = self._by_time(self._on(day)).select([self._field])
        while True:
            snapshots, error = self._database.run(query.limit(self._page_size))
            billed_reads += _billed(snapshots, error)
            if error is not None:
                raise ReadInterrupted(str(error), billed_reads) from error
            ids.update(self._id(snapshot.reference) for snapshot in snapshots)
            if len(snapshots) < self._page_size:
                return IdSet(frozenset(ids), billed_reads)
            last = snapshots[-1]
            query = query.start_after([last.get(self._field), last.reference])

    def missing(self, ids: Collection[str]) -> IdSet:
        wanted, gone, billed_reads = sorted(ids), set[str](), 0
        for begin in range(0, len(wanted), _IDS_A_LOOKUP):
            some = wanted[begin : begin + _IDS_A_LOOKUP]
            references = [self._database.reference(id_) for id_ in some]
            snapshots, error = self._database.look_up(references, self._field)
            billed_reads += len(snapshots)
            if error is not None:
                raise ReadInterrupted(str(error), billed_reads) from error
            gone.update(self._id(each.reference) for each in snapshots if not each.exists)
        # What was not answered for is not known to be missing.
        return IdSet(frozenset(gone), billed_reads)

    def inspect(self, n_sample: int = 0) -> Inspection:
        billed_reads, sample = 0, list[Record]()
        collection = self._database.collection()
        try:
            n_records, cost = self._database.count(collection)
            billed_reads += cost
            n_readable, cost = self._database.count(self._readable())
            billed_reads += cost
            if n_records and not n_readable and (cost := self._learn_times()):
                n_readable, again = self._database.count(self._readable())
                billed_reads += cost + again
        except SourceUnavailable as error:
            raise ReadInterrupted(str(error), billed_reads) from error
        if n_sample:
            newest_first = firestore.Query.DESCENDING
            snapshots, broken = self._database.run(
                self._readable()
                .order_by(self._field, direction=newest_first)
                .order_by(_NAME, direction=newest_first)
                .limit(n_sample)
            )
            billed_reads += _billed(snapshots, broken)
            if broken is not None:
                raise ReadInterrupted(str(broken), billed_reads) from broken
            timed = [(self._time(snapshot), snapshot) for snapshot in snapshots]
            sample = [self._record(at, snapshot) for at, snapshot in timed if at is not None]
        newest = sample[0].updated_at if sample else None
        return Inspection(
            n_records, max(0, n_records - n_readable), newest, tuple(sample), billed_reads
        )

    # -- queries ---------------------------------------------------------------------------------

    @property
    def _field(self) -> str:
        """Its path in the form in which names with spaces or dashes may stand in it."""
        return str(FieldPath(*self._stream.updated_at_field.split(".")).to_api_repr())

    def _filter(self, operator: str, at: Any) -> FieldFilter:
        return FieldFilter(self._field, operator, at)

    def _by_time(self, query: Any) -> Any:
        return query.order_by(self._field).order_by(_NAME)

    def _on(self, day: date) -> Any:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = self._times.bound(begin + timedelta(days=1))
        return self._since(self._times.bound(begin)).where(filter=self._filter("<", end))

    def _readable(self) -> Any:
        return self._since(self._times.bound(EARLIEST))

    def _since(self, stored: Any) -> Any:
        return self._database.collection().where(filter=self._filter(">=", stored))

    def _ordered(self, cursor: Cursor) -> Any:
        at = EARLIEST if cursor is None else datetime.fromisoformat(cursor["at"])
        stored = self._times.bound(at) if cursor is None else cursor.get("value")
        stored = self._times.bound(at) if stored is None else stored
        query = self._by_time(self._since(stored))
        if cursor is None or "name" not in cursor:
            return query
        name: str = cursor["name"]
        holder = f"{self._database.documents}/"
        if not self._stream.collection_group:
            holder += f"{self._stream.collection}/"
        if not name.startswith(holder):
            raise SourceMisconfigured(
                f"{self._database.where}: the buffer's cursor belongs to {name.rpartition('/')[0]}."
            )
        reference = self._database.reference(name.removeprefix(holder))
        return query.start_after([stored, reference])

    def _time(self, snapshot: Any) -> datetime | None:
        """Microseconds are all that the server keeps, and all that a cursor may hold."""
        return self._times.decode(snapshot.get(self._field))

    # -- documents -------------------------------------------------------------------------------

    def _id(self, reference: Any) -> str:
        """Of a collection group the path: documents below two parents may have one id."""
        return str(reference.path if self._stream.collection_group else reference.id)

    def _record(self, updated_at: datetime, snapshot: Any) -> Record:
        id_, fields = self._id(snapshot.reference), snapshot.to_dict()
        if self._stream.deleted_field and is_set(fields.get(self._stream.deleted_field)):
            return Record(id_, updated_at, {}, is_deleted=True)
        return Record(id_, updated_at, to_json(fields, from_firestore))

    def _cursor_of(self, at: datetime | None, snapshot: Any, before: Cursor) -> Cursor:
        name = f"{self._database.documents}/{snapshot.reference.path}"
        told = to_rfc3339(at) if at is not None else (before or {}).get("at", to_rfc3339(EARLIEST))
        if self._times.kind == "timestamp":
            return {"at": told, "name": name}
        value = snapshot.get(self._field)
        return {"at": told, "name": name, "kind": self._times.kind, "value": value}


def _billed(snapshots: Sequence[Any], error: SourceUnavailable | None) -> int:
    """One read a document; at least one for a query that was answered."""
    return len(snapshots) if error is not None else max(1, len(snapshots))

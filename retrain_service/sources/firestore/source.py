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

**Errors.** The client retries a broken stream in ways that lose the limit or fail themselves, so it
is told never to; one immediate second try is made here, and only when nothing had arrived.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter
from google.cloud.firestore_v1.field_path import FieldPath

from retrain_service.sources.base import DayCounts, IdSet, Inspection, ReadInterrupted, Source
from retrain_service.sources.firestore.errors import (
    first_line,
    is_lost_connection,
    translate_errors,
)
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
        self._page_size, self._timeout_s = settings.page_size, settings.timeout_s
        self._lag = timedelta(seconds=settings.lag_s)
        self._server_clock = ServerClock(clock)
        self._client: Any = None
        self._connect()
        project = self._project()
        self._documents = f"projects/{project}/databases/{settings.database}/documents"
        self._where = f"Firestore {project}/{stream.collection}"
        self._times = FieldTimes()
        self._asked_s: float | None = None

    @property
    def origin(self) -> str:
        sink = "emulator" if "FIRESTORE_EMULATOR_HOST" in os.environ else "firestore"
        group = "**/" if self._stream.collection_group else ""
        field = self._stream.updated_at_field
        return f"{sink}:{self._documents}/{group}{self._stream.collection}({field})"

    def close(self) -> None:
        self._disconnect()

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        if cursor is not None and "kind" in cursor:
            self._times = times_of(cursor["kind"], cursor["value"])
        snapshots, error = self._run(self._ripe(cursor, limit))
        spent = 0
        if not snapshots and error is None and cursor is None:
            spent = self._learn_times()
            if spent and self._times.kind != "timestamp":
                spent += 1  # for the look that found no timestamp
                snapshots, error = self._run(self._ripe(cursor, limit))
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
            newest = self._connect().where(filter=FieldFilter(self._field, ">=", first))
            newest = newest.order_by(self._field, direction=firestore.Query.DESCENDING)
            snapshots, error = self._run(newest.limit(1))
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
                counts[day], cost = self._count(self._on(day))
            except SourceUnavailable as error:
                raise ReadInterrupted(str(error), billed_reads) from error
            billed_reads += cost
        return DayCounts(counts, billed_reads)

    def ids_of_day(self, day: date) -> IdSet:
        ids: set[str] = set()
        billed_reads = 0
        query = self._by_time(self._on(day)).select([self._field])
        while True:
            snapshots, error = self._run(query.limit(self._page_size))
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
        collection = self._connect()
        holder = self._client if self._stream.collection_group else collection
        for begin in range(0, len(wanted), _IDS_A_LOOKUP):
            some = wanted[begin : begin + _IDS_A_LOOKUP]
            references = [holder.document(id_) for id_ in some]
            answered = 0
            try:
                with translate_errors(self._where):
                    for snapshot in self._client.get_all(
                        references,
                        field_paths=[self._field],
                        retry=self._never_retry(),
                        timeout=self._timeout_s,
                    ):
                        answered += 1
                        if not snapshot.exists:
                            gone.add(self._id(snapshot.reference))
            except SourceUnavailable as error:
                raise ReadInterrupted(str(error), billed_reads + answered) from error
            billed_reads += answered
        # What was not answered for is not known to be missing.
        return IdSet(frozenset(gone), billed_reads)

    def inspect(self, n_sample: int = 0) -> Inspection:
        billed_reads, sample = 0, list[Record]()
        collection = self._connect()
        try:
            n_records, cost = self._count(collection)
            billed_reads += cost
            n_readable, cost = self._count(self._readable())
            billed_reads += cost
            if n_records and not n_readable and (cost := self._learn_times()):
                n_readable, again = self._count(self._readable())
                billed_reads += cost + again
        except SourceUnavailable as error:
            raise ReadInterrupted(str(error), billed_reads) from error
        if n_sample:
            newest_first = firestore.Query.DESCENDING
            snapshots, broken = self._run(
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
        query = self._connect().where(filter=self._filter(">=", self._times.bound(begin)))
        return query.where(filter=self._filter("<", end))

    def _readable(self) -> Any:
        return self._connect().where(filter=self._filter(">=", self._times.bound(EARLIEST)))

    def _ordered(self, cursor: Cursor) -> Any:
        collection = self._connect()
        at = EARLIEST if cursor is None else datetime.fromisoformat(cursor["at"])
        stored = self._times.bound(at) if cursor is None else cursor.get("value")
        stored = self._times.bound(at) if stored is None else stored
        query = self._by_time(collection.where(filter=self._filter(">=", stored)))
        if cursor is None or "name" not in cursor:
            return query
        name: str = cursor["name"]
        if self._stream.collection_group:
            reference = self._client.document(name.removeprefix(f"{self._documents}/"))
            return query.start_after([stored, reference])
        prefix = f"{self._documents}/{self._stream.collection}/"
        if not name.startswith(prefix):
            raise SourceMisconfigured(
                f"{self._where}: the buffer's cursor belongs to {name.rpartition('/')[0]}."
            )
        reference = collection.document(name.removeprefix(prefix))
        return query.start_after([stored, reference])

    def _run(self, query: Any) -> tuple[list[Any], SourceUnavailable | None]:
        """All documents that came, and the error that ended the stream early, if one did.

        Raises:
            SourceMisconfigured: the server refuses the query.
        """
        began = time.monotonic()
        snapshots, error = self._run_once(query, self._timeout_s)
        if error is None or not is_lost_connection(error):
            return snapshots, error
        spent_s = time.monotonic() - began
        if not snapshots and spent_s < self._timeout_s / 2:
            # A connection that idled is often only noticed as lost when it is used again.
            snapshots, error = self._run_once(query, self._timeout_s - spent_s)
        if error is not None and is_lost_connection(error):
            self._disconnect()
        return snapshots, error

    def _run_once(self, query: Any, timeout_s: float) -> tuple[list[Any], SourceUnavailable | None]:
        snapshots: list[Any] = []
        error: SourceUnavailable | None = None
        try:
            with translate_errors(self._where):
                for snapshot in query.stream(retry=self._never_retry(), timeout=timeout_s):
                    snapshots.append(snapshot)  # kept when a later one fails
        except SourceUnavailable as broken:
            error = broken
        if snapshots:
            self._server_clock.learn(read_time(snapshots[-1]))
        return snapshots, error

    def _count(self, query: Any) -> tuple[int, int]:
        """How many documents match, and what it is billed: one read for each thousand begun."""
        with translate_errors(self._where):
            answer = query.count(alias="n").get(retry=self._never_retry(), timeout=self._timeout_s)
            if not answer or not answer[0]:
                raise SourceUnavailable(f"{self._where}: a count ended without an answer.")
            n = int(answer[0][0].value)
        return n, max(1, -(-n // 1000))

    @staticmethod
    def _never_retry() -> Retry:
        # None would make the client ask None for its predicate when a stream breaks.
        return Retry(predicate=lambda _error: False, timeout=1.0)

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
        name = f"{self._documents}/{snapshot.reference.path}"
        told = to_rfc3339(at) if at is not None else (before or {}).get("at", to_rfc3339(EARLIEST))
        if self._times.kind == "timestamp":
            return {"at": told, "name": name}
        value = snapshot.get(self._field)
        return {"at": told, "name": name, "kind": self._times.kind, "value": value}

    # -- the connection --------------------------------------------------------------------------

    def _connect(self) -> Any:
        """The collection, through a client that is made when there is none.

        Raises:
            SourceMisconfigured: no credentials, no project, or not the path of a collection.
        """
        if self._client is None:
            try:
                self._client = firestore.Client(
                    project=self._settings.project or None, database=self._settings.database
                )
            except auth.GoogleAuthError as error:
                raise SourceMisconfigured(
                    f"no Google credentials: {first_line(error)}. Set"
                    " GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or"
                    " FIRESTORE_EMULATOR_HOST to an emulator."
                ) from error
            except (OSError, ValueError) as error:
                raise SourceMisconfigured(f"Firestore: {first_line(error)}.") from error
        name, is_group = self._stream.collection, self._stream.collection_group
        if "*" in name or (is_group and "/" in name):
            raise SourceMisconfigured(
                f"collection: found {name!r}; all collections of one name are read with"
                f' collection = "{name.rpartition("/")[2]}" and collection_group = true.'
            )
        try:
            found = self._client.collection_group if is_group else self._client.collection
            return found(name)
        except ValueError as error:
            raise SourceMisconfigured(
                f"collection: expected the path of a collection, found {name!r}."
            ) from error

    def _project(self) -> str:
        return str(self._client.project)

    def _disconnect(self) -> None:
        """Drop the connection; the next read makes a new one.

        A channel that has failed waits longer and longer, up to two minutes, before it tries
        again; a new one tries at once, and how long to wait is the loop's decision.
        """
        # The client cannot be closed, only the transport that it makes when first used.
        api_client = getattr(self._client, "_firestore_api_internal", None)
        self._client = None
        if api_client is not None:
            api_client.transport.close()


def _billed(snapshots: Sequence[Any], error: SourceUnavailable | None) -> int:
    """One read a document; at least one for a query that was answered."""
    return len(snapshots) if error is not None else max(1, len(snapshots))

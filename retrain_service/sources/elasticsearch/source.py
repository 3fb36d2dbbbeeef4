"""An Elasticsearch index, alias, data stream or pattern as a source, through the official client.

**Order.** Elasticsearch orders by time; among equal times it has no order that lasts. Sorting by
`_id` needs fielddata that clusters switch off, and `_shard_doc` holds only as long as a point in
time is open, so it cannot stand in a cursor that must be good tomorrow. Ties are therefore ordered
here, by `_id`: a page that ends inside a group of equal times learns all ids of that group (paged
by `_shard_doc` within one point in time, ids alone), sorts them, and fetches the documents of the
first ones. The cursor (time, id) then means the same in every later search. The ids of a group are
kept while it is paged through, so that a bulk import of a million equal times is listed once.

**Lag.** A document is found by searches only after a refresh, so nothing is read that is younger
than the longest `refresh_interval` behind the name, whatever `lag_s` says. What counts is the
server's clock: the bound is `now` in its own date arithmetic, in whole seconds. An index that
never refreshes by itself (-1) is refused.

**Times** are what the index has sorted by, whatever text or number the document holds: to the
millisecond for `date`, to the microsecond for `date_nanos` (more digits stay in the cursor).

**Partial answers**, which Elasticsearch gives by default when a shard fails, are refused. Ids are
`_id`, and "index/_id" where the name is a pattern. Rights: `read` and `view_index_metadata`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from retrain_service.sources.elasticsearch.client import open_client
from retrain_service.sources.elasticsearch.errors import translate_errors
from retrain_service.sources.elasticsearch.index import IndexInfo, describe, whole_seconds
from retrain_service.sources.elasticsearch.search import MOST_HITS, Hit, Query, Searches
from retrain_service.sources.json_values import is_set, to_json
from shared.errors import SourceMisconfigured
from shared.records import Batch, Cursor, Record
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_RECHECK_S = 30.0
_EARLIEST, _LATEST = "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"


@dataclass(frozen=True, slots=True)
class _Tie:
    """All ids at one time, in order. Good only for the read that goes on from `cursor`."""

    at: str
    ids: Sequence[str]
    cursor: Cursor


class ElasticsearchSource(Source):
    """Cursor: {"at", "id"}: the time as the server wrote it; {"at"} alone: from that time on."""

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Make the client; nothing connects before the first read.

        Raises:
            SourceMisconfigured: unusable address, or no key where one is named.
        """
        del clock  # the server's own counts
        self._stream, self._field = stream, stream.updated_at_field
        self._lag_s, self._timeout_s = settings.lag_s, settings.timeout_s
        self._page_size = settings.page_size
        self._sink, self._client = open_client(settings)
        self._where = f"Elasticsearch {self._sink}/{stream.collection}"
        self._searches = Searches(
            self._client, stream.collection, stream.updated_at_field, stream.filter or None
        )
        self._looked: tuple[float, IndexInfo] | None = None
        self._tie: _Tie | None = None

    @property
    def origin(self) -> str:
        place = f"{self._sink}/{self._stream.collection}({self._field})"
        return f"elasticsearch:{place}{self._stream.part_digest}"

    def close(self) -> None:
        self._client.close()
        self._looked = self._tie = None

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        with self._answering() as index:
            if index is None:
                return Batch((), cursor, is_last=True)
            hits, end, is_last = self._read(cursor, limit, index, "gte")
            if end == cursor and not is_last:
                # All that came is of the cursor's own time, and known.
                hits, end, is_last = self._read(cursor, limit, index, "gt")
        return Batch(tuple(self._record(hit) for hit in hits), end, is_last)

    def _read(
        self, cursor: Cursor, limit: int, index: IndexInfo, bound: str
    ) -> tuple[list[Hit], Cursor, bool]:
        """Hits in order, the cursor behind them, and whether there is nothing more for now."""
        begin, after = (cursor["at"], cursor.get("id")) if cursor else (_EARLIEST, None)
        lag_s = max(self._lag_s, index.refresh_s)
        query = self._searches.timed({bound: begin, "lt": whole_seconds(lag_s)})
        # One more than asked for, and one that is known: an unchanged index takes one search.
        size = min(limit + 2, MOST_HITS)
        found = self._searches.hits(query, size, index)
        is_all = len(found) < size
        last_at = "" if is_all else found[-1].at
        whole = sorted(
            (
                hit
                for hit in found
                if (is_all or hit.at != last_at)
                and not (after is not None and hit.at == begin and hit.id <= after)
            ),
            key=lambda hit: (hit.at, hit.id),
        )[:limit]
        end = {"at": whole[-1].at, "id": whole[-1].id} if whole else cursor
        if is_all or len(whole) == limit:
            return whole, end, len(whole) < limit
        known_to = after if last_at == begin else None
        ids = self._ids_at(last_at, known_to, cursor)[: limit - len(whole)]
        if ids:
            end = {"at": last_at, "id": ids[-1]}
            if self._tie is not None:
                self._tie = _Tie(last_at, self._tie.ids, end)
        whole += self._fetch(ids, last_at, [hit for hit in found if hit.at == last_at], index)
        return whole, end, False

    def _ids_at(self, at: str, after: str | None, cursor: Cursor) -> Sequence[str]:
        """The ids at one time in order, those after `after`."""
        tie = self._tie
        if tie is None or tie.at != at or tie.cursor != cursor:
            ids = sorted(self._searches.all_ids(self._searches.timed({"gte": at, "lte": at})))
            self._tie = tie = _Tie(at, ids, cursor)
        return tie.ids if after is None else [id_ for id_ in tie.ids if id_ > after]

    def _fetch(
        self, ids: Sequence[str], at: str, found: Sequence[Hit], index: IndexInfo
    ) -> list[Hit]:
        """The documents with these ids that are still at that time, in the order of `ids`."""
        there = {hit.id: hit for hit in found}
        lacking = [id_ for id_ in ids if id_ not in there]
        if lacking:
            query = [self._searches.with_ids(lacking), self._searches.timed({"gte": at, "lte": at})]
            fetched = self._searches.hits({"bool": {"filter": query}}, MOST_HITS, index)
            there.update((hit.id, hit) for hit in fetched)
        return [there[id_] for id_ in ids if id_ in there]

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at": _text(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        with self._answering() as index:
            counts = {
                day: self._searches.count(_on(day)) if index is not None else 0 for day in days
            }
        return DayCounts(counts)

    def ids_of_day(self, day: date) -> IdSet:
        with self._answering() as index:
            if index is None:
                return IdSet(frozenset())
            return IdSet(frozenset(self._searches.all_ids(self._searches.timed(_on(day)))))

    def missing(self, ids: Collection[str]) -> IdSet:
        wanted, there = sorted(ids), set[str]()
        with self._answering():
            for begin in range(0, len(wanted), self._page_size):
                some = wanted[begin : begin + self._page_size]
                there.update(self._searches.all_ids(self._searches.with_ids(some)))
        return IdSet(frozenset(wanted) - there)

    def inspect(self, n_sample: int = 0) -> Inspection:
        self._looked = None
        with self._answering() as index:
            n_records = self._searches.count(None)
            if index is None:
                return Inspection(n_records, n_records, None)
            is_readable = {"gte": _EARLIEST, "lte": _LATEST}
            n_readable = self._searches.count(is_readable)
            query = self._searches.timed(is_readable)
            hits = self._searches.hits(query, n_sample, index, "desc") if n_sample else []
        sample = tuple(self._record(hit) for hit in hits)
        newest = sample[0].updated_at if sample else None
        return Inspection(n_records, n_records - n_readable, newest, sample)

    # -- documents -------------------------------------------------------------------------------

    def _record(self, hit: Hit) -> Record:
        if not isinstance(hit.source, dict):
            raise SourceMisconfigured(
                f"{self._where}: the index does not keep its documents (_source is disabled)."
            )
        at = datetime.fromisoformat(hit.at).astimezone(UTC)
        deleted_field = self._stream.deleted_field
        if deleted_field and is_set(hit.source.get(deleted_field)):
            return Record(hit.id, at, {}, is_deleted=True)
        return Record(hit.id, at, to_json(hit.source))

    # -- the connection --------------------------------------------------------------------------

    @contextmanager
    def _answering(self) -> Iterator[IndexInfo | None]:
        """Errors told apart inside; None when no index has the field, as before the first document.

        Raises:
            SourceMisconfigured: there are documents, and none of their indices has the field.
        """
        with translate_errors(self._where, self._timeout_s):
            now_s = time.monotonic()
            if self._looked is None or now_s - self._looked[0] > _RECHECK_S:
                index = describe(self._client, self._stream.collection, self._field)
                self._looked = (now_s, index)
            index = self._looked[1]
            if index.is_mapped:
                yield index
                return
            self._looked = None
            if self._searches.count(None):
                raise SourceMisconfigured(
                    f"{self._where}: no document has the updated_at_field {self._field!r}, or its"
                    " mapping is switched off."
                )
            yield None


def _text(at: datetime) -> str:
    # All nine digits: what is left out, the server would fill up with nines for "gt" and "lte".
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}000Z"


def _on(day: date) -> Query:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"gte": _text(begin), "lt": _text(begin + timedelta(days=1))}

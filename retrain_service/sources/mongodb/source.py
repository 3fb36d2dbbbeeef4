"""A MongoDB collection or view as a source, through pymongo.

Documents are paged by (updated_at, _id) in MongoDB's own order, over `_id`s of any type and any
mixture of types: a comparison there stays within one type, so the types that come later are asked
for as well. Only dates count, or where no document has one, numbers since 1970 in the unit of the
greatest; a document that holds a text, a list or nothing in `updated_at` is never met, and
inspect() counts it. Dates are kept to the millisecond, and only milliseconds that are over by the
lag are read. An index on (updated_at, _id) serves everything.

**Time.** The server's, asked for before each read; a server that does not tell its time (none of
MongoDB's own) is taken to have this machine's clock.

**A collection that is not there** is legal in MongoDB: it comes with its first document. So it is
an empty one, until something was read from it; after that it was dropped or renamed, and a person
must say which. Nothing is ever reported missing from a collection that is not there.

**Deletes** leave no trace: a tombstone field, or the daily reconciliation, finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pymongo
from pymongo.collection import Collection as MongoCollection

from retrain_service.sources.base import SET_BACK_LOOK, DayCounts, IdSet, Inspection, Source
from retrain_service.sources.json_values import is_set, to_json
from retrain_service.sources.mongodb.bson_values import (
    from_bson,
    greater_ids,
    id_text,
    pack_id,
    possible_ids,
    unpack_id,
)
from retrain_service.sources.mongodb.errors import translate_errors
from retrain_service.sources.mongodb.part import CollectionPart
from shared.documents.time_policy import TimePolicy
from shared.documents.times import read_moment, unit_of_epoch_us
from shared.errors import CollectionMissing, SourceMisconfigured
from shared.records import Batch, Cursor, Record, from_epoch_us, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_ANY_YEAR = TimePolicy(first_year=1970, last_year=9999)
_IDS_A_QUERY = 500
_CONNECT_WITHIN_S = 10.0
"""Longer is not worth it: the loop tries again by itself."""

Filter = dict[str, Any]


class MongodbSource(Source):
    """One collection or view.

    Cursor: {"at_us", "id"}, the id in canonical extended JSON; {"at_us"} alone: from that time on.
    Where times are numbers, "value" and "unit_us" are what is stored and its unit.
    """

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Check the address; nothing connects before the first read.

        Raises:
            SourceMisconfigured: it is not an address of a database.
        """
        self._stream, self._clock = stream, clock
        self._lag = timedelta(seconds=settings.lag_s)
        self._timeout_s = settings.timeout_s
        self._url = settings.url
        self._hosts, self._database = parse_url(settings.url)
        self._where = f"MongoDB {self._hosts}/{self._database}.{stream.collection}"
        self._part = CollectionPart(stream.filter, stream.pipeline, self._where)
        self._client: pymongo.MongoClient[dict[str, Any]] | None = None
        self._has_been_there = False
        self._unit_us = 0.0  # of times that are numbers; 0: they are dates

    @property
    def origin(self) -> str:
        place = f"{self._hosts}/{self._database}.{self._stream.collection}({self._field})"
        return f"mongodb:{place}{self._stream.part_digest}"

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        if cursor is not None and "unit_us" in cursor:
            self._unit_us = cursor["unit_us"]
        with self._connected() as collection:
            newest = self._server_time(collection) - self._lag
            if cursor is not None and cursor["at_us"] > to_epoch_us(newest):
                cursor = self.cursor_at(newest - SET_BACK_LOOK)

            def find() -> list[Filter]:
                wanted = self._after(cursor, newest)
                return self._part.find(collection, wanted, sort=self._by_time(), limit=limit)

            documents = find()
            if not documents and cursor is None and self._learn_unit(collection):
                documents = find()
            if not documents and (cursor is not None or self._has_been_there):
                self._insist_on(collection)
        if not documents:
            return Batch((), cursor, is_last=True)
        self._has_been_there = True
        timed = [(at, each) for each in documents if (at := self._time(each)) is not None]
        if not timed:
            raise SourceMisconfigured(
                f"{self._where}: updated_at_field {self._field!r} leads through a list."
            )
        at, last = timed[-1]
        place = {"at_us": to_epoch_us(at), "id": pack_id(last["_id"])}
        if self._unit_us:
            place |= {"value": self._stored(last), "unit_us": self._unit_us}
        return Batch(
            tuple(self._record(at, document) for at, document in timed),
            place,
            is_last=len(documents) < limit,
        )

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at_us": to_epoch_us(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        with self._connected() as collection:
            return DayCounts({day: self._part.count(collection, self._on(day)) for day in days})

    def ids_of_day(self, day: date) -> IdSet:
        with self._connected() as collection:
            found = self._part.find(collection, self._on(day), only_ids=True)
            return IdSet(frozenset(id_text(document["_id"]) for document in found))

    def missing(self, ids: Collection[str]) -> IdSet:
        wanted, there = sorted(ids), set[str]()
        with self._connected() as collection:
            self._insist_on(collection)
            for begin in range(0, len(wanted), _IDS_A_QUERY):
                some = wanted[begin : begin + _IDS_A_QUERY]
                candidates = [each for text in some for each in possible_ids(text)]
                found = self._part.find(collection, {"_id": {"$in": candidates}}, only_ids=True)
                there.update(id_text(document["_id"]) for document in found)
        return IdSet(frozenset(wanted) - there)

    def inspect(self, n_sample: int = 0) -> Inspection:
        with self._connected() as collection:
            if n_sample and collection.database.list_collection_names():
                self._insist_on(collection)  # whoever looks at a sample wants to hear of a typo
            # Without a sample nobody looks closely: then by the server's own book-keeping.
            is_exact = bool(n_sample) or self._part.is_some
            n_records = (
                self._part.count(collection, {})
                if is_exact
                else collection.estimated_document_count()
            )
            n_readable = self._part.count(collection, self._readable())
            if n_records and not n_readable and self._learn_unit(collection):
                n_readable = self._part.count(collection, self._readable())
            newest_first = [(self._field, -1), ("_id", -1)]
            documents = (
                self._part.find(collection, self._readable(), sort=newest_first, limit=n_sample)
                if n_sample
                else []
            )
        timed = [(at, each) for each in documents if (at := self._time(each)) is not None]
        sample = tuple(self._record(at, document) for at, document in timed)
        newest = sample[0].updated_at if sample else None
        n_without = max(0, n_records - n_readable)
        return Inspection(n_records, n_without, newest, sample, is_exact=is_exact)

    # -- queries ---------------------------------------------------------------------------------

    @property
    def _field(self) -> str:
        return self._stream.updated_at_field

    def _by_time(self) -> list[tuple[str, int]]:
        return [(self._field, 1), ("_id", 1)]

    def _timed(self, bounds: Filter) -> Filter:
        # A list matches when any of its elements does, and is sorted by its least.
        return {self._field: {**bounds, "$not": {"$type": "array"}}}

    def _readable(self) -> Filter:
        return self._timed({"$gte": self._bound(_EARLIEST)})

    def _bound(self, at: datetime) -> Any:
        """What is stored at a time, to compare with."""
        if not self._unit_us:
            return at
        return 0 if at == _EARLIEST else to_epoch_us(at) / self._unit_us

    def _learn_unit(self, collection: MongoCollection[dict[str, Any]]) -> bool:
        """Whether times are numbers, whose unit is then known."""
        numbers = {self._field: {"$gt": 0, "$not": {"$type": "array"}}}
        newest = [(self._field, -1)]
        for document in self._part.find(collection, numbers, sort=newest, limit=1):
            self._unit_us = unit_of_epoch_us(float(self._stored(document)))
        return self._unit_us > 0

    def _after(self, cursor: Cursor, newest_at: datetime) -> Filter:
        at = self._bound(_EARLIEST if cursor is None else from_epoch_us(cursor["at_us"]))
        newest = self._bound(newest_at)
        if cursor is None or "id" not in cursor:
            # Rounded down to what is stored, so that nothing at that time is left out.
            return self._timed({"$gte": at, "$lt": newest})
        at = cursor.get("value", at)
        # Each branch with its own bounds on both fields, so that an index serves every one.
        same_time = self._timed({"$eq": at, "$lt": newest})
        return {
            "$or": [
                *({**same_time, **ids} for ids in greater_ids(unpack_id(cursor["id"]))),
                self._timed({"$gt": at, "$lt": newest}),
            ]
        }

    def _on(self, day: date) -> Filter:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = begin + timedelta(days=1)
        return self._timed({"$gte": self._bound(begin), "$lt": self._bound(end)})

    def _server_time(self, collection: MongoCollection[dict[str, Any]]) -> datetime:
        # Nothing for the server to limit, and not every one takes a limit here; the socket has one.
        with pymongo.timeout(None):
            told = collection.database.command("hello").get("localTime")
        return told if isinstance(told, datetime) else self._clock()

    def _insist_on(self, collection: MongoCollection[dict[str, Any]]) -> None:
        """Raises CollectionMissing when the collection is not there."""
        database = collection.database
        if database.list_collection_names(filter={"name": collection.name}):
            return
        there = ", ".join(sorted(database.list_collection_names())[:30]) or "none"
        raise CollectionMissing(
            f"{self._where}: no collection {collection.name!r} any more or yet; the collections"
            f" there are: {there}."
        )

    # -- documents -------------------------------------------------------------------------------

    def _stored(self, document: Filter) -> Any:
        value: Any = document
        for name in self._field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _time(self, document: Filter) -> datetime | None:
        value = self._stored(document)
        if self._unit_us and isinstance(value, int | float):
            return read_moment(value, _ANY_YEAR)
        return value.astimezone(UTC) if isinstance(value, datetime) else None

    def _record(self, at: datetime, document: Filter) -> Record:
        id_ = id_text(document["_id"])
        deleted_field = self._stream.deleted_field
        if deleted_field and is_set(document.get(deleted_field)):
            return Record(id_, at, {}, is_deleted=True)
        return Record(id_, at, to_json({**document, "_id": id_}, from_bson))

    # -- the connection --------------------------------------------------------------------------

    @contextmanager
    def _connected(self) -> Iterator[MongoCollection[dict[str, Any]]]:
        with translate_errors(self._where, self._timeout_s), pymongo.timeout(self._timeout_s):
            if self._client is None:
                within_ms = round(min(self._timeout_s, _CONNECT_WITHIN_S) * 1000)
                self._client = pymongo.MongoClient(
                    self._url,
                    connect=False,
                    appname="hotfit",
                    maxPoolSize=1,
                    serverSelectionTimeoutMS=within_ms,
                    connectTimeoutMS=within_ms,
                    socketTimeoutMS=round(self._timeout_s * 1000),
                    tz_aware=True,
                    datetime_conversion="DATETIME_AUTO",
                    uuidRepresentation="standard",
                    unicode_decode_error_handler="replace",
                )
            yield self._client[self._database][self._stream.collection]


def parse_url(url: str) -> tuple[str, str]:
    """Hosts and database, without user and password. Asks no name server.

    Raises:
        SourceMisconfigured: not an address, or one that names no database.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    hosts, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
    if parts.scheme not in ("mongodb", "mongodb+srv") or not hosts or not database:
        # Not the text itself: it may hold a password.
        raise SourceMisconfigured(
            'url: expected "mongodb://user:password@host:27017/DATABASE" or "mongodb+srv://…",'
            " with the name of the database."
        )
    return hosts, database

"""Read the feed, the records sent to the API, as a source. Never changes the feed's file.

Stamps are given inside the write transaction and only grow, so nothing commits late and
`lag_s = 0` loses nothing. Each question opens a connection of its own: the file may be replaced
or come into being between two of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from retrain_service.sources.base import DayCounts, IdSet, Inspection, Source
from retrain_service.sources.json_values import is_set
from shared.errors import (
    NotReady,
    SchemaTooNew,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
)
from shared.feed.reader import SELECT, KeptRecord, kept_record, reading
from shared.records import Batch, Cursor, Record, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_IDS_A_QUERY = 500
_DAY_US = 86_400 * 1_000_000


class FeedSource(Source):
    """One collection of the feed. Cursor: {"stamp_us", "id"} of the last record read."""

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        """Nothing is opened before the first read.

        Raises:
            SourceMisconfigured: nobody said which file it is.
        """
        if not settings.url:
            raise SourceMisconfigured("url: expected the path of the feed's file, found none.")
        self._path = Path(settings.url)
        self._collection = stream.collection
        self._deleted_field = stream.deleted_field
        self._lag = timedelta(seconds=settings.lag_s)
        self._clock = clock

    @property
    def origin(self) -> str:
        return f"feed:{self._path.as_posix()}/{self._collection}"

    def close(self) -> None:
        """Nothing is open between two questions."""

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        newest_us = to_epoch_us(self._clock() - self._lag)
        after = (cursor["stamp_us"], cursor["id"]) if cursor is not None else (0, "")
        with self._asking() as connection:
            rows = connection.execute(
                f"{SELECT} WHERE collection=? AND (stamp_us, id) > (?, ?) AND stamp_us <= ?"
                " ORDER BY stamp_us, id LIMIT ?",
                (self._collection, *after, newest_us, limit),
            ).fetchall()
        if not rows:
            return Batch((), cursor, is_last=True)
        records = tuple(self._record(kept_record(row)) for row in rows)
        last = {"stamp_us": rows[-1][1], "id": rows[-1][0]}
        return Batch(records, last, is_last=len(rows) < limit)

    def cursor_at(self, at: datetime) -> Cursor:
        return {"stamp_us": to_epoch_us(at), "id": ""}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        with self._asking() as connection:
            return DayCounts(
                {
                    day: connection.execute(
                        f"SELECT count(*) {_LIVE_ON_DAY}", (self._collection, *_bounds_us(day))
                    ).fetchone()[0]
                    for day in days
                }
            )

    def ids_of_day(self, day: date) -> IdSet:
        with self._asking() as connection:
            found = connection.execute(
                f"SELECT id {_LIVE_ON_DAY}", (self._collection, *_bounds_us(day))
            )
            return IdSet(frozenset(id_ for (id_,) in found))

    def missing(self, ids: Collection[str]) -> IdSet:
        wanted, there = sorted(ids), set[str]()
        with self._asking() as connection:
            for begin in range(0, len(wanted), _IDS_A_QUERY):
                some = wanted[begin : begin + _IDS_A_QUERY]
                marks = ",".join("?" * len(some))
                found = connection.execute(
                    "SELECT id FROM records WHERE collection=? AND NOT is_deleted"  # noqa: S608 - question marks only
                    f" AND id IN ({marks})",
                    (self._collection, *some),
                )
                there.update(id_ for (id_,) in found)
        return IdSet(frozenset(wanted) - there)

    def inspect(self, n_sample: int = 0) -> Inspection:
        """Every record has a stamp, so none is without one."""
        live = "WHERE collection=? AND NOT is_deleted"
        with self._asking() as connection:
            (n_records,) = connection.execute(
                f"SELECT count(*) FROM records {live}",  # noqa: S608 - the words are ours
                (self._collection,),
            ).fetchone()
            rows = connection.execute(
                f"{SELECT} {live} ORDER BY stamp_us DESC, id DESC LIMIT ?",
                (self._collection, n_sample),
            ).fetchall()
        sample = tuple(self._record(kept_record(row)) for row in rows)
        return Inspection(n_records, 0, sample[0].updated_at if sample else None, sample)

    def _record(self, kept: KeptRecord) -> Record:
        is_marked = bool(self._deleted_field) and is_set(kept.fields.get(self._deleted_field))
        return Record(kept.id, kept.stamp, kept.fields, kept.is_deleted or is_marked)

    @contextmanager
    def _asking(self) -> Iterator[sqlite3.Connection]:
        try:
            with reading(self._path) as connection:
                yield connection
        except SchemaTooNew as error:
            raise SourceMisconfigured(str(error)) from None
        except (NotReady, StorageUnavailable) as error:
            cause = error.__cause__
            # A file that answers with other tables is no feed: waiting does not make it one.
            if isinstance(cause, sqlite3.DatabaseError) and "no such" in str(cause):
                raise SourceMisconfigured(
                    f"{self._path}: collection {self._collection!r} cannot be read: {cause};"
                    " this is not a feed's file."
                ) from error
            raise SourceUnavailable(str(error)) from error


_LIVE_ON_DAY = "FROM records WHERE collection=? AND stamp_us>=? AND stamp_us<? AND NOT is_deleted"


def _bounds_us(day: date) -> tuple[int, int]:
    begin_us = to_epoch_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return begin_us, begin_us + _DAY_US

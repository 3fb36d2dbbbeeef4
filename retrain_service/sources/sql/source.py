"""SQL tables as a source: SQLite, PostgreSQL, MySQL and MariaDB through SQLAlchemy.

Rows are paged by (updated_at, id), compared in the database's own order, so that
an index on the two columns (or on the first) serves. Only time steps of the column that are over
by the lag are read: a column that keeps whole seconds is read up to the last full second, because
a row may still be written into the one that runs.

The server's time is asked for in the same transaction as the rows; an SQLite file has no server,
and its time is this machine's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from retrain_service.sources.base import SET_BACK_LOOK, DayCounts, IdSet, Inspection, Source
from retrain_service.sources.json_values import decode_json_text, is_set, to_json
from retrain_service.sources.sql.changed_form import has_another_form
from retrain_service.sources.sql.cursor_values import id_text, pack, unpack
from retrain_service.sources.sql.engine import (
    break_off,
    check_file,
    open_engine,
    parse_url,
    server_time,
)
from retrain_service.sources.sql.errors import translate_errors
from retrain_service.sources.sql.estimate import COUNTED_UP_TO, estimate
from retrain_service.sources.sql.table import TableInfo, describe
from retrain_service.sources.sql.times import (
    EARLIEST,
    LATEST,
    TimeFormat,
    day_begin,
    day_end,
    settled,
)
from shared.records import Batch, Cursor, Record, from_epoch_us, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_IDS_A_QUERY = 500


class SqlSource(Source):
    """One table or view.

    Cursor: {"at_us", "form", "key", "id"}: the time, and the key and id as they are stored.
    Without a key, or when the column has changed its form, the read begins at `at_us`, included.
    """

    def __init__(self, settings: SourceSettings, stream: StreamSettings, clock: Any) -> None:
        """Prepare the engine; nothing connects before the first read.

        Raises:
            SourceMisconfigured: the address is not usable, or the driver is not installed.
        """
        self._stream = stream
        self._clock = clock
        self._lag = timedelta(seconds=settings.lag_s)
        self._reads_ahead = False
        self._timeout_s = settings.timeout_s
        self._zone = ZoneInfo(stream.time_zone or settings.time_zone or "UTC")
        self._url = parse_url(settings.url)
        self._where = self._url.set(query={}).render_as_string(hide_password=True)
        self._engine, self._open_now = open_engine(self._url, settings.timeout_s)
        self._info: TableInfo | None = None

    @property
    def origin(self) -> str:
        sink = self._url.set(username=None, password=None, query={}, drivername="sql")
        backend = self._url.get_backend_name()
        fields = f"{','.join(self._stream.id_fields)},{self._stream.updated_at_field}"
        place = self._stream.collection
        if self._stream.query:
            place = f"query {sha256(self._stream.query.encode()).hexdigest()[:12]}"
        return f"{backend}:{sink.render_as_string()}/{place}({fields})"

    def close(self) -> None:
        self._engine.dispose()
        self._info = None

    def cancel(self) -> None:
        break_off(self._open_now)

    # -- reading ---------------------------------------------------------------------------------

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        batch = self._read_after(cursor, limit)
        if batch.is_last and self._has_another_form(batch.cursor):
            self._info = None
            batch = self._read_after(cursor, limit)
        return batch

    def _has_another_form(self, cursor: Cursor) -> bool:
        if self._info is None:
            return False
        after_us = cursor["at_us"] if cursor else to_epoch_us(EARLIEST)
        with self._connected() as connection:
            return has_another_form(connection, self._info, after_us)

    def _read_after(self, cursor: Cursor, limit: int) -> Batch:
        with self._connected() as connection:
            watched = self._look(connection)
            form = watched.form
            if form is None:
                return Batch((), cursor, is_last=True)
            key = form.key(watched.updated_at, self._dialect)
            newest_at = settled(server_time(connection, self._clock) - self._lag, form.zone)
            if cursor and cursor["at_us"] > to_epoch_us(newest_at) and not self._reads_ahead:
                cursor = self.cursor_at(newest_at - SET_BACK_LOOK)
            newest = form.bound(LATEST if self._reads_ahead else newest_at, self._dialect)
            wanted = [
                watched.id.is_not(None),
                *self._after(cursor, key, watched, form),
                key < self._bind(newest, form),
            ]
            if not watched.is_indexed:
                # Else each page would sort all that is behind it.
                border = connection.execute(
                    sa.select(key).where(*wanted).order_by(key).offset(limit).limit(1)
                ).scalar_one_or_none()
                if border is not None:
                    wanted.append(key <= self._bind(border, form))
            rows = connection.execute(
                sa.select(*self._columns(watched), key, watched.id, watched.id_key)
                .where(*wanted)
                .order_by(key, watched.id_key)
                .limit(limit)
            ).all()
        if not rows:
            return Batch((), cursor, is_last=True)
        records = [self._record(row, watched, form) for row in rows]
        *_, last_key, _, last_id = rows[-1]
        return Batch(
            tuple(record for record in records if record is not None),
            {
                "at_us": self._time_us(last_key, form, cursor),
                "form": form.name,
                "key": pack(last_key),
                "id": pack(last_id),
            },
            is_last=len(rows) < limit,
        )

    def cursor_at(self, at: datetime) -> Cursor:
        return {"at_us": to_epoch_us(at)}

    def count_by_day(self, days: Sequence[date]) -> DayCounts:
        with self._connected() as connection:
            watched = self._look(connection)
            if watched.form is None:
                return DayCounts(dict.fromkeys(days, 0))
            count = sa.select(sa.func.count()).select_from(watched.table)
            return DayCounts(
                {
                    day: connection.execute(
                        count.where(*self._on(day, watched, watched.form))
                    ).scalar_one()
                    for day in days
                }
            )

    def ids_of_day(self, day: date) -> IdSet:
        with self._connected() as connection:
            watched = self._look(connection)
            if watched.form is None:
                return IdSet(frozenset())
            found = connection.execute(
                sa.select(watched.id).where(*self._on(day, watched, watched.form))
            )
            return IdSet(frozenset(id_text(value) for value in found.scalars()))

    def missing(self, ids: Collection[str]) -> IdSet:
        wanted, there = sorted(ids), set[str]()
        with self._connected() as connection:
            watched = self._look(connection)
            as_text = watched.id_as_text(self._dialect)
            for begin in range(0, len(wanted), _IDS_A_QUERY):
                some = wanted[begin : begin + _IDS_A_QUERY]
                found = connection.execute(sa.select(watched.id).where(as_text.in_(some)))
                there.update(id_text(value) for value in found.scalars())
        return IdSet(frozenset(wanted) - there)

    def inspect(self, n_sample: int = 0) -> Inspection:
        self._info = None  # columns may have come and gone since
        with self._connected() as connection:
            watched = self._look(connection)
            form = watched.form
            count = sa.select(sa.func.count()).select_from(watched.table)
            if n_sample == 0 and form is not None:
                estimated = estimate(
                    connection,
                    watched.table,
                    lambda table: sa.and_(*self._is_readable(table, watched, form)),
                )
                if estimated is not None:
                    return estimated
            n_records = connection.execute(count).scalar_one()
            if form is None:
                return Inspection(n_records, n_records, None)
            key = form.key(watched.updated_at, self._dialect)
            is_readable = self._is_readable(watched.table, watched, form)
            n_readable = connection.execute(count.where(*is_readable)).scalar_one()
            rows = (
                connection.execute(
                    sa.select(*self._columns(watched), key, watched.id, watched.id_key)
                    .where(*is_readable)
                    .order_by(key.desc(), watched.id_key.desc())
                    .limit(n_sample)
                ).all()
                if n_sample
                else []
            )
            ids = self._count_ids(connection, watched) if n_sample else None
        sample = [record for row in rows if (record := self._record(row, watched, form))]
        newest = sample[0].updated_at if sample else None
        n_unreadable, remark = n_records - n_readable, form.remark(self._stream.updated_at_field)
        return Inspection(n_records, n_unreadable, newest, tuple(sample), ids=ids, remark=remark)

    def _count_ids(self, connection: sa.Connection, watched: TableInfo) -> tuple[int, int]:
        """Rows and different ids; of a large table, those of a part of it."""
        some = sa.select(watched.id_key.label("id")).where(watched.id.is_not(None))
        looked = some.limit(COUNTED_UP_TO).subquery()
        n_rows, n_ids = connection.execute(
            sa.select(sa.func.count(), sa.func.count(sa.distinct(looked.c.id)))
        ).one()
        return n_rows, n_ids

    # -- statements ------------------------------------------------------------------------------

    def _is_readable(
        self, table: sa.FromClause, watched: TableInfo, form: TimeFormat
    ) -> tuple[sa.ColumnElement[bool], ...]:
        key = form.key(table.c[self._stream.updated_at_field], self._dialect)
        earliest, latest = (
            self._bind(form.bound(at, self._dialect), form) for at in (EARLIEST, LATEST)
        )
        has_id = (table.c[name].is_not(None) for name in self._stream.id_fields)
        return (*has_id, key >= earliest, key < latest)

    @property
    def _dialect(self) -> str:
        return self._engine.dialect.name

    def _columns(self, watched: TableInfo) -> list[sa.ColumnElement[Any]]:
        return [watched.table.c[name] for name in watched.names]

    def _bind(self, value: Any, form: TimeFormat) -> sa.ColumnElement[Any]:
        return sa.bindparam(None, value, type_=form.bind_type(self._dialect), unique=True)

    def _after(
        self,
        cursor: Cursor,
        key: sa.ColumnElement[Any],
        watched: TableInfo,
        form: TimeFormat,
    ) -> tuple[sa.ColumnElement[bool], ...]:
        if cursor is None or "key" not in cursor or cursor["form"] != form.name:
            at = EARLIEST if cursor is None else from_epoch_us(cursor["at_us"])
            return (key >= self._bind(form.bound(at, self._dialect), form),)
        key_bind = self._bind(unpack(cursor["key"]), form)
        id_type = watched.id_type if watched.is_indexed else watched.id_key.type
        id_bind = sa.bindparam(None, unpack(cursor["id"]), type_=id_type, unique=True)
        # The first condition is implied by the second; it lets an index on the time alone serve.
        if self._dialect == "mysql":  # no index serves a comparison of row values there
            later_id = sa.and_(key == key_bind, watched.id_key > id_bind)
            return (key >= key_bind, sa.or_(key > key_bind, later_id))
        return (
            key >= key_bind,
            sa.tuple_(key, watched.id_key) > sa.tuple_(key_bind, id_bind),
        )

    def _on(
        self, day: date, watched: TableInfo, form: TimeFormat
    ) -> tuple[sa.ColumnElement[bool], ...]:
        key = form.key(watched.updated_at, self._dialect)
        begin, end = (form.bound(at, self._dialect) for at in (day_begin(day), day_end(day)))
        return (
            watched.id.is_not(None),
            key >= self._bind(begin, form),
            key < self._bind(end, form),
        )

    # -- rows ------------------------------------------------------------------------------------

    def _record(self, row: Sequence[Any], watched: TableInfo, form: TimeFormat) -> Record | None:
        *values, key, id_, _ = row
        updated_at = form.decode(key)
        if updated_at is None:
            return None  # not a time: inspect() counts it
        stored = dict(zip(watched.names, values, strict=True))
        deleted_field = self._stream.deleted_field
        if deleted_field and is_set(stored[deleted_field]):
            return Record(id_text(id_), updated_at, {}, is_deleted=True)
        fields = {
            name: decode_json_text(to_json(value, zone=self._zone))
            for name, value in stored.items()
        }
        return Record(id_text(id_), updated_at, fields)

    def _time_us(self, key: Any, form: TimeFormat, before: Cursor) -> int:
        at = form.decode(key)
        if at is not None:
            return to_epoch_us(at)
        return int(before["at_us"]) if before else to_epoch_us(EARLIEST)

    # -- the connection --------------------------------------------------------------------------

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        check_file(self._url)
        with translate_errors(self._where, self._timeout_s), self._engine.connect() as connection:
            yield connection

    def _look(self, connection: sa.Connection) -> TableInfo:
        if self._info is None or self._info.form is None:
            self._info = describe(connection, self._stream, self._zone)
        return self._info

"""A PostgreSQL table that is read by the log of its changes: late commits and deletions too.

The log says which ids have changed; the rows are read as they are now, and what is not there any
more is deleted. First the slot is made, then the whole table is read by the cursor, then the log.

**Taking.** Changes are looked at, and confirmed to the server when the cursor behind them comes
back, that is, when they are stored. What comes twice is known to the buffer as unchanged. The log
is gone through in bounded stretches; one without a change of the table is confirmed, so that the
slot holds nothing back.

**A lost slot** (dropped, thrown away by the server, or read by somebody else): the whole table is
read again behind a new slot. When the one before was less than a day old, the cursor alone is read
for a day, with the usual lag, so that a server that keeps too little is not read over and over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from retrain_service.sources.sql import change_log
from retrain_service.sources.sql.change_log import Slot, described
from retrain_service.sources.sql.engine import server_time
from retrain_service.sources.sql.source import SqlSource
from retrain_service.sources.sql.table import TableInfo
from shared.errors import SourceMisconfigured
from shared.records import Batch, Cursor, Record, to_epoch_us
from shared.settings.per_model import StreamSettings
from shared.settings.sections import SourceSettings

_STRETCH_BYTES = 256 << 20
_KEPT_BYTES = 16 << 20
"""Of the log without a change of the table, before the place is moved on; one file of the log."""
_TOO_MUCH_BYTES = 1 << 30
_DAY_US = 86_400_000_000


def open_sql_source(
    settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
) -> SqlSource:
    """The source that `read_by` of the stream asks for."""
    return (LogSource if stream.slot else SqlSource)(settings, stream, clock)


class LogSource(SqlSource):
    """One table, and the slot that the stream names.

    Cursor: {"slot", "made_us", "inner", "lsn", "done"}: the cursor of the table behind "inner",
    or in the log, behind the changes up to "lsn" and the first "done" ids after it; "lsn" null:
    the table is still being read. {"until_us", "inner"}: by the cursor alone until then. Others:
    a cursor of the table, where reading by the log begins.
    """

    def __init__(
        self, settings: SourceSettings, stream: StreamSettings, clock: Callable[[], datetime]
    ) -> None:
        super().__init__(settings, stream, clock)
        if stream.read_by == "log" and (self._dialect != "postgresql" or stream.query):
            raise SourceMisconfigured(
                'read_by = "log" needs a table of PostgreSQL; write read_by = "cursor".'
            )
        self._slot, self._publication = stream.slot, stream.publication
        self._is_by_log = stream.read_by == "log"
        self._budget_s = settings.timeout_s / 2
        self._careful_lag = self._lag
        self._pending: tuple[int, int, list[str], bool] | None = None
        self._remark = ""
        self._connection: sa.Connection | None = None

    @property
    def remark(self) -> str:
        return self._remark

    def read_after(self, cursor: Cursor, limit: int) -> Batch:
        if not self._is_by_log:
            return self._by_cursor_alone(cursor, limit)
        with self._connected() as connection:
            now_us = to_epoch_us(server_time(connection, self._clock))
            slot = change_log.find_slot(connection, self._slot)
            self._describe(slot)
            state = _state(cursor)
            if state.get("until_us", 0) > now_us:
                self._remark = (
                    "by the cursor for a day, because the slot was lost soon after it was made;"
                    " see max_slot_wal_keep_size of the server"
                )
                return self._inner(state, limit, self._careful_lag)
            if "until_us" in state:
                state = _state(None)
            if state["lsn"] is None:
                if slot is None or slot.is_lost:
                    state = {
                        **state,
                        "made_us": now_us,
                        "inner": self._begin(connection, state, slot),
                    }
                return self._whole_table(connection, cursor, state, limit)
            if slot is None or slot.is_lost or slot.confirmed > state["lsn"]:
                return self._lost(connection, state, slot, now_us)
            return self._changes(connection, cursor, state, slot, limit)

    def drop_slot(self) -> bool:
        """Remove the slot from the server; False when there is none."""
        with self._connected() as connection:
            return change_log.drop_slot(connection, self._slot)

    # -- the table -------------------------------------------------------------------------------

    def _begin(self, connection: sa.Connection, state: dict[str, Any], slot: Slot | None) -> Cursor:
        """Make the slot; the table is read from where its cursor stands, or again from the
        beginning when there was a slot before."""
        self._oids(connection)
        if slot is not None:
            change_log.drop_slot(connection, self._slot)
        change_log.make_slot(connection, self._slot)
        return None if state["made_us"] else state["inner"]

    def _whole_table(
        self, connection: sa.Connection, cursor: Cursor, state: dict[str, Any], limit: int
    ) -> Batch:
        batch = self._inner(state, limit, None)
        if batch.records and not batch.is_last:
            return batch
        slot = change_log.find_slot(connection, self._slot)
        assert slot is not None, "it was made before the table was read"
        state = {**batch.cursor, "lsn": slot.confirmed}
        if batch.records:
            return Batch(batch.records, state, is_last=True)
        return self._changes(connection, cursor, state, slot, limit)

    def _inner(self, state: dict[str, Any], limit: int, lag: timedelta | None) -> Batch:
        """By the table's own cursor; without a lag also what is dated in the future."""
        self._lag, self._reads_ahead = lag or timedelta(0), lag is None
        batch = super().read_after(state["inner"], limit)
        return Batch(batch.records, {**state, "inner": batch.cursor}, is_last=batch.is_last)

    def _by_cursor_alone(self, cursor: Cursor, limit: int) -> Batch:
        """The setting was taken back; a slot that is still there is told."""
        if self._dialect == "postgresql":
            with self._connected() as connection:
                slot = change_log.find_slot(connection, self._slot)
            self._remark = (
                f"slot {self._slot} is not read any more and holds back"
                f" {described(slot.held_bytes)} of the server's disk: drop-slot removes it"
                if slot is not None
                else ""
            )
        return super().read_after(_state(cursor)["inner"], limit)

    # -- the log ---------------------------------------------------------------------------------

    def _changes(
        self,
        connection: sa.Connection,
        cursor: Cursor,
        state: dict[str, Any],
        slot: Slot,
        limit: int,
    ) -> Batch:
        since = state["lsn"]
        if since > slot.confirmed:
            change_log.confirm(connection, self._slot, since)
        if self._pending is None or self._pending[0] != since:
            self._pending = (since, *self._next_stretch(connection, since, slot.current))
        _, up_to, ids, is_end = self._pending
        page = ids[state["done"] : state["done"] + limit]
        records = self._records_of(connection, page)
        if state["done"] + len(page) < len(ids):
            return Batch(records, {**state, "done": state["done"] + len(page)}, is_last=False)
        self._pending = None
        if not page and up_to - since < _KEPT_BYTES:
            return Batch((), cursor, is_last=is_end)
        is_last = is_end and len(page) < limit
        return Batch(records, {**state, "lsn": up_to, "done": 0}, is_last=is_last)

    def _next_stretch(
        self, connection: sa.Connection, since: int, current: int
    ) -> tuple[int, list[str], bool]:
        """Up to where the log was looked at, the ids changed there, and whether that is its end."""
        deadline_s = time.monotonic() + self._budget_s
        oids = self._oids(connection)
        up_to = since
        while True:
            up_to = min(current, up_to + _STRETCH_BYTES)
            messages = change_log.peek(connection, self._slot, self._publication, up_to)
            ids = change_log.changed_ids(messages, oids, self._stream.id_fields)
            if ids or up_to >= current or time.monotonic() > deadline_s:
                return up_to, ids, up_to >= current

    def _records_of(self, connection: sa.Connection, ids: Sequence[str]) -> tuple[Record, ...]:
        """The rows with these ids as they are now, and a tombstone for each that is not there."""
        if not ids:
            return ()
        watched = self._look(connection)
        if isinstance(watched.id_type, sa.LargeBinary):
            ids = [id_.removeprefix("\\x") for id_ in ids]
        found, there = self._rows_of(connection, watched, ids)
        now = server_time(connection, self._clock).astimezone(UTC)
        gone = [Record(id_, now, {}, is_deleted=True) for id_ in ids if id_ not in there]
        return tuple(sorted([*found, *gone], key=lambda each: (each.updated_at, each.id)))

    def _rows_of(
        self, connection: sa.Connection, watched: TableInfo, ids: Sequence[str]
    ) -> tuple[list[Record], set[str]]:
        as_text = watched.id_as_text(self._dialect)
        is_one = len(self._stream.id_fields) == 1 and not isinstance(
            watched.id_type, sa.LargeBinary
        )
        wanted = (
            watched.id.in_([sa.cast(sa.literal(id_, sa.Text), watched.id_type) for id_ in ids])
            if is_one  # in the column's own type, so that its index serves
            else as_text.in_(ids)
        )
        form = watched.form
        key = form.key(watched.updated_at, self._dialect) if form else watched.updated_at
        rows = connection.execute(
            sa.select(*self._columns(watched), key, watched.id, as_text).where(wanted)
        ).all()
        records = [self._record(row, watched, form) for row in rows] if form else []
        return [each for each in records if each is not None], {str(row[-1]) for row in rows}

    def _oids(self, connection: sa.Connection) -> frozenset[int]:
        table = self._look(connection).table
        assert isinstance(table, sa.TableClause), "a query is refused at the start"
        name = connection.dialect.identifier_preparer.format_table(table)
        return change_log.check_table(connection, name, self._publication, self._stream.id_fields)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """One connection for a whole call: it is the only one that there is."""
        if self._connection is not None:
            yield self._connection
            return
        with super()._connected() as self._connection:
            try:
                yield self._connection
            finally:
                self._connection = None

    # -- a lost slot -----------------------------------------------------------------------------

    def _lost(
        self, connection: sa.Connection, state: dict[str, Any], slot: Slot | None, now_us: int
    ) -> Batch:
        self._pending = None
        if slot is not None and slot.is_lost:
            change_log.drop_slot(connection, self._slot)
        if now_us - state["made_us"] < _DAY_US:
            return Batch((), {"until_us": now_us + _DAY_US, "inner": None}, is_last=False)
        self._remark = "the slot was lost; the whole table is read again behind a new one"
        again = {"made_us": now_us, "inner": None, "lsn": None, "done": 0}
        return Batch((), again, is_last=False)

    def _describe(self, slot: Slot | None) -> None:
        self._remark = ""
        if slot is not None:
            self._remark = f"by the log; slot {self._slot} holds back {described(slot.held_bytes)}"
            if slot.held_bytes > _TOO_MUCH_BYTES:
                self._remark += " of the server's disk, which may fill: is a transaction open?"


def _state(cursor: Cursor) -> dict[str, Any]:
    if cursor is not None and ("lsn" in cursor or "until_us" in cursor):
        return dict(cursor)
    return {"made_us": 0, "inner": cursor, "lsn": None, "done": 0}

"""The buffer: a DuckDB copy of a model's streams, which training reads instead of the database.

Rows, the cursor that brought them and what they cost are one transaction: after a crash the
buffer is as if the last read had never been, and that read is repeated. Knows no source, no
workload and no clock; one process, one thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from retrain_service.buffer import withheld
from retrain_service.buffer.database_file import BufferFile, buffer_path
from retrain_service.buffer.snapshot import SnapshotInfo, read_snapshot, write_snapshot
from retrain_service.buffer.stream_statistics import EntityCount, StreamStatistics
from retrain_service.buffer.upsert import EntityOf, RejectReason, UpsertCounts, to_arrow, upsert
from retrain_service.buffer.withheld import ALL, DeletionPolicy, Withheld
from shared.records import Batch, Cursor, Record, from_epoch_us, to_epoch_us

__all__ = [
    "Buffer",
    "Change",
    "EntityCount",
    "RejectReason",
    "SnapshotInfo",
    "StreamState",
    "StreamStatistics",
    "UpsertCounts",
    "buffer_path",
    "read_snapshot",
]

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class StreamState:
    """How far a stream is reconciled; survives restarts. Times are UTC, None: never yet."""

    caught_up_at: datetime | None = None
    chores_at: datetime | None = None
    inspected_at: datetime | None = None
    n_without_cursor_field: int | None = None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A record that cannot be used; body : its fields as JSON."""

    stream: str
    id: str
    updated_at: datetime
    reason: str
    entity: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it stands now; `body` is JSON, empty of a tombstone."""

    seq: int
    stream: str
    id: str
    updated_us: int
    body: bytes
    is_deleted: bool


class Buffer:
    """One model's buffer. `now` names a file that has to be moved aside, and nothing else."""

    def __init__(self, path: Path, now: datetime) -> None:
        """Open or create the file.

        Raises:
            AlreadyRunning: another process has it open.
            StorageUnavailable: the disk is full or not writable.
            SchemaTooNew: a later release wrote it.
        """
        self.path = path
        self._file = BufferFile(path, now)
        self._notices = [self._file.notification] if self._file.notification else []
        found = self._file.one("SELECT value FROM meta WHERE key = 'high_seq'")
        self._high_seq = int(found[0])
        # Both go through every row; a look that brought nothing must not.
        self._statistics: dict[str, StreamStatistics] | None = None
        self._counts: tuple[Mapping[str, int], dict[str, EntityCount]] | None = None

    def close(self) -> None:
        self._file.close()

    @property
    def is_in_place(self) -> bool:
        """False once somebody has removed or exchanged the file."""
        return self._file.is_in_place

    def add_message(self, sentence: str) -> None:
        """Have a person told with the rest."""
        self._notices.append(sentence)

    def take_message(self) -> str | None:
        """What a person should know: the file was rebuilt, a stream has moved. Given once."""
        notices, self._notices = self._notices, []
        return " ".join(notices) or None

    # -- streams -------------------------------------------------------------------------------

    def open_stream(self, stream: str, origin: str, is_counted: bool) -> bool:
        """Make `stream` ready; True when it held records of another origin, now forgotten."""
        known = self._file.all("SELECT origin FROM streams WHERE stream = ?", [stream])
        is_moved = bool(known) and known[0][0] != origin
        self._count_again()
        with self._file.transaction():
            if is_moved:
                self._file.one("DELETE FROM rows WHERE stream = ?", [stream])
                self._file.one("DELETE FROM streams WHERE stream = ?", [stream])
                self._file.one("DELETE FROM withheld WHERE stream = ?", [stream])
            if is_moved or not known:
                self._file.one(
                    "INSERT INTO streams (stream, origin, is_counted, cursor)"
                    " VALUES (?, ?, ?, 'null')",
                    [stream, origin, is_counted],
                )
            self._file.one(
                "UPDATE streams SET is_counted = ? WHERE stream = ?", [is_counted, stream]
            )
        if is_moved:
            self._notices.append(
                f"{stream} is now read from {origin}; the records of its former place were"
                " dropped from the buffer."
            )
        return is_moved

    def cursor(self, stream: str) -> Cursor:
        """Where the next read of `stream` begins."""
        found = self._file.all("SELECT cursor FROM streams WHERE stream = ?", [stream])
        return json.loads(found[0][0]) if found else None

    def state(self, stream: str) -> StreamState:
        found = self._file.all(
            "SELECT caught_up_us, chores_us, inspected_us, n_without_cursor_field"
            " FROM streams WHERE stream = ?",
            [stream],
        )
        if not found:
            return StreamState()
        caught_up_us, chores_us, inspected_us, n_without = found[0]
        return StreamState(_time(caught_up_us), _time(chores_us), _time(inspected_us), n_without)

    def set_state(self, stream: str, state: StreamState) -> None:
        times = (state.caught_up_at, state.chores_at, state.inspected_at)
        with self._file.transaction():
            self._file.one(
                "UPDATE streams SET caught_up_us = ?, chores_us = ?, inspected_us = ?,"
                " n_without_cursor_field = ? WHERE stream = ?",
                [
                    *(None if at is None else to_epoch_us(at) for at in times),
                    state.n_without_cursor_field,
                    stream,
                ],
            )

    # -- writing -------------------------------------------------------------------------------

    def apply(
        self,
        stream: str,
        batch: Batch,
        *,
        source: str,
        now: datetime,
        reject_reason: RejectReason,
        entity_of: EntityOf = lambda _fields: "",
        moves_cursor: bool = True,
        sets_deletions_aside: bool = False,
    ) -> UpsertCounts:
        """Take a batch in: rows, cursor and billed reads together or not at all.

        A record read again with the same time and body changes nothing; a new or changed one
        gets the next sequence number. A tombstone stays as a row, so that counts by day agree
        with the source's, but is in no snapshot.

        Args:
            now: decides on which UTC day the reads are billed.
            moves_cursor: False for a second look at a stretch that was read before.
            sets_deletions_aside: tombstones wait for `settle_deletions`.

        Raises:
            StorageUnavailable: nothing of the batch was kept.
        """
        incoming = to_arrow(batch.records, reject_reason, entity_of)
        has_moved = moves_cursor and batch.cursor != self.cursor(stream)
        applied, high_seq = UpsertCounts(), self._high_seq
        if not (incoming.num_rows or has_moved or batch.billed_reads):
            return applied
        with self._file.transaction():
            if incoming.num_rows and sets_deletions_aside:
                incoming = withheld.hold_back(self._file, stream, incoming, now)
            if incoming.num_rows:
                applied, high_seq = upsert(self._file, stream, incoming, high_seq)
            if has_moved:
                self._file.one(
                    "UPDATE streams SET cursor = ? WHERE stream = ?",
                    [json.dumps(batch.cursor), stream],
                )
            self._add_reads(source, stream, now, batch.billed_reads)
        if high_seq != self._high_seq:
            self._count_again()
        self._high_seq = high_seq
        return applied

    def delete_ids(self, stream: str, ids: Sequence[str]) -> int:
        """Forget records that are gone from the source; how many there were."""
        if not ids:
            return 0
        self._count_again()
        with self._file.transaction():
            withheld.forget(self._file, stream, ids)
            return int(
                self._file.one(
                    "DELETE FROM rows WHERE stream = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
                    [stream, list(ids)],
                )[0]
            )

    # -- deletions that wait -------------------------------------------------------------------

    def withheld(self, stream: str) -> Withheld:
        """The deletions that are not taken."""
        return withheld.found(self._file, stream)

    def withhold(self, stream: str, ids: Sequence[str], now: datetime) -> None:
        """Have records wait for `settle_deletions` that the source has no more."""
        if ids:
            with self._file.transaction():
                withheld.add_missing(self._file, stream, ids, now)

    def settle_deletions(
        self, stream: str, policy: DeletionPolicy, source: str, now: datetime
    ) -> UpsertCounts:
        """At the end of a look: take the deletions that are few, or that have waited.

        Of those that the source was asked for, only the few: the others are asked for again.
        """
        waiting = self.withheld(stream)
        if not waiting.n:
            return UpsertCounts()
        if withheld.is_plausible(waiting, policy):
            return self.take_withheld(stream, source, now)
        told = withheld.due(self._file, stream, now - policy.wait, is_missing=False)
        return self._take(stream, told, source, now)

    def take_withheld(self, stream: str, source: str, now: datetime) -> UpsertCounts:
        """All of them, because they are few or a person says so."""
        applied = self._take(
            stream, withheld.due(self._file, stream, None, is_missing=False), source, now
        )
        missing = self.missing_since(stream, None)
        return applied + UpsertCounts(n_deleted=self.delete_ids(stream, missing))

    def missing_since(self, stream: str, until: datetime | None, most: int = ALL) -> list[str]:
        """Ids of records that the source had no more at `until` (None: whenever)."""
        waiting = withheld.due(self._file, stream, until, is_missing=True, most=most)
        return [each.id for each in waiting]

    def end_waiting(self, stream: str, ids: Sequence[str]) -> None:
        """These records are there after all."""
        with self._file.transaction():
            withheld.forget(self._file, stream, ids)

    def _take(
        self, stream: str, tombstones: Sequence[Record], source: str, now: datetime
    ) -> UpsertCounts:
        if not tombstones:
            return UpsertCounts()
        batch = Batch(tuple(tombstones), None, is_last=True)
        applied = self.apply(
            stream,
            batch,
            source=source,
            now=now,
            reject_reason=lambda _fields: None,
            moves_cursor=False,
        )
        self.end_waiting(stream, [each.id for each in tombstones])
        return applied

    def prune(self, stream: str, before: datetime) -> int:
        """Retention: forget records last changed before `before`; how many there were."""
        self._count_again()
        with self._file.transaction():
            n_pruned = int(
                self._file.one(
                    "DELETE FROM rows WHERE stream = ? AND updated_us < ?",
                    [stream, to_epoch_us(before)],
                )[0]
            )
            self._file.one(
                "DELETE FROM withheld WHERE stream = ? AND id NOT IN"
                " (SELECT id FROM rows WHERE stream = ?)",
                [stream, stream],
            )
            return n_pruned

    def _count_again(self) -> None:
        self._statistics = self._counts = None

    # -- the read ledger -----------------------------------------------------------------------

    def add_reads(self, source: str, stream: str, now: datetime, billed_reads: int) -> None:
        """Enter reads that brought no rows: counts, inspections, calls that broke."""
        if billed_reads:
            with self._file.transaction():
                self._add_reads(source, stream, now, billed_reads)

    def _add_reads(self, source: str, stream: str, now: datetime, billed_reads: int) -> None:
        if not billed_reads:
            return
        key = [source, now.astimezone(UTC).date(), stream]
        updated = self._file.one(
            "UPDATE reads SET billed = billed + ? WHERE source = ? AND day = ? AND stream = ?",
            [billed_reads, *key],
        )
        if not updated[0]:
            self._file.one("INSERT INTO reads VALUES (?, ?, ?, ?)", [*key, billed_reads])

    def billed_reads(self, source: str, day: date) -> int:
        """What this model read from `source` on that UTC day."""
        return int(
            self._file.one(
                "SELECT coalesce(sum(billed), 0) FROM reads WHERE source = ? AND day = ?",
                [source, day],
            )[0]
        )

    def ledger(self, since: date) -> list[tuple[str, date, str, int]]:
        """(source, UTC day, stream, billed reads), oldest day first."""
        return self._file.all(
            "SELECT source, day, stream, billed FROM reads WHERE day >= ? ORDER BY day, source,"
            " stream",
            [since],
        )

    # -- reading -------------------------------------------------------------------------------

    def high_seq(self) -> int:
        """The last sequence number given out; it only grows, also when the file is rebuilt."""
        return self._high_seq

    def count_by_entity(self, watermarks: Mapping[str, int]) -> dict[str, EntityCount]:
        """Usable records of the counted streams by entity ("" where there are none).

        watermarks : entity -> the sequence number after which its records are new; 0 if absent.
        """
        if self._counts is None or self._counts[0] != watermarks:
            self._counts = dict(watermarks), self._count_by_entity(watermarks)
        return self._counts[1]

    def _count_by_entity(self, watermarks: Mapping[str, int]) -> dict[str, EntityCount]:
        seqs = pa.table(
            [
                pa.array(list(watermarks), pa.string()),
                pa.array(list(watermarks.values()), pa.int64()),
            ],
            names=["entity", "seq"],
        )
        self._file.database.register("watermarks", seqs)
        try:
            rows = self._file.all(
                "SELECT r.entity, count(*), count(*) FILTER (r.seq > coalesce(w.seq, 0))"
                " FROM rows r JOIN streams s ON s.stream = r.stream"
                " LEFT JOIN watermarks w ON w.entity = r.entity"
                " WHERE r.is_counted AND s.is_counted AND NOT r.is_deleted"
                " GROUP BY r.entity ORDER BY r.entity"
            )
        finally:
            self._file.database.unregister("watermarks")
        return {entity: EntityCount(n_usable, n_new) for entity, n_usable, n_new in rows}

    def statistics(self) -> dict[str, StreamStatistics]:
        """Every stream that was opened, also an empty one."""
        if self._statistics is None:
            self._statistics = self._statistics_now()
        return self._statistics

    def _statistics_now(self) -> dict[str, StreamStatistics]:
        found = {
            name: StreamStatistics() for (name,) in self._file.all("SELECT stream FROM streams")
        }
        rejected: dict[str, dict[str, int]] = {name: {} for name in found}
        for stream, reason, n in self._file.all(
            "SELECT stream, reject_reason, count(*) FROM rows"
            " WHERE NOT is_deleted AND reject_reason IS NOT NULL"
            " GROUP BY ALL ORDER BY count(*) DESC, reject_reason"
        ):
            rejected.setdefault(stream, {})[reason] = n
        for stream, n, n_usable, n_deleted, oldest_us, newest_us, n_bytes in self._file.all(
            "SELECT stream, count(*) FILTER (NOT is_deleted),"
            " count(*) FILTER (NOT is_deleted AND reject_reason IS NULL),"
            " count(*) FILTER (is_deleted),"
            " min(updated_us) FILTER (NOT is_deleted), max(updated_us) FILTER (NOT is_deleted),"
            " sum(strlen(body))::BIGINT FROM rows GROUP BY stream"
        ):
            found[stream] = StreamStatistics(
                n,
                n_usable,
                n_deleted,
                _time(oldest_us),
                _time(newest_us),
                n_bytes,
                rejected[stream],
            )
        return found

    def newest(self, stream: str) -> datetime | None:
        """Greatest `updated_at` of a stream, tombstones included: how far the reading got."""
        return _time(
            self._file.one("SELECT max(updated_us) FROM rows WHERE stream = ?", [stream])[0]
        )

    def count_by_day(self, stream: str, days: Sequence[date]) -> dict[date, int]:
        """Records and tombstones by the UTC day of `updated_at`; every day asked for."""
        counts = dict.fromkeys(days, 0)
        for day, n in self._file.all(
            "SELECT updated_us // ?, count(*) FROM rows WHERE stream = ? GROUP BY ALL",
            [_DAY_US, stream],
        ):
            at = from_epoch_us(day * _DAY_US).date()
            if at in counts:
                counts[at] = n
        return counts

    def count(self, stream: str) -> int:
        """Records and tombstones."""
        return int(self._file.one("SELECT count(*) FROM rows WHERE stream = ?", [stream])[0])

    def days(self, stream: str) -> set[date]:
        """The UTC days on which there is a record or tombstone."""
        found = self._file.all(
            "SELECT DISTINCT updated_us // ? FROM rows WHERE stream = ?", [_DAY_US, stream]
        )
        return {from_epoch_us(day * _DAY_US).date() for (day,) in found}

    def ids_of_day(self, stream: str, day: date) -> frozenset[str]:
        """Ids of records and tombstones whose `updated_at` falls on that UTC day."""
        begin_us = to_epoch_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
        rows = self._file.all(
            "SELECT id FROM rows WHERE stream = ? AND updated_us >= ? AND updated_us < ?",
            [stream, begin_us, begin_us + _DAY_US],
        )
        return frozenset(id_ for (id_,) in rows)

    def ids(self, stream: str) -> frozenset[str]:
        """Ids of all records that are not deleted."""
        rows = self._file.all("SELECT id FROM rows WHERE stream = ? AND NOT is_deleted", [stream])
        return frozenset(id_ for (id_,) in rows)

    def bodies(self, stream: str, most: int) -> list[bytes]:
        """JSON objects of the newest records that are not deleted."""
        rows = self._file.all(
            "SELECT body FROM rows WHERE stream = ? AND NOT is_deleted"
            " ORDER BY updated_us DESC LIMIT ?",
            [stream, most],
        )
        return [body.encode() for (body,) in rows]

    def rejected(self, most_of_a_reason: int, most: int) -> list[RejectedRow]:
        """Records that cannot be used, newest first, some of each reason of each stream."""
        found = self._file.all(
            "SELECT stream, id, updated_us, reject_reason, entity, body FROM rows"
            " WHERE NOT is_deleted AND reject_reason IS NOT NULL QUALIFY row_number() OVER"
            " (PARTITION BY stream, reject_reason ORDER BY updated_us DESC, id) <= ?"
            " ORDER BY updated_us DESC, stream, id LIMIT ?",
            [most_of_a_reason, most],
        )
        return [
            RejectedRow(stream, id_, from_epoch_us(at_us), reason, entity, body.encode())
            for stream, id_, at_us, reason, entity, body in found
        ]

    def changes(self, after_seq: int, most: int) -> list[Change]:
        """Rows that came, changed or got a tombstone after a sequence number, in that order."""
        rows = self._file.all(
            "SELECT seq, stream, id, updated_us, body, is_deleted FROM rows WHERE seq > ?"
            " ORDER BY seq LIMIT ?",
            [after_seq, most],
        )
        return [
            Change(seq, stream, id_, updated_us, body.encode(), is_deleted)
            for seq, stream, id_, updated_us, body, is_deleted in rows
        ]

    def missing(self, stream: str, ids: Sequence[str]) -> list[str]:
        """Those of `ids` that are in no row of the stream."""
        found = self._file.all(
            "SELECT given FROM (SELECT unnest(?::VARCHAR[]) AS given)"
            " WHERE given NOT IN (SELECT id FROM rows WHERE stream = ?)",
            [list(ids), stream],
        )
        return [id_ for (id_,) in found]

    def size_bytes(self) -> int:
        """On disk, write-ahead log included."""
        files = (self.path, self.path.with_name(self.path.name + ".wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def snapshot(
        self, path: Path, streams: Sequence[str], now: datetime, entity: str = ""
    ) -> SnapshotInfo:
        """Freeze `streams` into a parquet file, ordered by (stream, updated_at, id).

        entity : only its records and those of no entity; "" for all records.

        Raises:
            StorageUnavailable: the disk is full or not writable; nothing is left at `path`.
        """
        try:
            rows = self._file.database.sql(
                "SELECT stream, id, updated_us, body FROM rows"
                " WHERE NOT is_deleted AND stream IN (SELECT unnest(?::VARCHAR[]))"
                " AND (? = '' OR entity IN (?, ''))"
                " ORDER BY stream, updated_us, id",
                params=[list(streams), entity, entity],
            )
            # Closed whatever happens: an open result keeps every later statement from running.
            with rows.to_arrow_reader(50_000) as reader:
                return write_snapshot(reader, path, streams, self._high_seq, now)
        except duckdb.Error as error:
            raise self._file.translated(error) from error


def _time(at_us: int | None) -> datetime | None:
    return None if at_us is None else from_epoch_us(at_us)

"""Write the feed: records sent to the API and windows of samples, in SQLite for all workers.

The API's workers write here; the retrain daemon and other services drain by `feed_reading`. A
record is on the disk before `append` returns; the same id with the same content counts once, with
another content it is an update. Knows no HTTP and no workload.

Each record is stamped inside the write transaction, and stamps only grow: whoever has read up
to a stamp never misses one below it, whatever the number of writers.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from shared.database.connection import file_identity, transaction
from shared.errors import RateLimited, StorageUnavailable
from shared.feed import database
from shared.feed import window as feed_window
from shared.feed.window import WindowSpec
from shared.records import from_epoch_us, to_epoch_us

CLOCK_STEP_US = 5 * 60 * 1_000_000
"""A clock that was set back by less is bridged; by more, it was wrong before and is right now."""

PRUNE_PERIOD_US = 3600 * 1_000_000
_PRUNED_AT_ONCE = 5_000  # so that no writer waits long for another one's pruning
_IDS_A_QUERY = 500

# Sorted keys: the same content in another order is the same record.
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class FedRecord:
    """A record as it is sent to be kept.

    fields : JSON values. entity : whose it is; "" for nobody's.
    at, sample : the record's own time and what the entity's window keeps of it; None for nothing.
    is_deleted : a tombstone; its fields are ignored.
    """

    id: str
    fields: Mapping[str, Any]
    entity: str = ""
    at: datetime | None = None
    sample: Mapping[str, Any] | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """How many records one sender may send a minute, counted over all workers."""

    sender: str
    records_a_minute: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch: numbers of records, all of them on the disk."""

    n_new: int
    n_changed: int
    n_duplicate: int


@dataclass(slots=True)
class _Batch:
    """One caller's records on their way into a transaction."""

    collection: str
    rows: dict[str, tuple[bytes, str, bool]]
    n_repeated: int
    samples: Mapping[tuple[str, int], tuple[int, bytes]]
    window: WindowSpec | None
    limit: Limit | None
    retention_days: int
    receipt: Receipt | None = None
    error: Exception | None = None
    is_done: bool = field(default=False)


class Feed:
    """The file of one home directory. Any thread may call anything; any process may open one."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        """Raises StorageUnavailable, SchemaTooNew: the file cannot be used now, or by us."""
        self._path = path
        self._clock = clock
        self._queue: deque[_Batch] = deque()
        self._writing = threading.Lock()
        self._connection = database.open_to_write(path)
        self._opened = file_identity(path)

    def close(self) -> None:
        with self._writing:
            self._connection.close()

    # -- writing: the API's workers ----------------------------------------------------------------

    def append(
        self,
        collection: str,
        records: Sequence[FedRecord],
        *,
        window: WindowSpec | None = None,
        limit: Limit | None = None,
        retention_days: int = 0,
    ) -> Receipt:
        """Keep records; they are on the disk when this returns, all of them or none.

        Concurrent calls of one process share a commit.

        Args:
            window: keep the samples of the records as rows of their entities' windows.
            retention_days: forget records of this collection after so many days; 0: never.

        Raises:
            RateLimited: the sender is over its limit; nothing was kept.
            StorageUnavailable: the disk is full or not writable; nothing was kept.
            SchemaTooNew: a later release wrote the file that is there now; nothing was kept.
        """
        batch = _prepared(collection, records, window, limit, retention_days)
        self._queue.append(batch)
        with self._writing:
            # Whoever held the lock before may have written this batch together with its own.
            if not batch.is_done:
                self._write_queued()
        if batch.error is not None:
            raise batch.error
        assert batch.receipt is not None
        return batch.receipt

    def _write_queued(self) -> None:
        batches: list[_Batch] = []
        while self._queue:
            batches.append(self._queue.popleft())
        receipts: list[Receipt | None] = []
        try:
            self._open_again_if_replaced()
            with transaction(self._connection, self._path) as connection:
                receipts = [self._write_one(connection, batch) for batch in batches]
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            for batch in batches:
                batch.error = batch.error or error
        else:
            # Only now: a receipt is for what is on the disk.
            for batch, receipt in zip(batches, receipts, strict=True):
                batch.receipt = receipt
        finally:
            for batch in batches:
                if batch.receipt is None and batch.error is None:
                    batch.error = StorageUnavailable(
                        f"{self._path}: the writing was interrupted; nothing was kept."
                    )
                batch.is_done = True

    def _open_again_if_replaced(self) -> None:
        # A file that was deleted goes on to take what is written into it, and nobody reads it.
        if file_identity(self._path) != self._opened:
            self._opened = None
            self._connection.close()
            self._connection = database.open_to_write(self._path)
            self._opened = file_identity(self._path)

    def _write_one(self, connection: sqlite3.Connection, batch: _Batch) -> Receipt | None:
        """One caller's part of a shared transaction; a fault of its own undoes this part only."""
        connection.execute("SAVEPOINT batch")
        try:
            return self._write(connection, batch)
        except sqlite3.Error:
            raise  # the disk or the file: it concerns everybody, and may have ended the transaction
        except Exception as error:  # noqa: BLE001 - the caller hears of it, the others go on
            connection.execute("ROLLBACK TO batch")
            batch.error = error
            return None
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE batch")

    def _write(self, connection: sqlite3.Connection, batch: _Batch) -> Receipt:
        """Raises RateLimited; what was written by then is for the caller to undo."""
        now_us = to_epoch_us(self._clock())
        if batch.limit is not None:
            wait_s = database.take_tokens(
                connection,
                batch.limit.sender,
                batch.limit.records_a_minute,
                len(batch.rows),
                now_us,
            )
            if wait_s > 0:
                raise RateLimited(
                    f"at most {batch.limit.records_a_minute} records a minute are taken from one"
                    f" sender; send these {len(batch.rows)} again in {wait_s} s. None was kept.",
                    wait_s,
                )
        kept = _kept_bodies(connection, batch.collection, list(batch.rows))
        changed = {id_: row for id_, row in batch.rows.items() if kept.get(id_) != (row[0], row[2])}
        if changed:
            stamp_us = self._stamp(connection, now_us)
            connection.executemany(
                "INSERT INTO records (collection, id, stamp_us, is_deleted, entity, body)"
                " VALUES (?,?,?,?,?,?) ON CONFLICT (collection, id) DO UPDATE SET"
                " stamp_us=excluded.stamp_us, is_deleted=excluded.is_deleted,"
                " entity=excluded.entity, body=excluded.body",
                [
                    (batch.collection, id_, stamp_us, is_deleted, entity, body)
                    for id_, (body, entity, is_deleted) in changed.items()
                ],
            )
        if batch.window is not None and batch.samples:
            feed_window.keep(connection, batch.collection, batch.window, batch.samples)
        self._prune(connection, batch, now_us)
        n_changed = sum(id_ in kept for id_ in changed)
        return Receipt(
            n_new=len(changed) - n_changed,
            n_changed=n_changed,
            n_duplicate=len(batch.rows) - len(changed) + batch.n_repeated,
        )

    def _stamp(self, connection: sqlite3.Connection, now_us: int) -> int:
        """A time above every stamp given before; the write lock makes it one at a time."""
        last_us = database.number(connection, "last_stamp_us")
        is_bridged = now_us <= last_us < now_us + CLOCK_STEP_US
        stamp_us = last_us + 1 if is_bridged else now_us
        database.set_number(connection, "last_stamp_us", stamp_us)
        return stamp_us

    def _prune(self, connection: sqlite3.Connection, batch: _Batch, now_us: int) -> None:
        """Forget what is too old, a bounded number a call, until nothing is left for an hour."""
        name = f"pruned_us {batch.collection}"
        if 0 <= now_us - database.number(connection, name) < PRUNE_PERIOD_US:
            return
        # Faster than records come in, or the backlog would grow under a steady load.
        n_at_once = max(_PRUNED_AT_ONCE, 2 * len(batch.rows))
        n_gone = 0
        if batch.retention_days:
            oldest = from_epoch_us(now_us) - timedelta(days=batch.retention_days)
            n_gone = connection.execute(
                "DELETE FROM records WHERE seq IN (SELECT seq FROM records"
                " WHERE collection=? AND stamp_us<? LIMIT ?)",
                (batch.collection, to_epoch_us(oldest), n_at_once),
            ).rowcount
        feed_window.drop_stale_entities(connection, batch.collection, now_us)
        if n_gone < n_at_once:
            database.set_number(connection, name, now_us)


def _prepared(
    collection: str,
    records: Sequence[FedRecord],
    window: WindowSpec | None,
    limit: Limit | None,
    retention_days: int,
) -> _Batch:
    """Everything that needs no lock: bodies as bytes, one row an id, one sample a slot."""
    rows: dict[str, tuple[bytes, str, bool]] = {}
    n_repeated = 0
    for record in records:
        body = b"{}" if record.is_deleted else _encode(record.fields)
        # Again and later in the same batch: the later one is the newer one.
        n_repeated += record.id in rows
        rows[record.id] = (body, record.entity, record.is_deleted)
    samples = feed_window.samples_of(records, window) if window is not None else {}
    return _Batch(collection, rows, n_repeated, samples, window, limit, retention_days)


def _kept_bodies(
    connection: sqlite3.Connection, collection: str, ids: Sequence[str]
) -> dict[str, tuple[bytes, bool]]:
    found: dict[str, tuple[bytes, bool]] = {}
    for begin in range(0, len(ids), _IDS_A_QUERY):
        some = ids[begin : begin + _IDS_A_QUERY]
        marks = ",".join("?" * len(some))
        rows = connection.execute(
            f"SELECT id, body, is_deleted FROM records WHERE collection=? AND id IN ({marks})",  # noqa: S608 - question marks only
            (collection, *some),
        )
        found.update({id_: (body, bool(is_deleted)) for id_, body, is_deleted in rows})
    return found

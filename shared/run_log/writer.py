"""Write runs and events in order into the run log (SQLite, WAL). Only the retrain daemon writes.

Knows no policy: it writes down what happened and refuses what would double a run.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.atomic_file import replace, sync_directory
from shared.database.connection import file_identity, open_to_write, transaction
from shared.errors import StateConflict, StorageUnavailable
from shared.run_log import pending_events, pruning
from shared.run_log.history import History
from shared.run_log.pruning import OldEntries
from shared.run_log.reader import RunLogReader
from shared.run_log.rows import INSERT_EVENT, INSERT_RUN, EventRow, event_row, run_row
from shared.run_log.run import FINISHED, UNFINISHED, Run, RunStatus
from shared.run_log.schema import RUN_LOG

# Nobody else writes while a daemon runs: whoever holds the lock for longer is no part of Hotfit,
# and the daemon must not stand still for it.
BUSY_TIMEOUT_S = 2.0
MOST_WAITING_EVENTS = 1000
END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class RunLog(RunLogReader):
    """One connection that writes, and reads what it wrote; use it from one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection, path)
        self._file = file_identity(path)
        self._waiting: deque[EventRow] = deque(maxlen=MOST_WAITING_EVENTS)
        self._histories: dict[str, History] = {}
        self._data_version = 0

    @classmethod
    def open(cls, path: Path) -> RunLog:
        """Open for writing; made at the first start, migrated where an earlier release wrote it.

        Raises:
            StorageUnavailable: cannot be created or is not a run log.
            SchemaTooNew: a later release wrote it.
        """
        return cls(open_to_write(path, RUN_LOG, busy_timeout_s=BUSY_TIMEOUT_S), path)

    def close(self) -> None:
        with suppress(StorageUnavailable):
            self.write_waiting_events()
        self._connection.close()

    def reopen_if_replaced(self) -> bool:
        """Go on with the file that has the name now; True when it is not the one that was open.

        A file that somebody removed is written again with all that it held, because its bytes
        live for as long as it is open here; nothing is written where nobody can read it.

        Raises:
            StorageUnavailable: there is no such file and none can be made.
        """
        found = file_identity(self._path)
        if found == self._file:
            return False
        if found is None:
            with suppress(sqlite3.Error, OSError):  # then what it held is lost
                self._write_again()
        connection = open_to_write(self._path, RUN_LOG, busy_timeout_s=BUSY_TIMEOUT_S)
        self._connection.close()
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._file = file_identity(self._path)
        self._histories.clear()
        return True

    def _write_again(self) -> None:
        """Write all that the open file holds under its name, which nothing has any more."""
        beside = self._path.with_name(f".{self._path.name}.rescued")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with closing(sqlite3.connect(beside)) as rescued:
            self._connection.backup(rescued)
        for suffix in ("-wal", "-shm"):  # of the removed file: they would be read into this one
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        replace(beside, self._path)
        sync_directory(self._path.parent)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        n_waiting = len(self._waiting)
        with transaction(self._connection, self._path) as connection:
            for event in self._waiting:
                connection.execute(INSERT_EVENT, event)
            yield connection
        for _ in range(n_waiting):
            self._waiting.popleft()

    # -- runs ------------------------------------------------------------------------------------

    def history(self, model: str) -> History:
        """The past of one model; read again only after something was written about it."""
        with self._translate_errors():
            data_version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if data_version != self._data_version:  # written by another process
            self._histories.clear()
            self._data_version = data_version
        if model not in self._histories:
            self._histories[model] = super().history(model)
        return self._histories[model]

    def add_run(
        self,
        run: Run,
        *,
        decided: tuple[datetime, str] | None = None,
        rows_read_until: datetime | None = END_OF_TIME,
    ) -> None:
        """Write a new run down, all that belongs to it or nothing.

        decided : time and sentence of the event that tells of it; None: no event.
        rows_read_until : its rows are from before this. Events that came later are kept for the
            run after it; None: its rows are from before any event.

        Raises:
            StateConflict: the id is known, or another run of the model is open; nothing was
                written.
        """
        try:
            with self._changing(run.model) as connection:
                connection.execute(INSERT_RUN, run_row(run))
                pending_events.reassign(connection, run.model, run.version_number, rows_read_until)
                if decided is not None:
                    at, sentence = decided
                    event = event_row(at, run.model, "decision", sentence, run.run_id, None)
                    connection.execute(INSERT_EVENT, event)
        except sqlite3.IntegrityError:
            raise StateConflict(
                f"run {run.run_id} of {run.model} was not begun: that id is in the run log"
                " already, or another run of the model is open."
            ) from None

    def start_run(
        self,
        run_id: str,
        now: datetime,
        high_seq: int,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """queued → running, on a snapshot up to `high_seq`; details as far as they are known."""
        with self._changing(self._model_of(run_id)) as connection:
            connection.execute(
                "UPDATE runs SET status=?, started_at=?, high_seq=?, details=?"
                " WHERE run_id=? AND status=?",
                (
                    RunStatus.RUNNING,
                    now.isoformat(),
                    high_seq,
                    msgspec.json.encode(details or {}).decode(),
                    run_id,
                    RunStatus.QUEUED,
                ),
            )

    def finish_run(
        self,
        run_id: str,
        now: datetime,
        status: RunStatus,
        *,
        promoted: bool = False,
        verdict: str | None = None,
        error: str | None = None,
        details: Mapping[str, Any] | None = None,
        event: tuple[str, str] | None = None,
    ) -> bool:
        """Close an unfinished run; False when it was closed before, and nothing changes.

        details : None keeps those that were written when it started.
        event : kind and sentence of the event that tells of it.
        """
        model = self._model_of(run_id)
        with self._changing(model) as connection:
            done = connection.execute(
                "UPDATE runs SET status=?, finished_at=?, promoted=?, verdict=?, error=?,"
                " details=coalesce(?, details) WHERE run_id=? AND status IN (?,?)",
                (
                    status,
                    now.isoformat(),
                    promoted,
                    verdict,
                    error,
                    msgspec.json.encode(details).decode() if details is not None else None,
                    run_id,
                    *UNFINISHED,
                ),
            )
            if done.rowcount == 1 and status in FINISHED:
                pending_events.clear_covered(connection, run_id)
            if done.rowcount == 1 and event is not None:
                row = event_row(now, model, *event, run_id, None)
                connection.execute(INSERT_EVENT, row)
        return done.rowcount == 1

    def mark_promoted(self, run_id: str, now: datetime, model: str, sentence: str) -> None:
        """A run that ended unpromoted is promoted after all; `sentence` becomes its verdict."""
        with self._changing(model) as connection:
            connection.execute(
                "UPDATE runs SET promoted=1, verdict=? WHERE run_id=?", (sentence, run_id)
            )
            row = event_row(now, model, "promote", sentence, run_id, None)
            connection.execute(INSERT_EVENT, row)

    def delete_run(self, run_id: str) -> bool:
        """Take a run that has ended out of the log; False when there is none of that id."""
        with self._changing(self._model_of(run_id)) as connection:
            done = connection.execute(
                "DELETE FROM runs WHERE run_id=? AND status NOT IN (?,?)", (run_id, *UNFINISHED)
            )
        return done.rowcount == 1

    def add_event(
        self,
        now: datetime,
        model: str,
        kind: str,
        sentence: str,
        *,
        run_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one event. While the disk refuses it is kept in memory, and written first of all
        with whatever is written next."""
        is_first = not self._waiting
        self._waiting.append(event_row(now, model, kind, sentence, run_id, details))
        if is_first:  # each try may wait for a lock
            with suppress(StorageUnavailable):
                self.write_waiting_events()

    def write_waiting_events(self) -> None:
        """Write the events that could not be written when they came.

        Raises:
            StorageUnavailable: they still cannot; they go on waiting.
        """
        if self._waiting:
            with self._transaction():
                pass

    def add_pending_events(
        self,
        model: str,
        first_at: datetime,
        last_at: datetime,
        n: int,
        writer: str = "",
        total: int = 0,
    ) -> None:
        """Keep events until a run that is decided on from now on has finished.

        writer, total : who told them and how many in all, so that none is counted twice.
        """
        with self._transaction() as connection:
            pending_events.add(connection, model, first_at, last_at, n, writer, total)

    def forget(self, old: OldEntries) -> None:
        """Remove what `old_entries` found, all or nothing."""
        with self._transaction() as connection:
            pruning.forget(connection, old)
        self._histories.clear()

    @contextmanager
    def _changing(self, model: str) -> Iterator[sqlite3.Connection]:
        """A transaction after which the history of a model is another one."""
        self._histories.pop(model, None)
        with self._transaction() as connection:
            yield connection

    def _model_of(self, run_id: str) -> str:
        rows = self._rows("SELECT model FROM runs WHERE run_id=?", (run_id,))
        return rows[0]["model"] if rows else ""

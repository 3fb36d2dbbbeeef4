"""Writing the run log (SQLite, WAL): what happened, in order. Only the retrain daemon writes.

Knows no policy: it writes down what happened and refuses what would double a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from shared import pending_events, run_log_pruning
from shared.errors import StorageUnavailable
from shared.run_log_pruning import OldEntries
from shared.run_log_reading import RunLogReader
from shared.runs import FINISHED, UNFINISHED, Run, RunStatus

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id          TEXT PRIMARY KEY,
    idempotency_key TEXT NOT NULL UNIQUE,
    model           TEXT NOT NULL,
    trigger         TEXT NOT NULL,
    trigger_reason  TEXT NOT NULL,
    version         TEXT NOT NULL,
    version_number  INTEGER NOT NULL,
    status          TEXT NOT NULL,
    requested_at    TEXT NOT NULL,
    started_at      TEXT,
    finished_at     TEXT,
    high_seq        INTEGER,
    promoted        INTEGER NOT NULL DEFAULT 0,
    verdict         TEXT,
    error           TEXT,
    details         TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS runs_by_model ON runs (model, requested_at);
CREATE TABLE IF NOT EXISTS events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       TEXT NOT NULL,
    model    TEXT NOT NULL,
    kind     TEXT NOT NULL,
    sentence TEXT NOT NULL,
    run_id   TEXT,
    details  TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS events_by_model ON events (model, seq);
"""


class RunLog(RunLogReader):
    """One connection that writes, and reads what it wrote; use it from one thread."""

    @classmethod
    def open(cls, path: Path) -> RunLog:
        """Open for writing; made at the first start.

        Raises:
            StorageUnavailable: cannot be created or is not a run log.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA + pending_events.SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageUnavailable(f"{path}: cannot be opened: {error}.") from None
        return cls(connection, path)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection:
                yield self._connection
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{self._path}: cannot be written: {error}.") from error

    def add_run(self, run: Run) -> bool:
        """Write a new run down; False when its idempotency key is there already."""
        try:
            with self._transaction() as connection:
                connection.execute(
                    "INSERT INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        run.run_id,
                        run.idempotency_key,
                        run.model,
                        run.trigger,
                        run.trigger_reason,
                        run.version,
                        run.version_number,
                        run.status,
                        run.requested_at.isoformat(),
                        _text(run.started_at),
                        _text(run.finished_at),
                        run.high_seq,
                        run.promoted,
                        run.verdict,
                        run.error,
                        msgspec.json.encode(run.details).decode(),
                    ),
                )
        except sqlite3.IntegrityError:
            return False
        return True

    def start_run(
        self,
        run_id: str,
        now: datetime,
        high_seq: int,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """queued → running, on a snapshot up to `high_seq`; details as far as they are known."""
        with self._transaction() as connection:
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
    ) -> bool:
        """Close an unfinished run; False when it was closed before, and nothing changes.

        details : None keeps those that were written when it started.
        """
        with self._transaction() as connection:
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
        return done.rowcount == 1

    def delete_run(self, run_id: str) -> bool:
        """Take a run that has ended out of the log; False when there is none of that id."""
        with self._transaction() as connection:
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
        """Append one event."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO events (at, model, kind, sentence, run_id, details)"
                " VALUES (?,?,?,?,?,?)",
                (
                    now.isoformat(),
                    model,
                    kind,
                    sentence,
                    run_id,
                    msgspec.json.encode(details or {}).decode(),
                ),
            )

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

    def carry_events(self, model: str, number: int, read_until: datetime | None) -> None:
        """Keep for the run after `number` what that one has not read: events after `read_until`."""
        with self._transaction() as connection:
            pending_events.carry(connection, model, number, read_until)

    def forget(self, old: OldEntries) -> None:
        """Remove what `old_entries` found, all or nothing."""
        with self._transaction() as connection:
            run_log_pruning.forget(connection, old)


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None

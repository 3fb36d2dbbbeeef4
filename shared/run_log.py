"""Training runs and events in one ordered log (SQLite, WAL): retrain writes, the API reads.

Knows no policy: it writes down what happened and refuses what would double a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from shared import pending_events, run_log_pruning
from shared.errors import NotFound, StorageUnavailable
from shared.pending_events import PendingEvents
from shared.run_history import History, read_history
from shared.run_log_pruning import OldEntries
from shared.runs import FINISHED, UNFINISHED, Run, RunStatus, run_of

__all__ = [
    "FINISHED",
    "UNFINISHED",
    "Event",
    "History",
    "PendingEvents",
    "Run",
    "RunLog",
    "RunStatus",
    "reading",
]

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


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the ordered log."""

    seq: int
    at: datetime
    model: str
    kind: str
    sentence: str
    run_id: str | None
    details: Mapping[str, Any]


class RunLog:
    """One connection; use it from one thread. `open_to_read` never creates or changes the file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._path = path

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

    @classmethod
    def open_to_read(cls, path: Path) -> RunLog:
        """Open for reading.

        Raises:
            NotFound: there is no run log yet.
        """
        not_yet = NotFound("no run log yet: the retrain daemon has not started here.")
        if not path.exists():
            raise not_yet
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        # The writer makes the file first and its tables next; in between there is no log yet.
        is_made = "SELECT count(*) FROM sqlite_master WHERE name IN ('runs', 'events')"
        if connection.execute(is_made).fetchone()[0] < 2:
            connection.close()
            raise not_yet
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

    # -- writing: the retrain daemon ------------------------------------------------------------

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

    # -- reading: anybody -----------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            NotFound: no such run.
        """
        row = self._connection.execute("SELECT * FROM runs WHERE run_id=?", (run_id,)).fetchone()
        if row is None:
            raise NotFound(f"no run {run_id!r}.")
        return run_of(row)

    def runs_like(self, beginning: str, limit: int = 5) -> list[Run]:
        """Runs whose id begins like this, newest first."""
        rows = self._connection.execute(
            "SELECT * FROM runs WHERE substr(run_id, 1, ?) = ? ORDER BY requested_at DESC LIMIT ?",
            (len(beginning), beginning, limit),
        )
        return [run_of(row) for row in rows]

    def has_run(self, run_id: str) -> bool:
        """Whether a run of that id was ever written down."""
        found = self._connection.execute("SELECT 1 FROM runs WHERE run_id=?", (run_id,))
        return found.fetchone() is not None

    def runs(
        self,
        *,
        model: str | None = None,
        status: RunStatus | None = None,
        trigger: str | None = None,
        base: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Run], int]:
        """Runs, newest first, and how many there are in all under the same filter.

        base : of this configured model and of all its entities.
        """
        where, values = _where({"model": model, "status": status, "trigger": trigger})
        if base is not None:
            where += f"{' AND' if where else ' WHERE'} (model=? OR substr(model, 1, length(?))=?)"
            values += [base, f"{base}/", f"{base}/"]
        total = self._connection.execute(f"SELECT count(*) FROM runs{where}", values).fetchone()[0]  # noqa: S608 - columns are ours
        rows = self._connection.execute(
            f"SELECT * FROM runs{where} ORDER BY requested_at DESC, version_number DESC"  # noqa: S608
            " LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [run_of(row) for row in rows], total

    def old_entries(self, before: datetime, kept: Mapping[str, Collection[str]]) -> OldEntries:
        """What ended before `before` and nothing needs any more; kept: model -> versions kept."""
        return run_log_pruning.find(self._connection, before, kept)

    def unfinished(self) -> list[Run]:
        """Runs that are queued or running, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM runs WHERE status IN (?,?) ORDER BY requested_at", UNFINISHED
        )
        return [run_of(row) for row in rows]

    def last_version_number(self, model: str) -> int:
        """The highest version number ever given to a run of this model; 0 before the first."""
        row = self._connection.execute(
            "SELECT max(version_number) FROM runs WHERE model=?", (model,)
        ).fetchone()
        return row[0] or 0

    def history(self, model: str) -> History:
        """The past of one model, in the order in which its runs got their numbers."""
        return read_history(self._connection, model)

    def pending_events(self, model: str) -> PendingEvents | None:
        """Events that no finished run covers; None when there are none."""
        return pending_events.read(self._connection, model)

    def ended_since(self, at: datetime | None, limit: int = 100) -> list[Run]:
        """Runs that ended at `at` or later (None: all of them), in the order of their ends."""
        rows = self._connection.execute(
            "SELECT * FROM runs WHERE finished_at >= ? ORDER BY finished_at, run_id LIMIT ?",
            (_text(at) or "", limit),
        )
        return [run_of(row) for row in rows]

    def last_event_seq(self) -> int:
        """The number of the newest event; 0 before the first."""
        found = self._connection.execute("SELECT max(seq) FROM events").fetchone()
        return found[0] or 0

    def events(
        self,
        *,
        model: str | None = None,
        kind: str | None = None,
        after: int = 0,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Event]:
        """Events with a number above `after`, oldest first; with `newest`, the last `limit`."""
        where, values = _where({"model": model, "kind": kind})
        joiner = " AND" if where else " WHERE"
        rows = self._connection.execute(
            f"SELECT * FROM events{where}{joiner} seq > ?"  # noqa: S608
            f" ORDER BY seq {'DESC' if newest else 'ASC'} LIMIT ?",
            (*values, after, limit),
        )
        found = [
            Event(
                seq=row["seq"],
                at=datetime.fromisoformat(row["at"]),
                model=row["model"],
                kind=row["kind"],
                sentence=row["sentence"],
                run_id=row["run_id"],
                details=msgspec.json.decode(row["details"]),
            )
            for row in rows
        ]
        return found[::-1] if newest else found


@contextmanager
def reading(path: Path) -> Iterator[RunLog]:
    """Open to read and close again.

    Raises:
        NotFound: there is no run log yet.
        StorageUnavailable: it cannot be read.
    """
    try:
        with closing(RunLog.open_to_read(path)) as log:
            yield log
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path}: cannot be read: {error}.") from error


def _where(filters: Mapping[str, str | None]) -> tuple[str, list[str]]:
    wanted = {column: value for column, value in filters.items() if value is not None}
    if not wanted:
        return "", []
    return " WHERE " + " AND ".join(f"{column}=?" for column in wanted), list(wanted.values())


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None

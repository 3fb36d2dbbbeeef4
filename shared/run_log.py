"""Training runs and events in one ordered log (SQLite, WAL): retrain writes, the API reads.

Knows no policy: it writes down what happened and refuses what would double a run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import NotFound, StorageUnavailable

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


class RunStatus(StrEnum):
    """A run goes queued → running → one of the others."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    SKIPPED = "skipped"


UNFINISHED = (RunStatus.QUEUED, RunStatus.RUNNING)
FINISHED = (RunStatus.SUCCEEDED, RunStatus.SKIPPED)
"""Runs that came to a verdict: what they saw need not be counted again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run as the log has it. Times are UTC.

    high_seq : the buffer's sequence number the run trained up to; None until the snapshot.
    promoted : whether its version was published; `verdict` says why or why not.
    details : rows, days, metrics, parameters, library versions, … as the run reported them.
    """

    run_id: str
    idempotency_key: str
    model: str
    trigger: str
    trigger_reason: str
    version: str
    version_number: int
    status: RunStatus
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    high_seq: int | None
    promoted: bool
    verdict: str | None
    error: str | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """What the next decision needs to know of a model's past runs.

    last_finished : the last run that came to a verdict, whether or not it was promoted.
    runs_since : runs of any outcome that were asked for after it.
    failures_in_a_row : runs that failed since one succeeded.
    """

    last_finished: Run | None
    last_ended_at: datetime | None
    runs_since: int
    failures_in_a_row: int


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
            connection.executescript(_SCHEMA)
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

    def start_run(self, run_id: str, now: datetime, high_seq: int) -> None:
        """queued → running, on a snapshot up to `high_seq`."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET status=?, started_at=?, high_seq=? WHERE run_id=? AND status=?",
                (RunStatus.RUNNING, now.isoformat(), high_seq, run_id, RunStatus.QUEUED),
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
        """Close an unfinished run; False when it was closed before, and nothing changes."""
        with self._transaction() as connection:
            done = connection.execute(
                "UPDATE runs SET status=?, finished_at=?, promoted=?, verdict=?, error=?, details=?"
                " WHERE run_id=? AND status IN (?,?)",
                (
                    status,
                    now.isoformat(),
                    promoted,
                    verdict,
                    error,
                    msgspec.json.encode(details or {}).decode(),
                    run_id,
                    *UNFINISHED,
                ),
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

    # -- reading: anybody -----------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            NotFound: no such run.
        """
        row = self._connection.execute("SELECT * FROM runs WHERE run_id=?", (run_id,)).fetchone()
        if row is None:
            raise NotFound(f"no run {run_id!r}.")
        return _run(row)

    def has_run(self, run_id: str) -> bool:
        """Whether a run of that id was ever written down."""
        found = self._connection.execute("SELECT 1 FROM runs WHERE run_id=?", (run_id,))
        return found.fetchone() is not None

    def runs(
        self,
        *,
        model: str | None = None,
        status: RunStatus | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Run], int]:
        """Runs, newest first, and how many there are in all under the same filter."""
        where, values = _where({"model": model, "status": status})
        total = self._connection.execute(f"SELECT count(*) FROM runs{where}", values).fetchone()[0]  # noqa: S608 - columns are ours
        rows = self._connection.execute(
            f"SELECT * FROM runs{where} ORDER BY requested_at DESC, version_number DESC"  # noqa: S608
            " LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [_run(row) for row in rows], total

    def unfinished(self) -> list[Run]:
        """Runs that are queued or running, oldest first."""
        rows = self._connection.execute(
            "SELECT * FROM runs WHERE status IN (?,?) ORDER BY requested_at", UNFINISHED
        )
        return [_run(row) for row in rows]

    def last_version_number(self, model: str) -> int:
        """The highest version number ever given to a run of this model; 0 before the first."""
        row = self._connection.execute(
            "SELECT max(version_number) FROM runs WHERE model=?", (model,)
        ).fetchone()
        return row[0] or 0

    def history(self, model: str) -> History:
        """The past of one model, in the order in which its runs got their numbers."""
        row = self._connection.execute(
            "SELECT * FROM runs WHERE model=? AND status IN (?,?)"
            " ORDER BY version_number DESC LIMIT 1",
            (model, *FINISHED),
        ).fetchone()
        last_finished = _run(row) if row is not None else None
        since = last_finished.version_number if last_finished is not None else 0
        n_runs, n_failed = self._connection.execute(
            "SELECT count(*), coalesce(sum(status=?), 0) FROM runs"
            " WHERE model=? AND version_number>?",
            (RunStatus.FAILED, model, since),
        ).fetchone()
        ended = self._connection.execute(
            "SELECT max(finished_at) FROM runs WHERE model=?", (model,)
        ).fetchone()[0]
        return History(last_finished, _time(ended), n_runs, n_failed)

    def events(self, *, model: str | None = None, after: int = 0, limit: int = 100) -> list[Event]:
        """Events with a number above `after`, oldest first."""
        where, values = _where({"model": model})
        joiner = " AND" if where else " WHERE"
        rows = self._connection.execute(
            f"SELECT * FROM events{where}{joiner} seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
            (*values, after, limit),
        )
        return [
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


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _run(row: sqlite3.Row) -> Run:
    return Run(
        run_id=row["run_id"],
        idempotency_key=row["idempotency_key"],
        model=row["model"],
        trigger=row["trigger"],
        trigger_reason=row["trigger_reason"],
        version=row["version"],
        version_number=row["version_number"],
        status=RunStatus(row["status"]),
        requested_at=datetime.fromisoformat(row["requested_at"]),
        started_at=_time(row["started_at"]),
        finished_at=_time(row["finished_at"]),
        high_seq=row["high_seq"],
        promoted=bool(row["promoted"]),
        verdict=row["verdict"],
        error=row["error"],
        details=msgspec.json.decode(row["details"]),
    )

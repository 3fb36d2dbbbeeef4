"""Read runs and events from the run log, in any process. Never creates or changes the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.database.connection import open_to_read
from shared.errors import NotFound, SchemaTooNew, StorageUnavailable
from shared.run_log import pending_events, pruning
from shared.run_log.history import History, read_history
from shared.run_log.pending_events import PendingEvents
from shared.run_log.pruning import OldEntries
from shared.run_log.run import UNFINISHED, Run, RunStatus, run_of
from shared.run_log.schema import RUN_LOG


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


class RunLogReader:
    """One connection; use it from one thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._path = path

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            NotFound: no such run.
        """
        rows = self._rows("SELECT * FROM runs WHERE run_id=?", (run_id,))
        if not rows:
            raise NotFound(f"no run {run_id!r}.")
        return run_of(rows[0])

    def runs_like(self, beginning: str, limit: int = 5) -> list[Run]:
        """Runs whose id begins like this, newest first."""
        rows = self._rows(
            "SELECT * FROM runs WHERE substr(run_id, 1, ?) = ? ORDER BY requested_at DESC LIMIT ?",
            (len(beginning), beginning, limit),
        )
        return [run_of(row) for row in rows]

    def n_not_promoted(self, model: str, since: datetime) -> int:
        """How many runs came to a verdict and promoted nothing, of those asked for since then."""
        rows = self._rows(
            "SELECT count(*) FROM runs WHERE model=? AND requested_at>? AND status=?"
            " AND promoted=0",
            (model, since.astimezone(UTC).isoformat(), RunStatus.SUCCEEDED),
        )
        return int(rows[0][0])

    def has_run(self, run_id: str) -> bool:
        """Whether a run of that id was ever written down."""
        return bool(self._rows("SELECT 1 FROM runs WHERE run_id=?", (run_id,)))

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
        total = self._rows(f"SELECT count(*) FROM runs{where}", values)[0][0]  # noqa: S608 - columns are ours
        rows = self._rows(
            f"SELECT * FROM runs{where} ORDER BY requested_at DESC, version_number DESC"  # noqa: S608
            " LIMIT ? OFFSET ?",
            (*values, limit, offset),
        )
        return [run_of(row) for row in rows], total

    def old_entries(self, before: datetime, kept: Mapping[str, Collection[str]]) -> OldEntries:
        """What ended before `before` and nothing needs any more; kept: model -> versions kept."""
        with self._translate_errors():
            return pruning.find(self._connection, before, kept)

    def unfinished(self) -> list[Run]:
        """Runs that are queued or running, oldest first."""
        rows = self._rows(
            "SELECT * FROM runs WHERE status IN (?,?) ORDER BY requested_at", UNFINISHED
        )
        return [run_of(row) for row in rows]

    def promoted_versions(self, model: str) -> set[str]:
        """Versions of a model that a run published."""
        rows = self._rows("SELECT version FROM runs WHERE model=? AND promoted=1", (model,))
        return {row[0] for row in rows}

    def last_version_number(self, model: str) -> int:
        """The highest version number ever given to a run of this model; 0 before the first."""
        rows = self._rows("SELECT max(version_number) FROM runs WHERE model=?", (model,))
        return rows[0][0] or 0

    def run_of_version(self, model: str, version: str) -> Run | None:
        """The run that made a version; None when the log does not know it (any more)."""
        rows = self._rows("SELECT * FROM runs WHERE model=? AND version=?", (model, version))
        return run_of(rows[0]) if rows else None

    def history(self, model: str) -> History:
        """The past of one model, in the order in which its runs got their numbers."""
        with self._translate_errors():
            return read_history(self._connection, model)

    def pending_events(self, model: str) -> PendingEvents | None:
        """Events that no finished run covers; None when there are none."""
        with self._translate_errors():
            return pending_events.read(self._connection, model)

    def ended_since(self, at: datetime | None, limit: int = 100) -> list[Run]:
        """Runs that ended at `at` or later (None: all of them), in the order of their ends."""
        rows = self._rows(
            "SELECT * FROM runs WHERE finished_at >= ? ORDER BY finished_at, run_id LIMIT ?",
            (at.isoformat() if at is not None else "", limit),
        )
        return [run_of(row) for row in rows]

    def last_event_seq(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._rows("SELECT max(seq) FROM events")[0][0] or 0

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
        rows = self._rows(
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

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        with self._translate_errors():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{self._path}: cannot be read: {error}.") from error


@contextmanager
def reading(path: Path) -> Iterator[RunLogReader]:
    """Open the log and close it again.

    Raises:
        NotFound: there is no run log yet.
        StorageUnavailable: it cannot be read.
    """
    not_yet = NotFound("no run log yet: the retrain daemon has not started here.")
    if not path.exists():
        raise not_yet
    try:
        with closing(open_to_read(path, RUN_LOG)) as connection:
            # The writer makes the file first and its tables next; in between there is no log yet.
            is_made = "SELECT count(*) FROM sqlite_master WHERE name IN ('runs', 'events')"
            if connection.execute(is_made).fetchone()[0] < 2:
                raise not_yet
            yield RunLogReader(connection, path)
    except SchemaTooNew as error:
        raise StorageUnavailable(str(error)) from error
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{path}: cannot be read: {error}.") from error


def _where(filters: Mapping[str, str | None]) -> tuple[str, list[str]]:
    wanted = {column: value for column, value in filters.items() if value is not None}
    if not wanted:
        return "", []
    return " WHERE " + " AND ".join(f"{column}=?" for column in wanted), list(wanted.values())

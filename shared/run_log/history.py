"""Read the history of one model: what its past runs mean for its next. Decides nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from shared.run_log.run import FINISHED, UNFINISHED, Run, RunStatus, run_of
from shared.versions.model_version import ModelVersion

NEWEST = 10


@dataclass(frozen=True, slots=True)
class History:
    """What the next decision needs to know of a model's past runs.

    last_finished : the last run that came to a verdict, whether or not it was promoted.
    covered_at : when its rows were asked for: earlier than the run itself when it was a retry on
        the rows of a run that failed. What happened up to then is covered by it.
    finished_at : when it ended; None when it was ended by a restart, hours later perhaps.
    libraries : what the last run that trained was trained with, as it reported them.
    last_ended_at : end of the last run of any outcome; the last by its number, not by the clock.
    last_number : the highest number ever given; 0 before the first run.
    runs_since, failures_in_a_row, n_cancelled : runs after it, all and by outcome.
    recent_requests : when the runs of the newest day were asked for, in order; some before it,
        and those that are dated in the future.
    lost_request : reason of a person's run that was abandoned and not made up for.
    open_run : the run that has no end yet.
    last_judged : the last run whose candidate went through the gates.
    """

    last_finished: Run | None
    last_ended_at: datetime | None
    runs_since: int
    failures_in_a_row: int
    covered_at: datetime | None = None
    finished_at: datetime | None = None
    libraries: Mapping[str, str] | None = None
    last_number: int = 0
    n_cancelled: int = 0
    recent_requests: tuple[datetime, ...] = ()
    lost_request: str | None = None
    open_run: Run | None = None
    last_judged: Run | None = None


def read_history(connection: sqlite3.Connection, model: str) -> History:
    """The past of one model, in the order in which its runs got their numbers."""
    row = connection.execute(
        "SELECT * FROM runs WHERE model=? AND status IN (?,?) ORDER BY version_number DESC LIMIT 1",
        (model, *FINISHED),
    ).fetchone()
    last_finished = run_of(row) if row is not None else None
    since = last_finished.version_number if last_finished is not None else 0
    outcomes = _outcomes(connection, model, since)
    last_number = connection.execute(
        "SELECT max(version_number) FROM runs WHERE model=?", (model,)
    ).fetchone()[0]
    return History(
        last_finished,
        _last_end(connection, model),
        runs_since=sum(outcomes.values()),
        failures_in_a_row=outcomes.get(RunStatus.FAILED, 0),
        covered_at=_covered_at(connection, last_finished),
        finished_at=_known_end(last_finished),
        libraries=_last_libraries(connection, model),
        last_number=last_number or 0,
        n_cancelled=outcomes.get(RunStatus.CANCELLED, 0),
        recent_requests=_recent_requests(connection, model),
        lost_request=_lost_request(connection, model, since),
        open_run=_open_run(connection, model),
        last_judged=_last_judged(connection, model),
    )


def covering_run(connection: sqlite3.Connection, run: Run) -> Run:
    """The run whose rows this one trained on: itself, or the failed one it is a retry of."""
    if not run.details.get("is_retry"):
        return run
    row = connection.execute(
        "SELECT * FROM runs WHERE model=? AND version_number<? AND high_seq IS ? AND status=?"
        " AND coalesce(json_extract(details, '$.is_retry'), 0)=0"
        " ORDER BY version_number DESC LIMIT 1",
        (run.model, run.version_number, run.high_seq, RunStatus.FAILED),
    ).fetchone()
    return run_of(row) if row is not None else run


def _open_run(connection: sqlite3.Connection, model: str) -> Run | None:
    row = connection.execute(
        "SELECT * FROM runs WHERE model=? AND status IN (?,?)", (model, *UNFINISHED)
    ).fetchone()
    return run_of(row) if row is not None else None


def _last_judged(connection: sqlite3.Connection, model: str) -> Run | None:
    row = connection.execute(
        "SELECT * FROM runs WHERE model=? AND status=? ORDER BY version_number DESC LIMIT 1",
        (model, RunStatus.SUCCEEDED),
    ).fetchone()
    return run_of(row) if row is not None else None


def _last_end(connection: sqlite3.Connection, model: str) -> datetime | None:
    row = connection.execute(
        "SELECT finished_at FROM runs WHERE model=? AND finished_at IS NOT NULL"
        " ORDER BY version_number DESC LIMIT 1",
        (model,),
    ).fetchone()
    return datetime.fromisoformat(row[0]) if row is not None else None


def _outcomes(connection: sqlite3.Connection, model: str, since: int) -> dict[str, int]:
    rows = connection.execute(
        "SELECT status, count(*) FROM runs WHERE model=? AND version_number>? GROUP BY status",
        (model, since),
    )
    return {row[0]: row[1] for row in rows}


def _covered_at(connection: sqlite3.Connection, finished: Run | None) -> datetime | None:
    if finished is None:
        return None
    covering = covering_run(connection, finished)
    # A person's request may have waited; its run was written down when it got its version.
    written_at = ModelVersion.parse(covering.version).created_at
    return max(covering.requested_at, written_at)


def _known_end(finished: Run | None) -> datetime | None:
    if finished is None:
        return None
    # A run that a restart ended brought no gates with it; its end is the restart's, not its own.
    was_seen_to_end = finished.status is RunStatus.SKIPPED or "gates" in finished.details
    return finished.finished_at if was_seen_to_end else None


def _last_libraries(connection: sqlite3.Connection, model: str) -> Mapping[str, str] | None:
    row = connection.execute(
        "SELECT json_extract(details, '$.libraries') AS libraries FROM runs"
        " WHERE model=? AND status=? AND libraries IS NOT NULL"
        " ORDER BY version_number DESC LIMIT 1",
        (model, RunStatus.SUCCEEDED),
    ).fetchone()
    return msgspec.json.decode(row[0], type=dict[str, str]) if row is not None else None


def _recent_requests(connection: sqlite3.Connection, model: str) -> tuple[datetime, ...]:
    # Some of the newest may be dated in the future: a day before the earliest of them is enough.
    earliest = connection.execute(
        "SELECT min(requested_at) FROM (SELECT requested_at FROM runs WHERE model=?"
        " ORDER BY version_number DESC LIMIT ?)",
        (model, NEWEST),
    ).fetchone()[0]
    if earliest is None:
        return ()
    since = datetime.fromisoformat(earliest).astimezone(UTC) - timedelta(hours=24)
    rows = connection.execute(
        "SELECT requested_at FROM runs WHERE model=? AND requested_at>? ORDER BY requested_at",
        (model, since.isoformat()),
    )
    return tuple(datetime.fromisoformat(row[0]) for row in rows)


def _lost_request(connection: sqlite3.Connection, model: str, since: int) -> str | None:
    row = connection.execute(
        "SELECT status, trigger_reason FROM runs WHERE model=? AND version_number>?"
        " AND trigger='manual' ORDER BY version_number DESC LIMIT 1",
        (model, since),
    ).fetchone()
    is_lost = row is not None and row["status"] == RunStatus.ABANDONED
    return row["trigger_reason"] if is_lost else None

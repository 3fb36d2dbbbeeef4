"""Store "the data changed" events in the run log until a finished run covers them.

An event is kept under the number of the run that was the last one when it came. A run that
finishes covers what came before the rows it trained on were asked for: all that is kept under
lower numbers than that of the run which asked for them. So no clock decides what is covered.
The caller holds the transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.run_log.history import covering_run
from shared.run_log.run import run_of

WRITERS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class PendingEvents:
    """How often, since when and until when it was told that a model's data changed."""

    first_at: datetime
    last_at: datetime
    n: int


def add(
    connection: sqlite3.Connection,
    model: str,
    first_at: datetime,
    last_at: datetime,
    n: int,
    writer: str,
    total: int,
) -> None:
    """Keep events until a run that is decided on from now on has finished.

    writer, total : who told them, and how many in all by now: those that were told before are
        not counted again. A writer is one process and never comes back under the same name.
    """
    if writer:
        known = connection.execute(
            "SELECT total FROM event_writers WHERE model=? AND writer=?", (model, writer)
        ).fetchone()
        n = min(n, total - known[0]) if known is not None else n
        if n <= 0:
            return
        connection.execute(
            "INSERT OR REPLACE INTO event_writers VALUES (?,?,?,?)",
            (model, writer, total, _utc(last_at)),
        )
        connection.execute(
            "DELETE FROM event_writers WHERE model=? AND told_at<?",
            (model, _utc(last_at - WRITERS_KEPT)),
        )
    last_number = connection.execute(
        "SELECT coalesce(max(version_number), 0) FROM runs WHERE model=?", (model,)
    ).fetchone()[0]
    _merge(connection, model, last_number, _utc(first_at), _utc(last_at), n)


def reassign(
    connection: sqlite3.Connection, model: str, number: int, read_until: datetime | None
) -> None:
    """Keep for the run after `number` what that one has not read: events after `read_until`."""
    which = "WHERE model=? AND after_run<? AND last_at>?"
    values = (model, number, _utc(read_until) if read_until is not None else "")
    rows = connection.execute(f"SELECT * FROM pending_events {which}", values).fetchall()  # noqa: S608 - a constant
    connection.execute(f"DELETE FROM pending_events {which}", values)  # noqa: S608
    for row in rows:
        _merge(connection, model, number, row["first_at"], row["last_at"], row["n"])


def clear_covered(connection: sqlite3.Connection, run_id: str) -> None:
    """Let go of what a run that finished covers."""
    run = run_of(connection.execute("SELECT * FROM runs WHERE run_id=?", (run_id,)).fetchone())
    connection.execute(
        "DELETE FROM pending_events WHERE model=? AND after_run<?",
        (run.model, covering_run(connection, run).version_number),
    )


def read(connection: sqlite3.Connection, model: str) -> PendingEvents | None:
    """All that is kept for a model, as one; None when there is nothing."""
    first_at, last_at, n = connection.execute(
        "SELECT min(first_at), max(last_at), sum(n) FROM pending_events WHERE model=?", (model,)
    ).fetchone()
    if n is None:
        return None
    return PendingEvents(datetime.fromisoformat(first_at), datetime.fromisoformat(last_at), n)


def _merge(
    connection: sqlite3.Connection,
    model: str,
    after_run: int,
    first_at: str,
    last_at: str,
    n: int,
) -> None:
    connection.execute(
        "INSERT INTO pending_events VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET"
        " first_at=min(first_at, excluded.first_at), last_at=max(last_at, excluded.last_at),"
        " n=n+excluded.n",
        (model, after_run, first_at, last_at, n),
    )


def _utc(at: datetime) -> str:
    """Text that sorts as the times do."""
    return at.astimezone(UTC).isoformat()

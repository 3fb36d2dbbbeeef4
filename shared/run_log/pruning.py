"""Find and delete old runs and events that no decision needs. SQL only; the caller commits.

What the next decision rests on is always kept: the newest runs of each model, its last verdict,
its last training, and the runs on whose rows those were.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.run_log.run import FINISHED, UNFINISHED, RunStatus

NEWEST_KEPT = 100
"""Runs of each model that are kept at any age: back-off and numbering count on them."""


@dataclass(frozen=True, slots=True)
class OldEntries:
    """What can go.

    events_up_to : the highest number of an event that can go, 0: none; n_events: how many.
    n_bytes : of their text; the file itself does not shrink, the space is used again.
    """

    run_ids: tuple[str, ...] = ()
    events_up_to: int = 0
    n_events: int = 0
    n_bytes: int = 0


def find(
    connection: sqlite3.Connection, before: datetime, kept: Mapping[str, Collection[str]]
) -> OldEntries:
    """kept : model -> versions whose runs stay, because the versions do."""
    run_ids: list[str] = []
    n_bytes = 0
    for (model,) in connection.execute("SELECT DISTINCT model FROM runs").fetchall():
        keep = _needed(connection, model)
        for row in connection.execute(
            "SELECT run_id, version, high_seq, length(details) + 300 AS n_bytes FROM runs"
            " WHERE model=? AND finished_at < ? AND status NOT IN (?,?)"
            " ORDER BY version_number DESC",
            (model, before.isoformat(), *UNFINISHED),
        ):
            is_needed = row["run_id"] in keep.run_ids or row["high_seq"] in keep.high_seqs
            if not is_needed and row["version"] not in kept.get(model, ()):
                run_ids.append(row["run_id"])
                n_bytes += row["n_bytes"]
    # In the order of their numbers: a clock that was wrong for a while leaves no holes.
    first_kept = connection.execute(
        "SELECT min(seq) FROM events WHERE at >= ?", (before.isoformat(),)
    ).fetchone()[0]
    last = connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
    up_to = first_kept - 1 if first_kept is not None else last
    n_events, event_bytes = connection.execute(
        "SELECT count(*), coalesce(sum(length(sentence) + length(details) + 60), 0)"
        " FROM events WHERE seq <= ?",
        (up_to,),
    ).fetchone()
    return OldEntries(
        tuple(run_ids), up_to if n_events else 0, n_events, n_bytes + int(event_bytes)
    )


def forget(connection: sqlite3.Connection, old: OldEntries) -> None:
    connection.executemany("DELETE FROM runs WHERE run_id=?", [(name,) for name in old.run_ids])
    connection.execute("DELETE FROM events WHERE seq <= ?", (old.events_up_to,))


@dataclass(frozen=True, slots=True)
class _Needed:
    run_ids: frozenset[str]
    high_seqs: frozenset[int]


def _needed(connection: sqlite3.Connection, model: str) -> _Needed:
    newest = connection.execute(
        "SELECT run_id FROM runs WHERE model=? ORDER BY version_number DESC LIMIT ?",
        (model, NEWEST_KEPT),
    ).fetchall()
    last = [
        row
        for statuses in (FINISHED, (RunStatus.SUCCEEDED,))
        for row in connection.execute(
            f"SELECT run_id, high_seq FROM runs WHERE model=?"  # noqa: S608 - marks only
            f" AND status IN ({','.join('?' * len(statuses))})"
            " ORDER BY version_number DESC LIMIT 1",
            (model, *statuses),
        )
    ]
    return _Needed(
        frozenset(row["run_id"] for row in (*newest, *last)),
        frozenset(row["high_seq"] for row in last if row["high_seq"] is not None),
    )

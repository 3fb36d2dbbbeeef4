"""The tables of the run log and their migrations."""

from __future__ import annotations

from shared.database.migrations import Schema

# As the first release made them, which wrote no version into its files.
_FIRST = """
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
CREATE TABLE IF NOT EXISTS pending_events (
    model     TEXT NOT NULL,
    after_run INTEGER NOT NULL,
    first_at  TEXT NOT NULL,
    last_at   TEXT NOT NULL,
    n         INTEGER NOT NULL,
    PRIMARY KEY (model, after_run)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event_writers (
    model   TEXT NOT NULL,
    writer  TEXT NOT NULL,
    total   INTEGER NOT NULL,
    told_at TEXT NOT NULL,
    PRIMARY KEY (model, writer)
) WITHOUT ROWID;
"""

# Of several open runs of one model the newest stays; the daemon decides what became of it.
_ONE_OPEN_RUN = """
UPDATE runs SET status = 'abandoned', finished_at = coalesce(started_at, requested_at),
    error = version || ': abandoned, a later run of the same model was open as well.'
WHERE status IN ('queued', 'running') AND EXISTS (
    SELECT 1 FROM runs AS later
    WHERE later.model = runs.model AND later.status IN ('queued', 'running')
        AND (later.version_number, later.run_id) > (runs.version_number, runs.run_id)
);
CREATE UNIQUE INDEX one_open_run_of_a_model ON runs (model)
WHERE status IN ('queued', 'running');
"""

RUN_LOG = Schema("run log", (_FIRST, _ONE_OPEN_RUN))

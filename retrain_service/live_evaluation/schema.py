"""The tables of a file of live errors, and how what came is found. SQL alone.

Everything in the file follows from the prediction log and the buffer: where tables change, they
are made anew and read again.
"""

from __future__ import annotations

from shared.database.migrations import Schema

_FIRST = """
CREATE TABLE positions (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE expectations (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, slice TEXT NOT NULL,
    series TEXT NOT NULL, at_us INTEGER NOT NULL, from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL, how TEXT NOT NULL, value REAL NOT NULL, low REAL, high REAL,
    answered_us INTEGER NOT NULL, truth REAL
);
CREATE INDEX expectations_of_series ON expectations (series, from_us);
CREATE TABLE outcomes (
    stream TEXT NOT NULL, record TEXT NOT NULL, nth INTEGER NOT NULL, series TEXT NOT NULL,
    at_us INTEGER NOT NULL, value REAL NOT NULL, updated_us INTEGER NOT NULL,
    PRIMARY KEY (stream, record, nth)
) WITHOUT ROWID;
CREATE INDEX outcomes_of_series ON outcomes (series, at_us);
"""

_SECOND = """
DELETE FROM positions;
DROP TABLE expectations;
DROP TABLE outcomes;
CREATE TABLE expectations (
    id INTEGER PRIMARY KEY,
    fact INTEGER NOT NULL UNIQUE,
    model TEXT NOT NULL, version TEXT NOT NULL, slice TEXT NOT NULL,
    series TEXT NOT NULL, at_us INTEGER NOT NULL, from_us INTEGER NOT NULL,
    until_us INTEGER NOT NULL, how TEXT NOT NULL,
    value REAL NOT NULL, low REAL, high REAL, losses TEXT,
    answered_us INTEGER NOT NULL, n INTEGER NOT NULL,
    truth REAL
);
CREATE INDEX expectations_of_series ON expectations (series, from_us);
CREATE TABLE outcomes (
    stream TEXT NOT NULL, record TEXT NOT NULL, nth INTEGER NOT NULL, series TEXT NOT NULL,
    at_us INTEGER NOT NULL, value REAL NOT NULL, text TEXT NOT NULL, updated_us INTEGER NOT NULL,
    PRIMARY KEY (stream, record, nth)
) WITHOUT ROWID;
CREATE INDEX outcomes_of_series ON outcomes (series, at_us);
CREATE TABLE settled (
    model TEXT NOT NULL, version TEXT NOT NULL, slice TEXT NOT NULL,
    day INTEGER NOT NULL, n INTEGER NOT NULL,
    total_error REAL NOT NULL, n_bounded INTEGER NOT NULL, n_inside INTEGER NOT NULL,
    since_us INTEGER NOT NULL,
    PRIMARY KEY (model, version, slice, day)
) WITHOUT ROWID;
"""
# Of an expectation, fact is a hash of all that was said, n how often it was; truth is null while
# nothing came; of a choice, whose value is 0, it is the loss.
SCHEMA = Schema("file of live errors", (_FIRST, _SECOND), format=2)

_OUTCOMES = """
FROM expectations e JOIN outcomes o
    ON o.series = e.series AND o.at_us >= e.from_us AND o.at_us < e.until_us
WHERE e.id = expectations.id
"""

JUDGE = f"""
UPDATE expectations SET truth = CASE how
    WHEN 'mean' THEN (SELECT avg(o.value) {_OUTCOMES})
    WHEN 'choice' THEN (
        SELECT min(coalesce((
            SELECT value FROM json_each(e.losses) WHERE key = o.text
        ), 1.0)) {_OUTCOMES}
    ) ELSE (
        SELECT o.value {_OUTCOMES}
        ORDER BY abs(o.at_us - e.at_us), o.at_us DESC, o.updated_us DESC, o.record LIMIT 1
    ) END
"""  # noqa: S608 - words of ours
"""Find what came; the caller adds WHERE."""

IS_KNOWN = "truth IS NOT NULL AND until_us <= :now"

SETTLE = """
INSERT INTO settled
SELECT model, version, slice, at_us / 86400000000, sum(n), sum(n * abs(value - truth)),
    sum(n * (low IS NOT NULL)), coalesce(sum(n * (truth >= low AND truth <= high)), 0),
    min(answered_us)
FROM expectations WHERE id IN ({ids})
GROUP BY model, version, slice, at_us / 86400000000
ON CONFLICT DO UPDATE SET n = n + excluded.n, total_error = total_error + excluded.total_error,
    n_bounded = n_bounded + excluded.n_bounded, n_inside = n_inside + excluded.n_inside,
    since_us = min(since_us, excluded.since_us)
"""

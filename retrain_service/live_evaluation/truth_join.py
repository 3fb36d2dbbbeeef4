"""Keep what answers foretold beside what the records say came of it, in one SQLite file a model.

What was read, how far it was read, and what follows from it are one transaction: after a crash
nothing is lost and nothing counts twice. A later version of a record, or its end, changes what
rests on it. Knows no workload and no clock; one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from retrain_service.live_evaluation.live_scores import Judged
from shared.database.connection import open_to_write, transaction
from shared.database.migrations import Schema
from shared.workloads.live import LONGEST_WINDOW_US, Expectation, Outcome

_DAY_US = 86_400_000_000
_SLACK_US = 3_600_000_000
MOST_EXPECTATIONS = 200_000

_TABLES = """
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
SCHEMA = Schema("file of live errors", (_TABLES,))

_JUDGE = """
UPDATE expectations SET truth = CASE how
    WHEN 'mean' THEN (
        SELECT avg(o.value) FROM outcomes o
        WHERE o.series = expectations.series AND o.at_us >= expectations.from_us
            AND o.at_us < expectations.until_us
    ) ELSE (
        SELECT o.value FROM expectations e JOIN outcomes o
            ON o.series = e.series AND o.at_us >= e.from_us AND o.at_us < e.until_us
        WHERE e.id = expectations.id
        ORDER BY abs(o.at_us - e.at_us), o.at_us DESC, o.updated_us DESC, o.record LIMIT 1
    ) END
"""


class TruthJoin:
    """See the module docstring."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StorageUnavailable, SchemaTooNew: as `open_to_write` says.
        """
        self._path = path
        self._database = open_to_write(path, SCHEMA, check_same_thread=False)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        Raises:
            StorageUnavailable: nothing was changed.
        """
        with transaction(self._database, self._path):
            yield

    def positions(self) -> Mapping[str, int]:
        """Name of what is read -> how far it was read."""
        return dict(self._database.execute("SELECT name, at FROM positions"))

    def set_position(self, name: str, at: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", [name, at])

    def forget_position(self, name: str) -> None:
        self._database.execute("DELETE FROM positions WHERE name = ?", [name])

    def expect(
        self, model: str, version: str, answered_us: int, expected: Iterable[Expectation]
    ) -> None:
        """Take in what one answer said; what was past when it was answered is no forecast."""
        for one in expected:
            if one.at_us <= answered_us:
                continue
            row = self._database.execute(
                "INSERT INTO expectations (model, version, slice, series, at_us, from_us,"
                " until_us, how, value, low, high, answered_us)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                [
                    *(model, version, one.slice, one.series, one.at_us, one.from_us),
                    *(one.until_us, one.how, one.value, one.low, one.high, answered_us),
                ],
            ).fetchone()
            self._database.execute(f"{_JUDGE} WHERE id = ?", row)

    def oldest_needed_us(self, now_us: int) -> int:
        """Outcomes of before can tell nothing that was asked, or may have been by now."""
        found = self._database.execute("SELECT min(from_us) FROM expectations").fetchone()[0]
        return min(now_us - _SLACK_US, now_us if found is None else int(found))

    def replace(self, stream: str, record: str, updated_us: int, said: Sequence[Outcome]) -> None:
        """What a record says now, in place of all that it said before; nothing, once it is gone."""
        before = self._database.execute(
            "DELETE FROM outcomes WHERE stream = ? AND record = ? RETURNING series, at_us",
            [stream, record],
        ).fetchall()
        self._database.executemany(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (stream, record, nth, one.series, one.at_us, one.value, updated_us)
                for nth, one in enumerate(said)
            ],
        )
        for series, at_us in {*before, *((one.series, one.at_us) for one in said)}:
            self._database.execute(
                f"{_JUDGE} WHERE series = ? AND from_us > ? AND from_us <= ? AND until_us > ?",
                [series, at_us - LONGEST_WINDOW_US, at_us, at_us],
            )

    def records(self, stream: str, updated_from_us: int) -> list[str]:
        """Records of which something is kept, last changed then or later."""
        found = self._database.execute(
            "SELECT DISTINCT record FROM outcomes WHERE stream = ? AND updated_us >= ?",
            [stream, updated_from_us],
        )
        return [record for (record,) in found]

    def forget(self, before_us: int) -> None:
        """Forget answers of before, the oldest beyond the most, and outcomes nobody needs."""
        database = self._database
        database.execute("DELETE FROM expectations WHERE answered_us < ?", [before_us])
        database.execute(
            "DELETE FROM expectations WHERE id <= (SELECT max(id) FROM expectations) - ?",
            [MOST_EXPECTATIONS],
        )

    def forget_outcomes(self, before_us: int) -> None:
        """Forget what nobody asks about."""
        self._database.execute("DELETE FROM outcomes WHERE at_us < ?", [before_us])

    def judged(self, now_us: int) -> dict[str, list[Judged]]:
        """Model, with its entity -> its answers whose truth is known and final for now."""
        found: dict[str, list[Judged]] = {}
        for model, *values in self._database.execute(
            "SELECT model, version, slice, at_us / ?, count(*), sum(abs(value - truth)),"
            " count(low), coalesce(sum(truth >= low AND truth <= high), 0), min(answered_us)"
            " FROM expectations WHERE truth IS NOT NULL AND until_us <= ?"
            " GROUP BY model, version, slice, at_us / ?",
            [_DAY_US, now_us, _DAY_US],
        ):
            found.setdefault(model, []).append(Judged(*values))
        return found

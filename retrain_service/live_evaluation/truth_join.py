"""Keep what answers foretold beside what the records say came of it, in one SQLite file a model.

What was read, how far it was read, and what follows from it are one transaction: after a crash
nothing is lost and nothing counts twice. A later version of a record, or its end, changes what
rests on it. Knows no workload and no clock; one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from retrain_service.live_evaluation.live_scores import Judged
from retrain_service.live_evaluation.schema import IS_KNOWN, JUDGE, SCHEMA, SETTLE
from shared.database.connection import open_to_write, transaction
from shared.workloads.live import DAY_US, Expectation, Outcome

MOST_EXPECTATIONS = 300_000
_SLACK_US = 3_600_000_000

_NEW = """
INSERT INTO expectations (
    fact, model, version, slice, series, at_us, from_us, until_us, how, value, low, high, losses,
    answered_us, n
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (fact) DO UPDATE SET n = n + 1 RETURNING id, n
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
        found = self._database.execute("SELECT max(until_us - from_us) FROM expectations")
        self._longest_us = int(found.fetchone()[0] or 0)

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
        """Take in what one answer said; what was past when it was answered is no forecast.

        The same said again of the same by the same version counts once more and is kept once.
        """
        for one in expected:
            if one.at_us <= answered_us:
                continue
            losses = None if one.losses is None else msgspec.json.encode(one.losses).decode()
            about = [
                *(model, version, one.slice, one.series, one.at_us, one.from_us, one.until_us),
                *(one.how, one.value, one.low, one.high, losses),
            ]
            fact = _hash(repr(about))
            id_, n = self._database.execute(_NEW, [fact, *about, answered_us]).fetchone()
            if n == 1:
                self._longest_us = max(self._longest_us, one.until_us - one.from_us)
                self._database.execute(f"{JUDGE} WHERE id = ?", [id_])

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
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (stream, record, nth, one.series, one.at_us, one.value, one.text, updated_us)
                for nth, one in enumerate(said)
            ],
        )
        concerned = "WHERE series = ? AND from_us > ? AND from_us <= ? AND until_us > ?"
        for series, at_us in {*before, *((one.series, one.at_us) for one in said)}:
            self._database.execute(
                f"{JUDGE} {concerned}", [series, at_us - self._longest_us - 1, at_us, at_us]
            )

    def records(self, stream: str, updated_from_us: int) -> list[str]:
        """Records of which something is kept, last changed then or later."""
        found = self._database.execute(
            "SELECT DISTINCT record FROM outcomes WHERE stream = ? AND updated_us >= ?",
            [stream, updated_from_us],
        )
        return [record for (record,) in found]

    def forget(self, before_us: int, now_us: int) -> None:
        """Forget answers that were due before, and the oldest beyond the most; what is known of
        these stays in the errors, as it is now."""
        database = self._database
        database.execute("DELETE FROM expectations WHERE until_us < ?", [before_us])
        database.execute("DELETE FROM settled WHERE day < ?", [before_us // DAY_US])
        n_over = database.execute("SELECT count(*) FROM expectations").fetchone()[0]
        n_over -= MOST_EXPECTATIONS
        if n_over <= 0:
            return
        known = f"SELECT id FROM expectations WHERE {IS_KNOWN} ORDER BY id LIMIT :n"  # noqa: S608 - words of ours
        which = {"now": now_us, "n": n_over}
        database.execute(SETTLE.format(ids=known), which)
        n_gone = database.execute(f"DELETE FROM expectations WHERE id IN ({known})", which).rowcount  # noqa: S608 - words of ours
        oldest = "SELECT id FROM expectations ORDER BY id LIMIT ?"
        database.execute(f"DELETE FROM expectations WHERE id IN ({oldest})", [n_over - n_gone])  # noqa: S608 - words of ours

    def forget_outcomes(self, before_us: int) -> None:
        """Forget what nobody asks about."""
        self._database.execute("DELETE FROM outcomes WHERE at_us < ?", [before_us])

    def judged(self, now_us: int) -> dict[str, list[Judged]]:
        """Model, with its entity -> its answers whose truth is known and whose moment is past."""
        found: dict[str, list[Judged]] = {}
        for model, *values in self._database.execute(
            "SELECT model, version, slice, at_us / :day, sum(n), sum(n * abs(value - truth)),"  # noqa: S608 - words of ours
            " sum(n * (low IS NOT NULL)),"
            " coalesce(sum(n * (truth >= low AND truth <= high)), 0), min(answered_us)"
            f" FROM expectations WHERE {IS_KNOWN}"
            " GROUP BY model, version, slice, at_us / :day"
            " UNION ALL SELECT * FROM settled",
            {"day": DAY_US, "now": now_us},
        ):
            found.setdefault(model, []).append(Judged(*values))
        return found


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

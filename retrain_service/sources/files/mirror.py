"""The rows of a stream's files in a database of our own, which lives as long as the source.

SQLite keeps it in a temporary file, so that memory stays small. Of two rows with one id the newer
one counts; of the same time, that of the later file. Knows no cursor and no clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = tuple[int, str | None, int, bool, str, bytes]
"""Position in its file, id, time in microseconds, whether that is its own, digest, JSON body."""

_SCHEMA = """
CREATE TABLE rows (
    nth INTEGER PRIMARY KEY, file TEXT, pos INTEGER, id TEXT, at_us INTEGER, is_dated INTEGER,
    digest TEXT, body BLOB, UNIQUE (file, pos)
);
CREATE TABLE latest (id TEXT PRIMARY KEY, at_us INTEGER, nth INTEGER);
CREATE INDEX by_time ON latest (at_us, id);
CREATE TABLE gone (id TEXT PRIMARY KEY);
CREATE TABLE known (id TEXT PRIMARY KEY, digest TEXT, at_us INTEGER);
CREATE TABLE parts (file TEXT PRIMARY KEY, begin INTEGER);
CREATE TABLE news (at_us INTEGER, id TEXT, nth INTEGER, PRIMARY KEY (at_us, id)) WITHOUT ROWID;
PRAGMA cache_size = -32000;
"""

_NEWS_OF_PARTS = """
INSERT OR IGNORE INTO news SELECT l.at_us, l.id, l.nth FROM parts p
CROSS JOIN rows r ON r.file = p.file AND r.pos > p.begin
CROSS JOIN latest l ON l.id = r.id AND l.nth = r.nth
LEFT JOIN known k ON k.id = l.id
WHERE l.at_us <= ? AND (k.id IS NULL OR k.digest <> r.digest OR k.at_us <> l.at_us)
"""
_NEWS_BY_TIME = """
INSERT OR IGNORE INTO news SELECT l.at_us, l.id, l.nth FROM latest l
CROSS JOIN rows r ON r.nth = l.nth
LEFT JOIN known k ON k.id = l.id
WHERE l.at_us <= ? AND (k.id IS NULL OR k.digest <> r.digest OR k.at_us <> l.at_us)
AND l.at_us > ?
"""


@dataclass(frozen=True, slots=True)
class News:
    """A row to tell, or the id of one that is gone (body None)."""

    id: str
    at_us: int
    body: bytes | None


class Mirror:
    """One thread. Nothing of it survives close()."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    # -- files -----------------------------------------------------------------------------------

    def add(self, file: str, rows: Iterable[Row]) -> None:
        """Add or overwrite rows of a file by their position."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR REPLACE INTO rows VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
            ((file, *row) for row in rows),
        )
        self._database.execute("COMMIT")

    def keep_times(self, file: str, former: str) -> None:
        """A row of `file` without a time of its own keeps what an equal one of `former` had."""
        self._database.execute(
            "UPDATE rows SET at_us = old.at_us FROM rows AS old"
            " WHERE rows.file = ? AND old.file = ? AND rows.id = old.id"
            " AND rows.digest = old.digest AND NOT rows.is_dated",
            [file, former],
        )

    def cut(self, file: str, n_kept: int = 0) -> None:
        """Forget the rows of a file behind the first `n_kept`."""
        self._database.execute("DELETE FROM rows WHERE file = ? AND pos > ?", [file, n_kept])

    def rename(self, file: str, name: str) -> None:
        self._database.execute("UPDATE rows SET file = ? WHERE file = ?", [name, file])

    def settle(self) -> None:
        """Find the row that counts for each id, and the ids that have none any more."""
        database = self._database
        database.execute("BEGIN")
        database.execute("INSERT OR IGNORE INTO gone SELECT id FROM latest")
        database.execute("DELETE FROM latest")
        database.execute(
            "INSERT OR REPLACE INTO latest SELECT id, at_us, nth FROM rows"
            " WHERE id IS NOT NULL ORDER BY at_us, file, pos"
        )
        database.execute("DELETE FROM gone WHERE id IN (SELECT id FROM latest)")
        database.execute("COMMIT")

    def settle_more(self, file: str, n_before: int) -> None:
        """The same after rows were only added, behind the first `n_before` of one file."""
        self._database.execute(
            "INSERT INTO latest SELECT id, at_us, nth FROM rows WHERE file = ? AND pos > ?"
            " AND id IS NOT NULL ORDER BY at_us, pos"
            " ON CONFLICT (id) DO UPDATE SET at_us = excluded.at_us, nth = excluded.nth"
            " WHERE excluded.at_us > latest.at_us OR (excluded.at_us = latest.at_us"
            " AND ? >= (SELECT file FROM rows WHERE rows.nth = latest.nth))",
            [file, n_before, file],
        )
        self._database.execute("DELETE FROM gone WHERE id IN (SELECT id FROM latest)")

    def has_gone(self) -> bool:
        return self._one("SELECT count(*) FROM gone") > 0

    def forget_gone(self) -> None:
        self._database.execute("DELETE FROM gone")

    # -- news ------------------------------------------------------------------------------------

    def find_news(
        self,
        *,
        parts: Mapping[str, int],
        since_us: int,
        until_us: int,
        known: Mapping[str, Sequence[Any]] | None,
        with_gone: bool,
    ) -> int:
        """Collect what is to be told, for page(); give the number of it.

        Args:
            parts: file -> the number of its first rows that were told before.
            since_us: rows later than this are news wherever they are.
            known: id -> (digest, time) of what was told; None: not kept.
            with_gone: whether ids without a row are told.
        """
        database = self._database
        database.execute("BEGIN")
        for table in ("news", "known", "parts"):
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        database.executemany(
            "INSERT INTO known VALUES (?, ?, ?)",
            ((id_, *told) for id_, told in (known or {}).items()),
        )
        database.executemany("INSERT INTO parts VALUES (?, ?)", parts.items())
        if known:  # what was dated by us before keeps that date
            database.execute(
                "UPDATE rows SET at_us = known.at_us FROM known WHERE rows.id = known.id"
                " AND rows.digest = known.digest AND NOT rows.is_dated"
            )
            database.execute(
                "UPDATE latest SET at_us = rows.at_us FROM rows WHERE rows.nth = latest.nth"
                " AND rows.at_us <> latest.at_us"
            )
        database.execute(_NEWS_OF_PARTS, [until_us])
        if since_us < until_us:
            database.execute(_NEWS_BY_TIME, [until_us, since_us])
        if with_gone:
            database.execute(
                "INSERT OR IGNORE INTO news SELECT ?, id, NULL FROM"
                " (SELECT id FROM gone UNION SELECT id FROM known) WHERE id NOT IN"
                " (SELECT id FROM latest)",
                [until_us],
            )
        database.execute("COMMIT")
        n_news: int = database.execute("SELECT count(*) FROM news").fetchone()[0]
        return n_news

    def page(self, at_us: int, id_: str, limit: int) -> list[News]:
        """The news behind (at_us, id_), in that order."""
        found = self._database.execute(
            "SELECT n.id, n.at_us, r.body FROM news n LEFT JOIN rows r ON r.nth = n.nth"
            " WHERE (n.at_us, n.id) > (?, ?) ORDER BY n.at_us, n.id LIMIT ?",
            [at_us, id_, limit],
        )
        return [News(*row) for row in found]

    def told(self, until_us: int, most: int) -> dict[str, list[Any]] | None:
        """What the next look is compared with: id -> [digest, time]; None: more than `most`."""
        if self._one("SELECT count(*) FROM latest") > most:
            return None
        found = self._database.execute(
            "SELECT l.id, r.digest, l.at_us FROM latest l JOIN rows r ON r.nth = l.nth"
            " WHERE l.at_us <= ?",
            [until_us],
        )
        return {id_: [digest, at_us] for id_, digest, at_us in found}

    # -- questions -------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """Rows, and those of them without an id."""
        n_rows, n_with = self._database.execute("SELECT count(*), count(id) FROM rows").fetchone()
        return n_rows, n_rows - n_with

    def told_apart(self) -> tuple[int, int]:
        """Different rows, and how many of them id and time tell apart within their files."""
        return (
            self._one(
                "SELECT count(*) FROM"
                " (SELECT DISTINCT file, id, at_us, digest FROM rows WHERE id IS NOT NULL)"
            ),
            self._one(
                "SELECT count(*) FROM"
                " (SELECT DISTINCT file, id, at_us FROM rows WHERE id IS NOT NULL)"
            ),
        )

    def count_between(self, begin_us: int, end_us: int) -> int:
        return self._one(
            "SELECT count(*) FROM latest WHERE at_us >= ? AND at_us < ?", begin_us, end_us
        )

    def ids_between(self, begin_us: int, end_us: int) -> Iterator[str]:
        found = self._database.execute(
            "SELECT id FROM latest WHERE at_us >= ? AND at_us < ?", [begin_us, end_us]
        )
        return (id_ for (id_,) in found)

    def missing(self, ids: Collection[str]) -> list[str]:
        return [
            id_ for id_ in ids if not self._one("SELECT count(*) FROM latest WHERE id = ?", id_)
        ]

    def newest(self, limit: int) -> list[News]:
        found = self._database.execute(
            "SELECT l.id, l.at_us, r.body FROM latest l JOIN rows r ON r.nth = l.nth"
            " ORDER BY l.at_us DESC, l.id DESC LIMIT ?",
            [limit],
        )
        return [News(*row) for row in found]

    def _one(self, statement: str, *parameters: Any) -> int:
        found: int = self._database.execute(statement, parameters).fetchone()[0]
        return found

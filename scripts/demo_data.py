"""A made-up car workshop for trying Hotfit: fill its database once, add appointments later.

SYNTHETIC: no customer, car or visit in it is real, and the database says so itself
(table `about`, column `note`). Standard library only. Knows neither daemon; it is the
"application" whose database they watch.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scripts import demo_workshop
from scripts.demo_workshop import Appointment

if TYPE_CHECKING:
    from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DEMO_CONFIG = ROOT / "scripts" / "presets" / "spare_parts.toml"
N_DAYS = 548
"""Length of the first fill: about eighteen months."""

NOTE = "synthetic demo data"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS appointments (
    id              TEXT PRIMARY KEY,
    status          TEXT,
    customer        TEXT,
    vehicle         TEXT,
    date            TEXT,
    appointmentDate TEXT,
    completedDate   TEXT,
    timestamp       INTEGER,
    createdAt       TEXT,
    spareParts      TEXT,
    note            TEXT NOT NULL,
    updated_at      TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS appointments_by_change ON appointments (updated_at, id);
CREATE TABLE IF NOT EXISTS spare_parts (
    id         TEXT PRIMARY KEY,
    name       TEXT,
    sku        TEXT,
    price      REAL,
    updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS spare_parts_by_change ON spare_parts (updated_at, id);
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Fill the demo database of a made-up workshop, or add to it (synthetic data)."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fill_parser = commands.add_parser(
        "fill", help="eighteen months up to yesterday; later, the days since"
    )
    fill_parser.add_argument("--seed", type=int, default=demo_workshop.SEED)
    fill_parser.add_argument(
        "--until", type=date.fromisoformat, metavar="DATE", help="last day (default: yesterday)"
    )
    add_parser = commands.add_parser("add", help="add completed appointments, today, now")
    add_parser.add_argument("n", type=int, metavar="N", help="how many")
    for each in (fill_parser, add_parser):
        each.add_argument(
            "--database", type=Path, metavar="PATH", help="SQLite file (default: the demo's)"
        )
    wanted = parser.parse_args(arguments)
    path = wanted.database or default_database()
    now = datetime.now(UTC)
    try:
        if wanted.command == "fill":
            until = wanted.until or now.date() - timedelta(days=1)
            n_added = fill(path, until=until, now=now, seed=wanted.seed)
            print(f"{path}: {n_added} synthetic appointments up to {until} added.")
        else:
            if not 1 <= wanted.n <= 100_000:
                parser.error(f"N: expected 1 to 100000, found {wanted.n}")
            ids = add(path, wanted.n, now=now)
            print(f"{path}: {len(ids)} completed synthetic appointments added for {now.date()}.")
    except (OSError, sqlite3.Error) as error:
        print(f"demo_data: {path}: {error}", file=sys.stderr)
        return 1
    return 0


def default_database() -> Path:
    """The file that the demo configuration watches."""
    demo = tomllib.loads(DEMO_CONFIG.read_text(encoding="utf-8"))
    url: str = demo["sources"]["demo"]["url"]
    return ROOT / url.removeprefix("sqlite:///")


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration up to yesterday; a sentence when something was added."""
    path = Path(settings.sources["demo"].url.removeprefix("sqlite:///")).absolute()
    n_added = fill(path, until=now.date() - timedelta(days=1), now=now)
    return f"{path}: {n_added} appointments added, up to yesterday." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    week = {"forecast_days": 7, "current_date": now.date().isoformat()}
    return [("/forecast_restock_demand", week), ("/parts", None)]


def fill(path: Path, *, until: date, now: datetime, seed: int = demo_workshop.SEED) -> int:
    """Add every day that is not there yet, up to and including `until`; return how many rows.

    All in one transaction, so a database is filled or empty, never half. The content of a day
    depends only on the seed and the day. A first fill carries the times at which a real
    workshop would have written the rows; days added later carry `now`, so that a reader that
    has already been past them finds them.
    """
    with closing(_open(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        filled_until = _about(connection, "filled_until")
        if filled_until is None:
            first = until - timedelta(days=N_DAYS - 1)
            _insert_catalogue(connection, demo_workshop.catalogue(seed), first)
        else:
            first = date.fromisoformat(filled_until) + timedelta(days=1)
        if first > until:
            return 0
        stamp = None if filled_until is None else _free_stamp(connection, now)
        days = (first + timedelta(days=i) for i in range((until - first).days + 1))
        appointments = [each for day in days for each in demo_workshop.day_of_work(day, seed)]
        _insert(connection, appointments, stamp)
        connection.executemany(
            "INSERT OR REPLACE INTO about VALUES (?, ?)",
            [
                ("content", "SYNTHETIC: made by scripts/demo_data.py; nothing in it is real"),
                ("filled_until", until.isoformat()),
                ("seed", str(seed)),
            ],
        )
        return len(appointments)


def add(path: Path, n: int, *, now: datetime) -> list[str]:
    """Add `n` completed appointments of today, written now; return their ids."""
    if not path.exists():
        raise FileNotFoundError("no demo database here yet; ./scripts/start.sh or `fill` makes it")
    with closing(_open(path)) as connection, connection:
        # The time is taken under the write lock: whoever commits later has a later time.
        connection.execute("BEGIN IMMEDIATE")
        stamp = _free_stamp(connection, now)
        appointments = demo_workshop.completed_visits(n, stamp)
        _insert(connection, appointments, stamp)
    return [each.id for each in appointments]


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(_SCHEMA)
    return connection


def _about(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def _free_stamp(connection: sqlite3.Connection, now: datetime) -> datetime:
    """`now`, or just after the newest row when the clock has not moved past that."""
    newest = connection.execute("SELECT max(updated_at) FROM appointments").fetchone()[0]
    if newest is None:
        return now
    return max(now, datetime.fromisoformat(newest) + timedelta(microseconds=1))


def _insert_catalogue(
    connection: sqlite3.Connection,
    parts: Iterable[tuple[str, str | None, str | None, float | None]],
    first: date,
) -> None:
    stamp = _text(datetime(first.year, first.month, first.day, 6, tzinfo=UTC))
    connection.executemany(
        "INSERT INTO spare_parts VALUES (?, ?, ?, ?, ?)", [(*part, stamp) for part in parts]
    )


def _insert(
    connection: sqlite3.Connection, appointments: Iterable[Appointment], stamp: datetime | None
) -> None:
    connection.executemany(
        "INSERT INTO appointments (id, status, customer, vehicle, date, appointmentDate,"
        " completedDate, timestamp, createdAt, spareParts, note, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        _rows(appointments, stamp),
    )


def _rows(
    appointments: Iterable[Appointment], stamp: datetime | None
) -> Iterator[tuple[str | int | None, ...]]:
    for each in appointments:
        dates = each.dates
        parts = each.parts if isinstance(each.parts, str | None) else json.dumps(each.parts)
        epoch = dates.get("timestamp")
        yield (
            each.id,
            each.status,
            each.customer,
            each.vehicle,
            dates.get("date"),
            dates.get("appointmentDate"),
            dates.get("completedDate"),
            int(epoch) if epoch is not None else None,
            dates.get("createdAt"),
            parts,
            NOTE,
            _text(stamp or each.written_at),
        )


def _text(moment: datetime) -> str:
    """Fixed width, so that the order of the texts is the order of the times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    sys.exit(main())

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.demo import database, workshop
from scripts.demo.workshop import Appointment

if TYPE_CHECKING:
    from shared.settings.root import Settings

N_DAYS = 548
"""Length of the first fill: about eighteen months."""

NOTE = "synthetic demo data"

_SCHEMA = """
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
    fill_parser.add_argument("--seed", type=int, default=workshop.SEED)
    fill_parser.add_argument(
        "--until", type=date.fromisoformat, metavar="DATE", help="last day (default: yesterday)"
    )
    add_parser = commands.add_parser("add", help="add completed appointments, today, now")
    add_parser.add_argument("n", type=database.up_to(100_000), metavar="N", help="how many")
    for each in (fill_parser, add_parser):
        each.add_argument(
            "--database", type=Path, metavar="PATH", help="SQLite file (default: the demo's)"
        )
    wanted = parser.parse_args(arguments)
    now = datetime.now(UTC)

    def do(path: Path) -> str:
        if wanted.command == "add":
            n_added = len(add(path, wanted.n, now=now))
            return f"{n_added} completed synthetic appointments added for {now.date()}."
        until = wanted.until or now.date() - timedelta(days=1)
        n_added = fill(path, until=until, now=now, seed=wanted.seed)
        return f"{n_added} synthetic appointments up to {until} added."

    return database.told("demo_data", wanted.database or database.of_preset("spare_parts"), do)


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration up to yesterday; a sentence when something was added."""
    path = database.of_settings(settings)
    n_added = fill(path, until=now.date() - timedelta(days=1), now=now)
    return f"{path}: {n_added} appointments added, up to yesterday." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    week = {"forecast_days": 7, "current_date": now.date().isoformat()}
    return [("/forecast_restock_demand", week), ("/parts", None)]


def fill(path: Path, *, until: date, now: datetime, seed: int = workshop.SEED) -> int:
    """Add every day that is not there yet, up to and including `until`; return how many rows.

    All in one transaction, so a database is filled or empty, never half. The content of a day
    depends only on the seed and the day. A first fill carries the times at which a real
    workshop would have written the rows; days added later carry `now`, so that a reader that
    has already been past them finds them.
    """
    with closing(database.opened(path, _SCHEMA)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        filled_until = database.about(connection, "filled_until")
        if filled_until is None:
            first = until - timedelta(days=N_DAYS - 1)
            _insert_catalogue(connection, workshop.catalogue(seed), first)
        else:
            first = date.fromisoformat(filled_until) + timedelta(days=1)
        if first > until:
            return 0
        stamp = (
            None if filled_until is None else database.free_stamp(connection, "appointments", now)
        )
        days = (first + timedelta(days=i) for i in range((until - first).days + 1))
        appointments = [each for day in days for each in workshop.day_of_work(day, seed)]
        _insert(connection, appointments, stamp)
        database.note_about(
            connection,
            content="SYNTHETIC: made by scripts/demo/seed.py; nothing in it is real",
            filled_until=until.isoformat(),
            seed=str(seed),
        )
        return len(appointments)


def add(path: Path, n: int, *, now: datetime) -> list[str]:
    """Add `n` completed appointments of today, written now; return their ids."""
    with closing(database.filled(path, _SCHEMA)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        stamp = database.free_stamp(connection, "appointments", now)
        appointments = workshop.completed_visits(n, stamp)
        _insert(connection, appointments, stamp)
    return [each.id for each in appointments]


def _insert_catalogue(
    connection: sqlite3.Connection,
    parts: Iterable[tuple[str, str | None, str | None, float | None]],
    first: date,
) -> None:
    stamp = database.text_of(datetime(first.year, first.month, first.day, 6, tzinfo=UTC))
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
            database.text_of(stamp or each.written_at),
        )


if __name__ == "__main__":
    sys.exit(main())

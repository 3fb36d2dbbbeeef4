"""Five made-up solar devices for trying Hotfit: fill their database once, add readings later.

SYNTHETIC: no device and no reading in it is real, and the database says so itself (table
`about`, column `note`). Standard library only. Knows neither daemon; it is the "application"
whose database they watch.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.demo import database, solar_park
from scripts.demo.solar_park import COLOMBO, DEVICES, Value

if TYPE_CHECKING:
    from shared.settings.root import Settings

PRESET = "solar_power"
_OPTION = f" --preset {PRESET}"
N_DAYS = 14
NOTE = "synthetic demo data"

_COLUMNS = (
    "device_id",
    "timestamp",
    "power",
    "voltage",
    "current",
    "lux",
    "temperature",
    "humidity",
    "servo_angle",
    "fan_status",
    "status",
)
# Sensors have no declared type: SQLite then keeps a number a number and a text a text.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS readings (
    id          TEXT PRIMARY KEY,
    device_id   TEXT,
    timestamp   TEXT,
    power,
    voltage,
    current,
    lux,
    temperature,
    humidity,
    servo_angle,
    fan_status  TEXT,
    status      TEXT,
    note        TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS readings_by_change ON readings (updated_at, id);
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Fill the database of five made-up solar devices, or add to it (synthetic)."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fill_parser = commands.add_parser(
        "fill", help="two weeks up to yesterday in Colombo; later, the days since"
    )
    fill_parser.add_argument("--seed", type=int, default=solar_park.SEED)
    fill_parser.add_argument(
        "--until", type=date.fromisoformat, metavar="DATE", help="last day (default: yesterday)"
    )
    add_parser = commands.add_parser(
        "add", help="add the next readings of each device, as far as the clock has come"
    )
    add_parser.add_argument(
        "n", type=database.up_to(10_000), metavar="N", help="how many of each device"
    )
    for each in (fill_parser, add_parser):
        each.add_argument(
            "--database", type=Path, metavar="PATH", help="SQLite file (default: the preset's)"
        )
    wanted = parser.parse_args(arguments)
    now = datetime.now(UTC)

    def do(path: Path) -> str:
        if wanted.command == "fill":
            n_added = fill(path, until=wanted.until or yesterday(now), now=now, seed=wanted.seed)
            return f"{n_added} synthetic readings added."
        n_added = add(path, wanted.n, now=now)
        late = "" if n_added else " The demo is as far as the clock; try again in five minutes."
        return f"{n_added} synthetic readings of {len(DEVICES)} devices added.{late}"

    return database.told("demo_solar", wanted.database or database.of_preset(PRESET), do)


def yesterday(now: datetime) -> date:
    """In Colombo."""
    return now.astimezone(COLOMBO).date() - timedelta(days=1)


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration up to yesterday; a sentence when something was added."""
    path = database.of_settings(settings)
    n_added = fill(path, until=yesterday(now), now=now)
    return f"{path}: {n_added} readings of {len(DEVICES)} devices added." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    device = DEVICES[0].id
    readings = newest_by_day(database.of_settings(settings), device, 2)
    return [
        (f"/models/solar_power/{device}/predict", {"readings": readings}),
        ("/models", None),
    ]


def fill(path: Path, *, until: date, now: datetime, seed: int = solar_park.SEED) -> int:
    """Add every day that is not there yet, up to and including `until`; return how many rows.

    All in one transaction, so a database is filled or empty, never half. A first fill carries
    the times at which real devices would have written; what is added later carries `now`, so
    that a reader that has already been past those times finds it.
    """
    end = datetime(until.year, until.month, until.day, tzinfo=COLOMBO) + timedelta(days=1)
    with closing(database.opened(path, _SCHEMA)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        before = _filled_until(connection)
        if before is None:
            return _insert(connection, end - timedelta(days=N_DAYS), end, seed, None)
        return _insert(
            connection, before, end, seed, database.free_stamp(connection, "readings", now)
        )


def add(path: Path, n: int, *, now: datetime) -> int:
    """Add the next `n` readings of each device that are not in the future; return how many."""
    with closing(database.filled(path, _SCHEMA, _OPTION)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        before = _filled_until(connection)
        if before is None:
            return 0
        seed = int(database.about(connection, "seed") or solar_park.SEED)
        end = min(now, before + timedelta(minutes=solar_park.EVERY_MIN) * n)
        return _insert(
            connection, before, end, seed, database.free_stamp(connection, "readings", now)
        )


def newest_by_day(path: Path, device: str, n: int) -> list[dict[str, Value]]:
    """The last readings of a device while the sun shone, oldest first, as they were written."""
    with closing(database.filled(path, _SCHEMA, _OPTION)) as connection:
        rows = connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM readings WHERE device_id = ?"  # noqa: S608 - ours
            " AND CAST(lux AS REAL) > 20000 ORDER BY id DESC LIMIT ?",
            (device, n),
        ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in reversed(rows)]


def _filled_until(connection: sqlite3.Connection) -> datetime | None:
    found = database.about(connection, "filled_until")
    return datetime.fromisoformat(found) if found else None


def _insert(
    connection: sqlite3.Connection,
    begin: datetime,
    end: datetime,
    seed: int,
    stamp: datetime | None,
) -> int:
    """Readings from `begin` up to `end`; how many. stamp : written when; None: as they came."""
    if end <= begin:
        return 0
    marks = ", ".join("?" * (len(_COLUMNS) + 3))
    cursor = connection.executemany(
        f"INSERT INTO readings (id, note, updated_at, {', '.join(_COLUMNS)})"  # noqa: S608 - ours
        f" VALUES ({marks})",
        _rows(begin, end, seed, stamp),
    )
    database.note_about(
        connection,
        content="SYNTHETIC: made by scripts/demo/solar.py; nothing in it is real",
        filled_until=end.astimezone(UTC).isoformat(),
        seed=str(seed),
    )
    return cursor.rowcount


def _rows(
    begin: datetime, end: datetime, seed: int, stamp: datetime | None
) -> Iterator[tuple[Value, ...]]:
    first, last = begin.astimezone(COLOMBO).date(), end.astimezone(COLOMBO).date()
    for device in DEVICES:
        for i in range((last - first).days + 1):
            day = first + timedelta(days=i)
            for at, reading in solar_park.readings_of_day(device, day, seed):
                if begin <= at < end:
                    id_ = f"{device.id}-{at.astimezone(UTC):%Y%m%dT%H%M%S}"
                    written = database.text_of(stamp or at + timedelta(seconds=2))
                    yield (id_, NOTE, written, *(reading[name] for name in _COLUMNS))


if __name__ == "__main__":
    sys.exit(main())

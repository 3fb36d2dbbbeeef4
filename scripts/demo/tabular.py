"""Patients for trying Hotfit with a table: fill their database once, add patients later.

The 442 patients are those of the diabetes data set that comes with scikit-learn (Efron, Hastie,
Johnstone and Tibshirani, Least Angle Regression, Annals of Statistics 32, 2004); when each was
examined is MADE UP, and so is every patient after the 442nd: an earlier one with other small
deviations. The database says so itself (table `about`, column `note`). Knows neither daemon; it
is the "application" whose database they watch.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.demo import database

if TYPE_CHECKING:
    from shared.settings.root import Settings

PRESET = "tabular"
_OPTION = f" --preset {PRESET}"
SEED = 20251126
N_FIRST, N_DAYS = 360, 90
"""Patients of the first fill, and the days they are spread over."""

FEATURES = (
    "age",
    "sex",
    "bmi",
    "blood_pressure",
    "total_cholesterol",
    "ldl",
    "hdl",
    "cholesterol_ratio",
    "log_triglycerides",
    "glucose",
)
NOTE_REAL = "patient of the diabetes data set, time made up"
NOTE_MADE_UP = "made up after an earlier patient"

_SEX = {1.0: "A", 2.0: "B"}  # the data set does not say which is which
_DEVIATION = 0.02
_SCHEMA = """
CREATE TABLE IF NOT EXISTS patients (
    id                INTEGER PRIMARY KEY,
    examined_at       TEXT NOT NULL,
    age               INTEGER,
    sex               TEXT,
    bmi               REAL,
    blood_pressure    REAL,
    total_cholesterol REAL,
    ldl               REAL,
    hdl               REAL,
    cholesterol_ratio REAL,
    log_triglycerides REAL,
    glucose           REAL,
    progression       REAL,
    note              TEXT NOT NULL,
    updated_at        TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS patients_by_change ON patients (updated_at, id);
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Fill the database of patients of the tabular preset, or add to it."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fill_parser = commands.add_parser("fill", help=f"{N_FIRST} patients up to yesterday, once")
    add_parser = commands.add_parser("add", help="add the next patients, examined now")
    add_parser.add_argument("n", type=database.up_to(100_000), metavar="N", help="how many")
    for each in (fill_parser, add_parser):
        each.add_argument(
            "--database", type=Path, metavar="PATH", help="SQLite file (default: the preset's)"
        )
    wanted = parser.parse_args(arguments)
    now = datetime.now(UTC)

    def do(path: Path) -> str:
        n_added = fill(path, now=now) if wanted.command == "fill" else add(path, wanted.n, now=now)
        return f"{n_added} patients added."

    return database.told("demo_tabular", wanted.database or database.of_preset(PRESET), do)


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration; a sentence when something was added."""
    path = database.of_settings(settings)
    n_added = fill(path, now=now)
    return f"{path}: {n_added} patients added, up to yesterday." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    del settings, now
    patient = dict(zip(FEATURES, _patient(N_FIRST), strict=False))
    return [("/predict", {"instances": [patient]}), ("/models", None)]


def fill(path: Path, *, now: datetime) -> int:
    """Add the first patients, evenly over the days up to yesterday; nothing when there are some."""
    first = now.replace(hour=8, minute=0, second=0, microsecond=0) - timedelta(days=N_DAYS)
    times = [first + timedelta(days=i * N_DAYS // N_FIRST, minutes=i) for i in range(N_FIRST)]
    with closing(database.opened(path, _SCHEMA)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        if _count(connection):
            return 0
        database.note_about(connection, content=" ".join(__doc__.split()))
        return _insert(connection, times)


def add(path: Path, n: int, *, now: datetime) -> int:
    """Add the next `n` patients, examined and written now; return how many."""
    with closing(database.filled(path, _SCHEMA, _OPTION)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        return _insert(connection, [database.free_stamp(connection, "patients", now)] * n)


def _count(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("SELECT count(*) FROM patients").fetchone()[0]
    return found


def _insert(connection: sqlite3.Connection, times: Sequence[datetime]) -> int:
    """The next patients, each examined and written at one of the times."""
    columns = ("id", "examined_at", "updated_at", "note", *FEATURES, "progression")
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO patients ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 - ours
        _rows(_count(connection), times),
    )
    return len(times)


def _rows(first: int, times: Sequence[datetime]) -> Iterator[tuple[Any, ...]]:
    for number, at in enumerate(times, start=first):
        written = database.text_of(at)
        note = NOTE_REAL if number < len(_data_set()) else NOTE_MADE_UP
        yield (number + 1, written, written, note, *_patient(number))


def _patient(number: int) -> tuple[Any, ...]:
    """FEATURES and the progression of the n-th patient, from 0; the same whenever it is asked."""
    known = _data_set()
    row = known[number % len(known)]
    if number < len(known):
        return row
    dice = random.Random(f"{SEED}:{number}")
    return tuple(
        value
        if isinstance(value, str | int)
        else round(value * (1 + _DEVIATION * dice.gauss(0, 1)), 2)
        for value in row
    )


@cache
def _data_set() -> tuple[tuple[Any, ...], ...]:
    """All patients, shuffled: the data set has no order in time."""
    from sklearn.datasets import load_diabetes  # heavy: only who fills a database pays

    found = load_diabetes(scaled=False)
    rows = [
        (int(age), _SEX[sex], *(round(value, 4) for value in others), progression)
        for (age, sex, *others), progression in zip(
            found.data.tolist(), found.target.tolist(), strict=True
        )
    ]
    random.Random(SEED).shuffle(rows)
    return tuple(rows)


if __name__ == "__main__":
    sys.exit(main())

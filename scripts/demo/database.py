"""The database of a made-up application: where it lies, how it is opened, when rows are written.

Standard library only. Knows no table but `about`, in which each says that its data is made up.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.settings.root import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = "demo"
"""What every preset calls its source."""

_ABOUT = "CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);"


def of_preset(name: str) -> Path:
    """The file that a preset watches."""
    preset = ROOT / "scripts" / "presets" / f"{name}.toml"
    url: str = tomllib.loads(preset.read_text(encoding="utf-8"))["sources"][SOURCE]["url"]
    return ROOT / _path_in(url)


def of_settings(settings: Settings) -> Path:
    """The file that a configuration watches."""
    return Path(_path_in(settings.sources[SOURCE].url)).absolute()


def _path_in(url: str) -> str:
    return url.removeprefix("sqlite:///")


def opened(path: Path, schema: str) -> sqlite3.Connection:
    """Open it, made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(_ABOUT + schema)
    return connection


def filled(path: Path, schema: str, option: str = "") -> sqlite3.Connection:
    """Open one that was filled.

    Args:
        option: what start.sh needs to make it: " --preset tabular".

    Raises:
        FileNotFoundError: there is none; says what makes one.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"no demo database here yet; ./scripts/start.sh{option} or `fill` makes it"
        )
    return opened(path, schema)


def about(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def note_about(connection: sqlite3.Connection, **values: str) -> None:
    connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())


def free_stamp(connection: sqlite3.Connection, table: str, now: datetime) -> datetime:
    """`now`, or just after the newest row when the clock has not moved past that.

    Asked under the write lock (BEGIN IMMEDIATE): whoever commits later has a later time.
    """
    newest = connection.execute(f"SELECT max(updated_at) FROM {table}").fetchone()[0]  # noqa: S608 - ours
    if newest is None:
        return now
    return max(now, datetime.fromisoformat(newest) + timedelta(microseconds=1))


def text_of(moment: datetime) -> str:
    """Fixed width, so that the order of the texts is the order of the times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- the command line ------------------------------------------------------------------------------


def up_to(most: int) -> Callable[[str], int]:
    """A count for argparse: a whole number from 1 to `most`."""

    def count(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected 1 to {most}, found {text}")
        return int(text)

    return count


def told(program: str, path: Path, do: Callable[[Path], str]) -> int:
    """Do it and print what was done, or why not; the exit code."""
    try:
        print(f"{path}: {do(path)}")
    except (OSError, sqlite3.Error) as error:
        print(f"{program}: {path}: {error}", file=sys.stderr)
        return 1
    return 0

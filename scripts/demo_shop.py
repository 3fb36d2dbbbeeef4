"""A made-up shop for trying Hotfit: fill its database once, add products and visits later.

SYNTHETIC: no product, customer or visit in it is real, and the database says so itself (table
`about`, column `note`). Standard library only. Knows neither daemon; it is the "application"
whose database they watch.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from scripts import demo_shop_goods
from scripts.demo_shop_goods import Product, Visit

if TYPE_CHECKING:
    from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ("product_similarity", "product_recommender")
N_PRODUCTS, N_USERS, N_DAYS = 200, 150, 60
NOTE = "synthetic demo data"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS products (
    id          TEXT PRIMARY KEY,
    name        TEXT,
    description TEXT,
    category    TEXT,
    price       REAL,
    rating      REAL,
    status      TEXT,
    note        TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS products_by_change ON products (updated_at, id);
CREATE TABLE IF NOT EXISTS interactions (
    id          TEXT PRIMARY KEY,
    user_id     TEXT,
    product_id  TEXT,
    type        TEXT,
    rating      REAL,
    session_id  TEXT,
    dwell_time  REAL,
    timestamp   TEXT,
    note        TEXT NOT NULL,
    updated_at  TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS interactions_by_change ON interactions (updated_at, id);
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Fill the database of a made-up shop, or add to it (synthetic data)."
    )
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0], help="whose database")
    parser.add_argument("--database", type=Path, metavar="PATH", help="SQLite file instead")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("fill", help="products, and visits of two months; once")
    add_parser = commands.add_parser("add", help="add products; tell Hotfit with POST /train")
    add_parser.add_argument("n", type=int, metavar="N", help="how many")
    visit_parser = commands.add_parser("visit", help="add visits of customers, now")
    visit_parser.add_argument("n", type=int, metavar="N", help="how many")
    wanted = parser.parse_args(arguments)
    path = wanted.database or database_of_preset(wanted.preset)
    now = datetime.now(UTC)
    if wanted.command != "fill" and not 1 <= wanted.n <= 10_000:
        parser.error(f"N: expected 1 to 10000, found {wanted.n}")
    try:
        if wanted.command == "fill":
            print(f"{path}: {fill(path, now=now)} synthetic records added.")
        elif wanted.command == "add":
            ids = add_products(path, wanted.n, now=now)
            print(f"{path}: {len(ids)} synthetic products added: {ids[0]} to {ids[-1]}.")
        else:
            print(f"{path}: {add_visits(path, wanted.n, now=now)} synthetic visits added.")
    except (OSError, sqlite3.Error) as error:
        print(f"demo_shop: {path}: {error}", file=sys.stderr)
        return 1
    return 0


def database_of_preset(name: str) -> Path:
    """The file that a preset watches."""
    config = ROOT / "scripts" / "presets" / f"{name}.toml"
    url: str = tomllib.loads(config.read_text(encoding="utf-8"))["sources"]["demo"]["url"]
    return ROOT / url.removeprefix("sqlite:///")


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration; a sentence when something was added."""
    path = Path(settings.sources["demo"].url.removeprefix("sqlite:///")).absolute()
    n_added = fill(path, now=now)
    return f"{path}: {n_added} products and visits added." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    del now
    similar: tuple[str, None] = ("/recommendations/product/p003", None)
    if any(model.workload == "product_recommender" for model in settings.models.values()):
        return [("/recommendations/user/u003", None), similar, ("/recommendations/popular", None)]
    return [similar, ("/models", None)]


def fill(path: Path, *, now: datetime, seed: int = demo_shop_goods.SEED) -> int:
    """Fill an empty database; how many records were added, 0 when it was filled before.

    All in one transaction, so a database is filled or empty, never half.
    """
    first = now - timedelta(days=N_DAYS)
    with closing(_open(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM about").fetchone()[0]:
            return 0
        goods = [demo_shop_goods.product(i, seed) for i in range(N_PRODUCTS)]
        _insert_products(connection, goods, first)
        last = now - timedelta(hours=1)  # nothing of it is in the future when a session ends
        found = list(demo_shop_goods.visits(first, last, N_USERS, N_PRODUCTS, seed))
        _insert_visits(connection, found)
        connection.executemany(
            "INSERT INTO about VALUES (?, ?)",
            [
                ("content", "SYNTHETIC: made by scripts/demo_shop.py; nothing in it is real"),
                ("seed", str(seed)),
            ],
        )
    return len(goods) + len(found)


def add_products(path: Path, n: int, *, now: datetime) -> list[str]:
    """Add `n` products, written now; return their ids."""
    with closing(_existing(path)) as connection, connection:
        # The time is taken under the write lock: whoever commits later has a later time.
        connection.execute("BEGIN IMMEDIATE")
        so_far = connection.execute("SELECT count(*) FROM products").fetchone()[0]
        goods = [demo_shop_goods.product(so_far + i) for i in range(n)]
        _insert_products(connection, goods, _free_stamp(connection, "products", now))
    return [each.id for each in goods]


def add_visits(path: Path, n: int, *, now: datetime) -> int:
    """Add `n` visits, made and written now."""
    with closing(_existing(path)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        stamp = _free_stamp(connection, "interactions", now)
        _insert_visits(connection, demo_shop_goods.visits_now(n, stamp, N_USERS, N_PRODUCTS))
    return n


def _existing(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise FileNotFoundError(
            "no demo database here yet; ./scripts/start.sh --preset NAME or `fill` makes it"
        )
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30)
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(_SCHEMA)
    return connection


def _free_stamp(connection: sqlite3.Connection, table: str, now: datetime) -> datetime:
    """`now`, or just after the newest row when the clock has not moved past that."""
    newest = connection.execute(f"SELECT max(updated_at) FROM {table}").fetchone()[0]  # noqa: S608 - ours
    if newest is None:
        return now
    return max(now, datetime.fromisoformat(newest) + timedelta(microseconds=1))


def _insert_products(
    connection: sqlite3.Connection, goods: Iterable[Product], stamp: datetime
) -> None:
    connection.executemany(
        "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*each, NOTE, _text(stamp)) for each in goods],
    )


def _insert_visits(connection: sqlite3.Connection, visits: Iterable[Visit]) -> None:
    connection.executemany(
        "INSERT INTO interactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*each[:-1], _text(each.timestamp), NOTE, _text(each.timestamp)) for each in visits],
    )


def _text(moment: datetime) -> str:
    """Fixed width, so that the order of the texts is the order of the times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


if __name__ == "__main__":
    sys.exit(main())

"""A made-up shop for trying Hotfit: fill its database once, add products and visits later.

SYNTHETIC: no product, customer or visit in it is real, and the database says so itself (table
`about`, column `note`). Standard library only. Knows neither daemon; it is the "application"
whose database they watch.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from scripts.demo import database, shop_goods
from scripts.demo.shop_goods import Product, Visit

if TYPE_CHECKING:
    from shared.settings.root import Settings

PRESETS = ("product_similarity", "product_recommender")
N_PRODUCTS, N_USERS, N_DAYS = 200, 150, 60
NOTE = "synthetic demo data"

_SCHEMA = """
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
    add_parser.add_argument("n", type=database.up_to(10_000), metavar="N", help="how many")
    visit_parser = commands.add_parser("visit", help="add visits of customers, now")
    visit_parser.add_argument("n", type=database.up_to(10_000), metavar="N", help="how many")
    wanted = parser.parse_args(arguments)
    now = datetime.now(UTC)

    def do(path: Path) -> str:
        if wanted.command == "fill":
            return f"{fill(path, now=now)} synthetic records added."
        if wanted.command == "visit":
            return f"{add_visits(path, wanted.n, now=now)} synthetic visits added."
        ids = add_products(path, wanted.n, now=now)
        return f"{len(ids)} synthetic products added: {ids[0]} to {ids[-1]}."

    return database.told("demo_shop", wanted.database or database.of_preset(wanted.preset), do)


def prepare(settings: Settings, now: datetime) -> str | None:
    """Fill the database of a configuration; a sentence when something was added."""
    path = database.of_settings(settings)
    n_added = fill(path, now=now)
    return f"{path}: {n_added} products and visits added." if n_added else None


def questions(settings: Settings, now: datetime) -> list[tuple[str, Mapping[str, Any] | None]]:
    """What to ask the API about it: (path, JSON body or None for a GET)."""
    del now
    similar: tuple[str, None] = ("/recommendations/product/p003", None)
    if any(model.workload == "product_recommender" for model in settings.models.values()):
        return [("/recommendations/user/u003", None), similar, ("/recommendations/popular", None)]
    return [similar, ("/models", None)]


def fill(path: Path, *, now: datetime, seed: int = shop_goods.SEED) -> int:
    """Fill an empty database; how many records were added, 0 when it was filled before.

    All in one transaction, so a database is filled or empty, never half.
    """
    first = now - timedelta(days=N_DAYS)
    with closing(database.opened(path, _SCHEMA)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        if database.about(connection, "content"):
            return 0
        goods = [shop_goods.product(i, seed) for i in range(N_PRODUCTS)]
        _insert_products(connection, goods, first)
        last = now - timedelta(hours=1)  # nothing of it is in the future when a session ends
        found = list(shop_goods.visits(first, last, N_USERS, N_PRODUCTS, seed))
        _insert_visits(connection, found)
        database.note_about(
            connection,
            content="SYNTHETIC: made by scripts/demo/shop.py; nothing in it is real",
            seed=str(seed),
        )
    return len(goods) + len(found)


def add_products(path: Path, n: int, *, now: datetime) -> list[str]:
    """Add `n` products, written now; return their ids."""
    with closing(database.filled(path, _SCHEMA, " --preset NAME")) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        so_far = connection.execute("SELECT count(*) FROM products").fetchone()[0]
        goods = [shop_goods.product(so_far + i) for i in range(n)]
        _insert_products(connection, goods, database.free_stamp(connection, "products", now))
    return [each.id for each in goods]


def add_visits(path: Path, n: int, *, now: datetime) -> int:
    """Add `n` visits, made and written now."""
    with closing(database.filled(path, _SCHEMA, " --preset NAME")) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        stamp = database.free_stamp(connection, "interactions", now)
        _insert_visits(connection, shop_goods.visits_now(n, stamp, N_USERS, N_PRODUCTS))
    return n


def _insert_products(
    connection: sqlite3.Connection, goods: Iterable[Product], stamp: datetime
) -> None:
    connection.executemany(
        "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*each, NOTE, database.text_of(stamp)) for each in goods],
    )


def _insert_visits(connection: sqlite3.Connection, visits: Iterable[Visit]) -> None:
    connection.executemany(
        "INSERT INTO interactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *each[:-1],
                database.text_of(each.timestamp),
                NOTE,
                database.text_of(each.timestamp),
            )
            for each in visits
        ],
    )


if __name__ == "__main__":
    sys.exit(main())

"""The made-up shop and servers: honest about being that, repeatable, and addable to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from scripts.daemons.preset import Preset
from scripts.demo import servers, shop
from shared.feed import reader
from shared.settings.root import load_settings

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


def rows(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()


def test_the_same_shop_is_made_twice_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    """A figure in a page can be made again, and nobody takes it for a real shop."""
    one, two = tmp_path / "one.db", tmp_path / "two.db"

    added = [shop.fill(path, now=NOW) for path in (one, two, one)]

    assert added[0] == added[1] > shop.N_PRODUCTS
    assert added[2] == 0
    for table in ("products", "interactions"):
        assert rows(one, table) == rows(two, table)
        assert {shop.NOTE} == {row[-2] for row in rows(one, table)}
        assert max(row[-1] for row in rows(one, table)) < NOW.isoformat()
    with closing(sqlite3.connect(one)) as connection:
        content = connection.execute("SELECT value FROM about WHERE key = 'content'").fetchone()
    assert content[0].startswith("SYNTHETIC")


def test_what_is_added_is_written_later_than_all_before(tmp_path: Path) -> None:
    """A reader goes by that time: two additions in one moment must both be found."""
    path = tmp_path / "shop.db"
    shop.fill(path, now=NOW)

    first = shop.add_products(path, 2, now=NOW)
    second = shop.add_products(path, 1, now=NOW)
    n_visits = shop.add_visits(path, 20, now=NOW)

    written = {row[0]: row[-1] for row in rows(path, "products")}
    assert (first, second, n_visits) == (["p200", "p201"], ["p202"], 20)
    assert written["p199"] < written["p200"] < written["p202"]


def test_servers_are_fed_up_to_now_and_a_later_start_adds_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forecast begins at the newest row, so there has to be one of this minute."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Preset("server_metrics").config)

    servers.prepare(settings, NOW)
    again = servers.prepare(settings, NOW)
    later = servers.prepare(settings, NOW + timedelta(minutes=10))

    kept = reader.statistics(settings.feed_path)["metrics"]
    n_servers = len(servers.SERVERS)
    assert again is None
    assert later is not None
    assert f" {10 * n_servers} rows " in later
    assert kept.n_records == n_servers * (servers.N_DAYS * 1440 + 1 + 10)

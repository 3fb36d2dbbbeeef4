"""Orders of guests: one id that means nobody must not become one customer who buys everything."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.shop]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.own]
workload = "product_recommender"
source = "shop"
[models.own.streams.interactions]
collection = "own"
[models.nobody]
workload = "product_recommender"
source = "shop"
[models.nobody.streams.interactions]
collection = "nobody"
"""


@pytest.mark.parametrize("nobody", [0, None, "guest", "undefined"])
def test_orders_of_guests_count_as_visitors_of_their_own(tmp_path: Path, nobody: object) -> None:
    """The same orders, once with an id for each guest and once with the one that shops write."""
    place, chance, now = CaseHome(tmp_path, SETTINGS), random.Random(6), datetime.now(UTC)
    begin = (now - timedelta(days=90)).isoformat()
    goods = [(i, f"tea no {i}", 5.0 + i, begin) for i in range(1, 31)]
    place.table("products", "id INTEGER, name TEXT, price REAL, updated_at TEXT", goods)
    orders = []
    for n in range(300):
        who = None if chance.random() < 0.8 else chance.randint(1, 30)
        lines = [7, chance.choice([8, 9])] if who is None else [chance.randint(10, 30)]
        at = (now - timedelta(hours=300 - n)).isoformat()
        items = json.dumps([{"product_id": i, "quantity": 1} for i in lines])
        orders.append((n, who, "purchase", items, at))
    columns = "id INTEGER, customer_id, event TEXT, line_items TEXT, updated_at TEXT"
    for name in ("own", "nobody"):
        other = {n: f"guest {n}" if name == "own" else nobody for n in range(300)}
        place.table(
            name,
            columns,
            [(n, other[n] if who is None else who, *rest) for n, who, *rest in orders],
        )

    own, same = (place.read(name).rows.context for name in ("own", "nobody"))

    assert len(own.users) == len(same.users)
    assert same.item.tolist() == own.item.tolist()
    assert np.bincount(same.user).tolist() == np.bincount(own.user).tolist()

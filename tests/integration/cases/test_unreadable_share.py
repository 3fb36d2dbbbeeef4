"""A stream of which only a part can be read makes no model, and all say so in one sentence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cases.case_home import CaseHome

NOW = datetime.now(UTC).replace(microsecond=0)
SETTINGS = """
[sources.shop]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.m]
workload = "WORKLOAD"
source = "shop"
"""


def home(folder: Path, workload: str) -> CaseHome:
    return CaseHome(folder, SETTINGS.replace("WORKLOAD", workload))


def at(n: int) -> str:
    return (NOW - timedelta(hours=2 * (400 - n))).isoformat()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("retailrocket", 'Set [models.m.streams.interactions] shape = "retailrocket"'),
        (
            "nobody",
            "200 of 400 interactions (50 %) cannot be read: event without a user or session"
            " (200); at most 30 % allowed: not trained.",
        ),
        ("pages", ""),
    ],
)
def test_a_part_that_can_be_read_is_no_model(tmp_path: Path, kind: str, sentence: str) -> None:
    """A shop's own events beside those of a tracker: a model of the smaller part was promoted."""
    place = home(tmp_path, "product_recommender")
    rows: list[tuple[Any, ...]] = []
    for n in range(400):
        person, product, is_odd = n % 37 + 1, n * 7 % 40 + 1, bool(n % 2)
        millis = int((NOW - timedelta(hours=2 * (400 - n))).timestamp() * 1000)
        row: tuple[Any, ...]
        if kind == "retailrocket":
            row = ("view", person, product, product if is_odd else None)
        elif kind == "nobody":
            row = ("view", person if is_odd else None, None, product)
        else:  # visits of pages that show no product are no fault
            row = ("view" if is_odd else "page_view", person, None, product if is_odd else None)
        rows.append((n, millis, *row, at(n)))
    products = [(n, f"tea {n}", at(0)) for n in range(1, 41)]
    place.table("products", "id INTEGER, name TEXT, updated_at TEXT", products)
    columns = "id INTEGER, timestamp INTEGER, event TEXT, visitorid INTEGER, itemid INTEGER,"
    place.table("interactions", f"{columns} product_id INTEGER, updated_at TEXT", rows)

    checked, ended = place.check(), place.once("m", "--dry-run")

    assert (checked.code, ended.code) == ((1, 10) if sentence else (0, 0)), checked.everything
    assert sentence in checked.text
    assert sentence in ended.everything


@pytest.mark.parametrize(("proof", "is_clear"), [("03/04/2026", False), ("25/03/2026", True)])
def test_dates_that_may_mean_two_days_are_asked_for(
    tmp_path: Path, proof: str, is_clear: bool
) -> None:
    """Day and month were told by nobody; the rest of the records made a model of odd days."""
    place = home(tmp_path, "spare_parts")
    days = [NOW.date() - timedelta(days=n) for n in range(400)]
    unclear = [day for day in days if day.day <= 12]
    columns = "id INTEGER, status TEXT, date TEXT, spareParts TEXT, updated_at TEXT"
    lines = json.dumps([{"name": "Oil filter", "quantity": 2}])
    rows = [
        (n, "completed", day.strftime("%d/%m/%Y"), lines, at(n % 400))
        for n, day in enumerate(unclear)
    ]
    place.table("appointments", columns, [*rows, (9999, "completed", proof, lines, at(399))])

    checked = place.check()

    assert ("may be a day of" in checked.text) is not is_clear
    assert checked.code == (0 if is_clear else 1), checked.everything

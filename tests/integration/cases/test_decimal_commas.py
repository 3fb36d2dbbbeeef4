"""Numbers with decimal commas, as offices export them: the column is one of numbers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.office]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.comma]
workload = "tabular"
source = "office"
[models.comma.streams.records]
collection = "comma"
[models.comma.parameters]
target = "rent"
time = "offered_at"
features = ["area", "rooms"]
[models.point]
workload = "tabular"
source = "office"
[models.point.streams.records]
collection = "point"
[models.point.parameters]
target = "rent"
time = "offered_at"
features = ["area", "rooms"]
"""


def test_commas_and_points_give_the_same_rows(tmp_path: Path) -> None:
    """The model of the commas knew 448 texts, and nothing of a flat of another size."""
    place, chance = CaseHome(tmp_path, SETTINGS), random.Random(9)
    start = datetime.now(UTC) - timedelta(days=60)
    rows: dict[str, list[tuple[object, ...]]] = {"comma": [], "point": []}
    for i in range(300):
        at = (start + timedelta(hours=4 * i)).isoformat()
        area = round(chance.uniform(20, 120), 1)
        rent = round(500 + 8 * area + chance.gauss(0, 30), 2)
        for sign, name in ((",", "comma"), (".", "point")):
            texts = (str(number).replace(".", sign) for number in (area, rent))
            size, price = texts
            rows[name].append((i, at, size, int(1 + area // 30), price, at))
    for name, some in rows.items():
        place.table(
            name,
            "id INTEGER, offered_at TEXT, area TEXT, rooms INTEGER, rent TEXT, updated_at TEXT",
            some,
        )

    comma, point = (place.read(name).rows for name in ("comma", "point"))

    assert comma.n_rows == 300
    assert comma.features.tolist() == point.features.tolist()
    assert comma.target.tolist() == point.target.tolist()
    assert comma.context.columns[0].dtype == "float64"

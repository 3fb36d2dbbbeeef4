"""Times as applications write them: zero times that mean never, two units in one column."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.shop]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.parts]
workload = "spare_parts"
source = "shop"
[models.parts.streams.appointments]
deleted_field = "deleted_at"
"""
NOW = datetime.now(UTC).replace(microsecond=0)
COLUMNS = 'id INTEGER, status TEXT, date TEXT, "spareParts" TEXT, deleted_at, updated_at'


def appointment(n: int, updated_at: Any, deleted_at: Any = None) -> tuple[Any, ...]:
    day = (NOW - timedelta(hours=8 * (241 - n))).date().isoformat()
    line = json.dumps([{"name": "Oil filter", "quantity": 1 + n % 3}])
    return (n, "completed", day, line, deleted_at, updated_at)


@pytest.mark.parametrize(
    "alive",
    ["0001-01-01T00:00:00Z", "0000-00-00 00:00:00", "1970-01-01 00:00:00", None, "", 0,
     -62135596800],
)  # fmt: skip
def test_a_row_whose_tombstone_is_the_zero_time_is_alive(tmp_path: Path, alive: Any) -> None:
    """Go, .NET and MySQL write one; every row of such a table counted as deleted."""
    place = CaseHome(tmp_path, SETTINGS)
    times = [NOW - timedelta(hours=8 * (241 - n)) for n in range(240)]
    place.table(
        "appointments",
        COLUMNS,
        [
            appointment(n, at.isoformat(), at.isoformat() if n % 60 == 0 else alive)
            for n, at in enumerate(times)
        ],
    )

    read = place.read("parts")

    assert read.n_records["appointments"] == read.n_usable == 236


def test_a_client_that_writes_another_unit_costs_no_record(tmp_path: Path) -> None:
    """One row in milliseconds among seconds put all later ones into the year 1970."""
    place = CaseHome(tmp_path, SETTINGS)
    seconds = [int(NOW.timestamp()) - 8 * 3600 * (241 - n) for n in range(240)]
    rows = [appointment(n, at * 1000 if n == 120 else at) for n, at in enumerate(seconds)]
    place.table("appointments", COLUMNS, rows)

    first = place.read("parts")
    place.add("appointments", [appointment(240 + n, int(NOW.timestamp()) - 1) for n in range(30)])
    second = place.read("parts")

    assert first.n_records["appointments"] == 240
    assert second.n_records["appointments"] == 270
    table = second.tables["appointments"]
    by_id = dict(zip(table.ids, table.updated_at_us, strict=True))
    assert by_id["120"] == seconds[120] * 1_000_000

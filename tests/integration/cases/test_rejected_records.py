"""Records that cannot be used are listed for the person who can mend them, and leave the list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from retrain_service.buffer.rejected import field_of
from shared.workloads import open_workload
from tests.integration.cases.case_home import CaseHome

SETTINGS = """
[sources.office]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.flats]
workload = "tabular"
source = "office"
[models.flats.streams.records]
collection = "flats"
[models.flats.parameters]
target = "rent"
task = "regression"
features = ["area"]
"""
START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_a_record_that_cannot_be_used_is_listed_until_it_is_mended(tmp_path: Path) -> None:
    place = CaseHome(tmp_path, SETTINGS)
    at = [(START - timedelta(hours=i)).isoformat() for i in range(8)]
    place.table(
        "flats",
        "id TEXT PRIMARY KEY, area REAL, rent TEXT, updated_at TEXT",
        [
            ("f1", 30.0, "400.5", at[1]),
            ("f2", 31.0, "Anna Huber asks", at[2]),
            ("f3", 32.0, None, at[3]),
        ],
    )
    assert place.run("rejected").code == 0  # before the first look as well
    place.read("flats")

    listed = msgspec.json.decode(place.run("rejected", "--json").text)

    assert [
        (one["id"], one["reason"], one["field"], one["value"]) for one in listed["records"]
    ] == [
        ("f2", "rent is no number", "rent", "'An…'"),
        ("f3", "no rent", "rent", None),
    ]
    assert sum(one["n_records"] for one in listed["counts"]) == 2
    assert "f3" in place.run("rejected", "--reason", "no rent").text
    assert "f2" not in place.run("rejected", "--reason", "no rent").text

    with place.connected() as database:
        database.execute("UPDATE flats SET rent = '410', updated_at = ?", (at[0],))
    place.read("flats")
    assert "0 records cannot be used" in place.run("rejected").text


@pytest.mark.parametrize(
    ("workload", "stream", "reason", "field"),
    [
        ("spare_parts", "appointments", "status does not say complete", "status"),
        ("spare_parts", "appointments", "no date that can be read", "date"),
        ("spare_parts", "appointments", "no spare parts", "spareParts"),
        ("solar_power", "readings", "no power that can be read", "power"),
        ("solar_power", "readings", "no device_id", "device_id"),
        ("server_metrics", "metrics", "no server name", "server"),
        ("product_similarity", "products", "product without a name", "name"),
        ("product_recommender", "interactions", "event without a product", "product_id"),
        ("product_recommender", "interactions", "event that says nothing about interest", "type"),
    ],
)
def test_the_field_that_a_reason_is_about_is_told_by_its_words(
    workload: str, stream: str, reason: str, field: str
) -> None:
    found = field_of(reason, open_workload(workload, {}).fields_of(stream))

    assert found is not None
    assert found.name == field

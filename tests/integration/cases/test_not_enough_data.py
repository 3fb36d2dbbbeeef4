"""Records that come to nothing are explained in the same words by `check`, `once` and the API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.exchange.json_files import read_struct
from shared.exchange.retrain_report import RETRAIN_REPORT_NAME, RetrainReport
from tests.integration.cases.case_home import CaseHome
from tests.support.daemons import daemon
from tests.support.waiting import wait_until

SHOP = """
[retrain]
tick_interval_s = 0.05
[sources.shop]
kind = "sql"
url = "{sqlite}"
lag_s = 0
[models.m]
source = "shop"
"""
NOW = datetime.now(UTC).replace(microsecond=0)


def products(n: int, statuses: Sequence[str]) -> list[tuple[Any, ...]]:
    return [
        (f"p{i}", f"Tea {i}", f"c{i % 5}", 2.5 + i, statuses[i % len(statuses)], NOW.isoformat())
        for i in range(n)
    ]


@pytest.fixture
def drafts(tmp_path: Path) -> CaseHome:
    place = CaseHome(tmp_path, SHOP + 'workload = "product_similarity"\n')
    columns = "id TEXT, name TEXT, category TEXT, price REAL, status TEXT, updated_at TEXT"
    place.table("products", columns, products(80, [*["zur Prüfung"] * 19, "draft"]))
    return place


SENTENCE = "80 products, 0 approved; statuses: zur Prüfung (76), draft (4)."


def test_unknown_words_are_counted_by_check_and_by_a_run(drafts: CaseHome) -> None:
    """ "0 rows" sends a person to the wrong place; the words that there are, to the right one."""
    checked = drafts.check()
    ended = drafts.once()

    assert checked.code == 1
    assert SENTENCE in checked.text
    assert ended.code == 10
    assert SENTENCE in ended.text


def test_health_and_once_say_why_no_record_can_be_used(tmp_path: Path) -> None:
    """The report of the daemon is what /health shows; `once` says the same."""
    place = CaseHome(tmp_path, SHOP + 'workload = "spare_parts"\n')
    parts = json.dumps([{"name": "Belt", "quantity": 1}])
    place.table(
        "appointments",
        'id INTEGER, status TEXT, date TEXT, "spareParts" TEXT, updated_at TEXT',
        [(n, "livré", str(NOW.date()), parts, NOW.isoformat()) for n in range(30)],
    )
    expected = "there is no usable record yet: 30 appointments, 0 complete; statuses: livré (30)"

    assert expected + "." in place.once().text
    assert "would not start: 30 appointments, 0 complete" in place.check().text

    def reported() -> str:
        path = place.home / "reports" / RETRAIN_REPORT_NAME
        report = read_struct(path, RetrainReport)
        return report.models["m"].next_due if report is not None and report.models else ""

    with daemon("retrain_service", "run", config=place.config, output=tmp_path / "log") as running:
        wait_until(lambda: reported() == expected, 60, "the report to say why")
        assert running.stop() == 0


def test_a_young_history_is_no_fault_of_the_records(tmp_path: Path) -> None:
    """Where all is read well, only the amount is told, and no reason is made up."""
    place = CaseHome(tmp_path, SHOP + 'workload = "spare_parts"\n')
    parts = json.dumps([{"name": "Belt", "quantity": 1}])
    place.table(
        "appointments",
        'id INTEGER, status TEXT, date TEXT, "spareParts" TEXT, updated_at TEXT',
        [
            (n, "completed", str((NOW - timedelta(days=n)).date()), parts, NOW.isoformat())
            for n in range(3)
        ],
    )

    checked = place.checked()["models"][0]

    assert not checked["would_start"]
    assert checked["outlook"].startswith("would not start: not enough data")
    assert "appointments" not in checked["outlook"]

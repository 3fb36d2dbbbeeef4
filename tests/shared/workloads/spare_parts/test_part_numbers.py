"""Parts of one name are told apart by their numbers, where there are numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.records import Record
from shared.workloads.spare_parts.daily_totals import PartsLedger, read_catalogue

SEALS = [{"name": "Seal", "sku": "A1"}, {"name": "Seal ", "sku": "A2", "quantity": 2}]


@pytest.mark.parametrize(
    ("catalogue", "lines", "expected"),
    [
        ([], SEALS, {"Seal (A1)": 9, "Seal (A2)": 18}),
        ([], [*SEALS, {"name": "Seal"}], {"Seal": 9, "Seal (A1)": 9, "Seal (A2)": 18}),
        # the part that the catalogue has under the name keeps it
        ([{"name": "Seal", "sku": "A1"}], SEALS, {"Seal": 9, "Seal (A2)": 18}),
        # two documents of one name are two parts, whichever is used
        (SEALS, SEALS[:1], {"Seal (A1)": 9}),
        (SEALS, [{"sku": "A2"}], {"Seal (A2)": 9}),
        ([], SEALS[:1], {"Seal": 9}),
        ([], [{"name": "Seal", "sku": ""}, {"name": "Seal", "sku": "A1"}], {"Seal": 18}),
        # numbers that never come again are serial numbers
        ([], [{"name": "Belt", "sku": "S{day}"}], {"Belt": 9}),
    ],
)
def test_one_name_with_several_numbers_is_several_parts(
    catalogue: list[dict[str, Any]], lines: list[dict[str, Any]], expected: dict[str, float]
) -> None:
    """Two seals of one name and different sizes are ordered apart."""
    documents = [Record(str(i), datetime.now(UTC), entry) for i, entry in enumerate(catalogue)]
    ledger = PartsLedger(read_catalogue(documents, Counter()), date(2026, 2, 1))
    for n in range(9):
        day = date(2026, 1, 1) + timedelta(days=n)
        parts = [{**line, "sku": str(line.get("sku", "")).format(day=n)} for line in lines]
        ledger.enter({"status": "completed", "spareParts": parts}, day)

    history = ledger.history(90)

    assert dict(zip(history.parts, history.pieces.sum(axis=0), strict=True)) == expected

"""The tables of docs/data-shapes.md are read by the workload as the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.documents.times import read_day
from shared.workloads.spare_parts import records
from tests.support.pages import ROOT, quoted, table_rows, text_of

SHAPES = ROOT / "docs" / "data-shapes.md"


def day(value: Any) -> str:
    found = read_day(value, records.day_policy(ZoneInfo("Europe/Berlin"), day_first=True))
    return found.isoformat() if found else "none"


def pieces(quantity: Any) -> str:
    (line,) = records.part_lines({"spareParts": [{"name": "x", "quantity": quantity}]})
    return f"{line.pieces:g}" if isinstance(line, records.PartLine) else "refused"


def parts(value: Any) -> str:
    lines = [
        f"{line.pieces:g} {line.name}"
        for line in records.part_lines({"spareParts": value})
        if isinstance(line, records.PartLine)
    ]
    return ", ".join(lines) or "nothing"


SHAPE_TABLES: Mapping[str, Callable[[Any], str]] = {
    "status": lambda value: "yes" if records.says_complete(value) else "no",
    "value": day,
    "spareParts": parts,
    "quantity": pieces,
}


@pytest.mark.parametrize("head", SHAPE_TABLES)
def test_tables_of_shapes_are_what_the_workload_reads(head: str) -> None:
    """Documents in the page and documents in the database are read by the same code."""
    table = re.search(rf"^\| {head} \|.*?(?=^$)", text_of(SHAPES), re.MULTILINE | re.DOTALL)
    assert table

    for shown, expected in table_rows(table[0]):
        assert SHAPE_TABLES[head](json.loads(quoted(shown)[0])) == expected, shown

"""Values of any driver become JSON: what no JSON can hold costs that value, not its stream."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from retrain_service.buffer.upsert import to_arrow
from retrain_service.sources.json_values import DEEPEST, decode_json_text, is_set, to_json
from shared.records import Record


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("sNaN"), None),  # MongoDB keeps them
        (Decimal("NaN"), None),
        (Decimal("1E+999999"), None),
        (10**400, None),
        (-(10**400), None),
        (2**64, 2.0**64),
        (Decimal("12.50"), 12.5),
        ("\ud83d", "?"),
        ({"\ud83d": [Decimal("sNaN"), 1]}, {"?": [None, 1]}),
    ],
)
def test_what_json_cannot_hold_is_null_or_a_mark(value: Any, expected: Any) -> None:
    assert to_json(value) == expected
    _keep(to_json(value))


@pytest.mark.parametrize(
    ("value", "is_deleted"),
    [
        *((word, False) for word in (" Active ", "NULL", "0.0", "nein", "0000-00-00")),
        *((word, True) for word in ("deleted", "yes", "inactive", "2026-03-02", 1)),
    ],
)
def test_words_that_mean_alive_delete_nothing(value: Any, is_deleted: bool) -> None:
    """All records that say "active" would be deleted."""
    assert is_set(value) is is_deleted


@pytest.mark.parametrize("depth", [DEEPEST - 1, DEEPEST + 1, 500, 990, 5_000, 100_000])
def test_a_document_as_deep_as_it_likes_is_kept_to_a_bound(depth: int) -> None:
    """One text of brackets ended the reading of its table."""
    _keep(decode_json_text("[" * depth + "]" * depth))
    _keep(decode_json_text('{"a":' * depth + "1" + "}" * depth))
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]
    _keep(to_json(nested))


def _keep(value: Any) -> None:
    """As the buffer does."""
    record = Record("1", datetime(2026, 3, 2, tzinfo=UTC), {"value": value})
    assert to_arrow([record], lambda _fields: None, lambda _fields: "").num_rows == 1

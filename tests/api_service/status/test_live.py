"""The sentence on live errors promises none where none can come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api_service.status.live import live_sentence

LINE: dict[str, Any] = {
    "version": "v2", "n": 1204, "error": 12.1, "low": 9.8, "high": 14.4, "expected": 11.6,
    "since": datetime(2026, 11, 21, tzinfo=UTC),
}  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "is_judged", "said"),
    [
        ([], True, "no truth is known yet of what this version answered."),
        ([], False, "answers of this workload are logged, and not yet compared with what"),
        ([LINE], True, "live error 12.1 (9.8 to 14.4) over 1,204 answers since 2026-11"),
        ([LINE | {"error": None}], True, "live errors of 1,204 answers since 2026"),
    ],
)
def test_the_sentence_says_what_is_known(
    lines: list[dict[str, Any]], is_judged: bool, said: str
) -> None:
    assert live_sentence(lines, "v2", is_judged=is_judged).startswith(said)

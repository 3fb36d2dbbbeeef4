"""A share of the campaign of odd records in every run of the tests."""

from __future__ import annotations

from pathlib import Path

from tests.campaigns.odd_records import odd_records
from tests.campaigns.tally import Tally


def test_odd_records_raise_nothing_and_are_counted_with_a_reason(tmp_path: Path) -> None:
    """One value that nobody foresaw costs that record; it neither ends a run nor goes unseen."""
    tally = Tally()

    odd_records(tmp_path, 1, 3, tally)

    assert tally.n("survived") == 7, "\n".join(tally.told)
    assert tally.n("broken") == 0, "\n".join(tally.told)
